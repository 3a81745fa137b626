"""Where weak maps stand for real ones beside generated ones, that is said: a stage, not an annotator, marked them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retina_core.data.sample import Sample
from retina_core.evaluation.figures import Note
from retina_core.training.options import Listener


def weak_notes(
    evaluator: str, training: Sequence[Sample], channels: Sequence[str], listener: Listener
) -> list[Note]:
    """What an evaluator's report says of weak training maps; the listener is told at once."""
    lines = list(_weak_maps_told(training, channels))
    for line in lines:
        listener.say(f"{evaluator}: {line}")
    return [Note(line) for line in lines]


def _weak_maps_told(training: Sequence[Sample], channels: Sequence[str]) -> Iterator[str]:
    """A sentence for each channel of which some training maps are weak: how many of how many."""
    for channel in channels:
        annotated = [sample for sample in training if channel in sample.labels]
        weak = sum(channel in sample.weak for sample in annotated)
        if weak:
            spoken = channel.replace("_", " ")
            yield (
                f"{weak} of {len(annotated)} real training maps of {spoken} are weak: a trained stage marked them, and "
                "what is compared with them is compared with its mistakes too."
            )
