"""What a segmenter is trained on: REAL, SYNTH, BOTH, MIX(p) or FINETUNE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from retina_core.data.origin import Origin
from retina_core.data.sample import Dataset
from retina_core.errors import InvalidValueError
from retina_core.training.lessons import Lesson, learnable

_PAIRS = "synthetic pairs"
_MIX = re.compile(r"mix:(\d{1,2})|mix\((\d{1,2})\)")


def parse_regimes(text: str) -> tuple[str, ...]:
    """``real,synth,mix:50,finetune`` -> ``("REAL", "SYNTH", "MIX(50)", "FINETUNE")``.

    Raises:
        InvalidValueError: a word is no regime.
    """
    return tuple(dict.fromkeys(_parse(word.strip().lower()) for word in text.split(",")))


def _parse(word: str) -> str:
    if word in ("real", "synth", "both", "finetune"):
        return word.upper()
    if (match := _MIX.fullmatch(word)) and (percent := int(match[1] or match[2])) > 0:
        return f"MIX({percent})"
    reason = "choose from real, synth, mix:1 to mix:99, finetune, both"
    raise InvalidValueError("evaluate", "regime", word, reason)


def lessons_for(
    regime: str, real: Dataset, synthetic: Dataset | None, seen_images: int, *, masks: bool = True
) -> Sequence[Lesson]:
    """The training samples of a regime; FINETUNE changes from synthetic to real ones half-way.

    Args:
        masks: whether the segmenter learns from samples that are annotated for some of the channels only.

    Raises:
        InvalidValueError: the regime needs synthetic pairs, and there are none.
    """
    if regime == "REAL":
        return [Lesson(real)]
    if synthetic is None:
        raise InvalidValueError(
            "evaluate", "regime", regime, "it needs synthetic pairs; give --synthetic DIR"
        )
    if regime == "SYNTH":
        return [Lesson(synthetic)]
    if regime == "BOTH":  # all there is of either, whatever their shares (Andreini et al. 2019)
        return [Lesson(_joined(real, synthetic, len(synthetic)))]
    if regime == "FINETUNE":
        return [Lesson(synthetic), Lesson(real, start=seen_images // 2)]
    return [Lesson(mixed(real, synthetic, percent_of(regime), masks=masks))]


def mixed(real: Dataset, synthetic: Dataset, percent: int, *, masks: bool = True) -> Dataset:
    """All real samples, and the first synthetic ones until they are ``percent`` of what is learnt from.

    A real sample without a map is not learnt from, and does not count; a smaller share's pairs are among a larger one's.

    Raises:
        InvalidValueError: there are too few synthetic pairs.
    """
    wanted = pairs_needed((f"MIX({percent})",), real, masks=masks)
    if wanted > len(synthetic.samples):
        count = len(learnable(real, masks))
        reason = f"it needs {wanted} synthetic pairs beside {count} real ones, and there are "
        raise InvalidValueError("evaluate", "regime", f"MIX({percent})", f"{reason}{len(synthetic.samples)}")
    return _joined(real, synthetic, wanted)


def _joined(real: Dataset, synthetic: Dataset, count: int) -> Dataset:
    """All real samples and the first ``count`` pairs, as of two origins: what pairs were made from had a part in it too."""
    own = Origin(real.name, real.reader, real.root, len(real), real.citation, real.licence)
    pairs = Origin(_PAIRS, synthetic.reader, synthetic.root, count, synthetic.citation, synthetic.licence)
    real_samples = real.samples if real.origins else [replace(s, origin=real.name) for s in real.samples]
    drawn = [replace(s, origin=_PAIRS) for s in synthetic.samples[:count]]
    joined = real.with_samples([*real_samples, *drawn])
    return replace(joined, root=None, origins=(*(real.origins or (own,)), pairs))


def percent_of(regime: str) -> int:
    """How much of a mix is synthetic, in per cent: 25 for MIX(25); 0 for REAL."""
    return int(regime.removeprefix("MIX(").rstrip(")")) if regime.startswith("MIX(") else 0


def pairs_needed(regimes: Iterable[str], real: Dataset, *, masks: bool = True) -> int:
    """Synthetic pairs that the greatest MIX among some regimes takes beside the real samples; 0 without any."""
    share, count = max(map(percent_of, regimes), default=0), len(learnable(real, masks))
    return -(-count * share // (100 - share))  # rounded up
