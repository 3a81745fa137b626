"""Where weak maps stand for real ones beside generated ones, that is said: a stage, not an annotator, marked them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from retina_core.data.sample import Sample


def weak_maps_told(training: Sequence[Sample], channels: Sequence[str]) -> Iterator[str]:
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
