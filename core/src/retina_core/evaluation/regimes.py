"""What a segmenter is trained on: REAL, SYNTH, MIX(p) or FINETUNE."""

from __future__ import annotations

import re
from collections.abc import Sequence

from retina_core.data.sample import Dataset
from retina_core.errors import InvalidValueError
from retina_core.training.fit import Lesson

_MIX = re.compile(r"mix:(\d{1,2})|mix\((\d{1,2})\)")


def parse_regimes(text: str) -> tuple[str, ...]:
    """``real,synth,mix:50,finetune`` -> ``("REAL", "SYNTH", "MIX(50)", "FINETUNE")``.

    Raises:
        InvalidValueError: a word is no regime.
    """
    return tuple(dict.fromkeys(_parse(word.strip().lower()) for word in text.split(",")))


def _parse(word: str) -> str:
    if word in ("real", "synth", "finetune"):
        return word.upper()
    if (match := _MIX.fullmatch(word)) and (percent := int(match[1] or match[2])) > 0:
        return f"MIX({percent})"
    raise InvalidValueError("evaluate", "regime", word, "choose from real, synth, mix:1 to mix:99, finetune")


def lessons_for(regime: str, real: Dataset, synthetic: Dataset | None, seen_images: int) -> Sequence[Lesson]:
    """The training samples of a regime; FINETUNE changes from synthetic to real ones half-way.

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
    if regime == "FINETUNE":
        return [Lesson(synthetic), Lesson(real, start=seen_images // 2)]
    return [Lesson(mixed(real, synthetic, int(regime.removeprefix("MIX(").rstrip(")"))))]


def mixed(real: Dataset, synthetic: Dataset, percent: int) -> Dataset:
    """All real samples, and synthetic ones until they are ``percent`` of the whole.

    Raises:
        InvalidValueError: there are too few synthetic pairs.
    """
    wanted = -(-len(real.samples) * percent // (100 - percent))  # rounded up
    if wanted > len(synthetic.samples):
        reason = f"it needs {wanted} synthetic pairs beside {len(real.samples)} real ones, and there are "
        raise InvalidValueError("evaluate", "regime", f"MIX({percent})", f"{reason}{len(synthetic.samples)}")
    return real.with_samples([*real.samples, *synthetic.samples[:wanted]])
