"""What was seen must not be tested on: by content, and by picture, since a photograph may be saved again."""

from __future__ import annotations

from retina_core.data.sample import Dataset, Split
from retina_core.data.signatures import recognised
from retina_core.data.twins import across
from retina_core.errors import LeakError
from retina_core.training.seen import seen_by, signatures_before


def refuse_leak(synthetic: Dataset | None, real_test: Dataset, real_train: Dataset | None = None) -> None:
    """Refuse to test on photographs that had a part in the synthetic pairs, whatever their files hold and are called.

    Args:
        real_train: what was seen of it is compared itself, and called by its name; of others the signatures are.

    Raises:
        LeakError: names them, and the photographs that show the same picture.
    """
    if synthetic is None:
        return
    seen, signatures = seen_by([synthetic]), signatures_before(synthetic)
    train = {sample.fingerprint: sample for sample in real_train.samples} if real_train else {}
    pairs = [
        (
            sample.id,
            train[sample.fingerprint].id if sample.fingerprint in train else _unnamed(sample.fingerprint),
        )
        for sample in real_test.samples
        if sample.fingerprint in seen
    ]
    if signatures and not real_test.phantom:  # phantoms are drawn: no file of one is saved again
        rest = [sample for sample in real_test.samples if sample.fingerprint not in seen]
        pairs += across(rest, [sample for print_, sample in train.items() if print_ in signatures])
        unseen = {print_: one for print_, one in signatures.items() if print_ not in train}
        found = recognised([sample.look for sample in rest], unseen)
        pairs += [(rest[one.place].id, _unnamed(one.fingerprint)) for one in found]
    if pairs:
        raise LeakError(list(dict.fromkeys(tested for tested, _ in pairs)), synthetic.name, pairs)


def _unnamed(fingerprint: str) -> str:
    """A photograph of which the content hash only is known."""
    return f"photograph {fingerprint[:12]}"


def refuse_shared(real: Split) -> None:
    """Refuse to test on what is trained on, where the parts were put together from data sets that share a picture.

    Raises:
        LeakError: names the pairs.
    """
    if real.test.phantom or real.train.phantom:
        return
    if pairs := across(real.test.samples, real.train.samples):
        raise LeakError([tested for tested, _ in pairs], f"the training part, {real.train.name}", pairs)


def uncompared(synthetic: Dataset | None, real_test: Dataset) -> str:
    """What could be compared by content alone; empty where there is nothing to say."""
    if synthetic is None or real_test.phantom:
        return ""
    seen = seen_by([synthetic]) - {sample.fingerprint for sample in synthetic.samples}
    lacking = len(seen - signatures_before(synthetic).keys())
    if not lacking:
        return ""
    return (
        f"{lacking} of {len(seen)} photographs that the pairs were made from have no signature (phantoms, or stages of an "
        "earlier version): if a test photograph is one of them, saved another way, nobody can tell"
    )
