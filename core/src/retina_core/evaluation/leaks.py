"""What was seen must not be tested on: by content, and by picture, since a photograph may be saved again."""

from __future__ import annotations

from retina_core.data.sample import Dataset, Split
from retina_core.data.signatures import recognised
from retina_core.data.twins import across
from retina_core.errors import DatasetError, LeakError
from retina_core.formats.annotation import seen_by_annotators
from retina_core.training.seen import seen_by, seen_by_makers, signatures_before


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

    So it is with weak labels whose annotators had learnt from a test photograph, and with synthetic pairs among what is
    trained on that were made from one.

    Raises:
        LeakError: names the pairs.
    """
    _refuse_sources(real)
    if real.test.phantom or real.train.phantom:  # drawn: nothing of them was saved again
        known = {sample.identity: sample.id for sample in real.train.samples}
        pairs = [(s.id, known[s.identity]) for s in real.test.samples if s.identity in known]
    else:
        pairs = across(real.test.samples, real.train.samples)
    if pairs:
        raise LeakError([tested for tested, _ in pairs], f"the training part, {real.train.name}", pairs)


def _refuse_sources(real: Split) -> None:
    """Refuse weak labels, and synthetic pairs, that a test photograph had a part in."""
    seen = seen_by_makers(real.train.roots)
    if any(sample.weak for sample in real.train.samples):
        seen |= seen_by_annotators(real.train.roots)
    if not seen:
        return
    pairs = [(s.id, _unnamed(s.fingerprint)) for s in real.test.samples if s.fingerprint in seen]
    rest = [sample for sample in real.test.samples if sample.fingerprint not in seen]
    signatures = {fingerprint: one for fingerprint, one in seen.items() if one}
    if signatures and not real.test.phantom:
        found = recognised([sample.look for sample in rest], signatures)
        pairs += [(rest[one.place].id, _unnamed(one.fingerprint)) for one in found]
    if pairs:
        origin = f"what weak labels, or synthetic pairs, in {real.train.name} were made from"
        raise LeakError(list(dict.fromkeys(tested for tested, _ in pairs)), origin, pairs)


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


def refuse_weak_truth(real: Split) -> None:
    """Refuse a test in which all that could be held against a segmenter was made by one.

    Raises:
        DatasetError: no test sample was annotated, by anybody, for a channel in use.
    """
    channels, samples = real.train.channels, real.test.samples
    weak = [name for name in channels if any(name in sample.weak for sample in samples)]
    if weak and not any(name in sample.labels for sample in samples for name in channels):
        said = f"the test part has only weak maps of {', '.join(weak)}, which a stage filled in: no test is held to them"
        advice = "combine it with a data set that somebody annotated (--data, once for each)"
        raise DatasetError(
            real.test.name, [f"{said}; {advice}, or choose others with --set data.channels=NAME,..."]
        )
