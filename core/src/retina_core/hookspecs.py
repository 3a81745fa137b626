"""The hooks of the project ``retina``: what a plugin may offer, and what it may listen to.

A plugin is a module, announced by an entry point of the group ``retina``, that holds functions of these
names marked with ``retina_core.api.hookimpl``. Reading a plugin imports no torch: specs name their classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pluggy

from retina_core.specs import CommandSpec, FilterSpec, ReaderSpec, StageSpec

hookspec = pluggy.HookspecMarker("retina")


@hookspec
def retina_label_generators() -> Sequence[StageSpec]:
    """Offer stages that draw label maps from noise."""
    return ()


@hookspec
def retina_image_translators() -> Sequence[StageSpec]:
    """Offer stages that paint a photograph over a label map."""
    return ()


@hookspec
def retina_pair_generators() -> Sequence[StageSpec]:
    """Offer stages that draw label maps and their photographs together, from noise."""
    return ()


@hookspec
def retina_segmenters() -> Sequence[StageSpec]:
    """Offer stages that find label maps in photographs; each is an evaluator of its own name too."""
    return ()


@hookspec
def retina_evaluators() -> Sequence[StageSpec]:
    """Offer evaluators that are more than a segmenter's training and test."""
    return ()


@hookspec
def retina_datasets() -> Sequence[ReaderSpec]:
    """Offer readers of a data set's layout as its owner distributes it."""
    return ()


@hookspec
def retina_filters() -> Sequence[FilterSpec]:
    """Offer reasons to draw a synthetic pair again."""
    return ()


@hookspec
def retina_commands() -> Sequence[CommandSpec]:
    """Offer further commands of ``retina``."""
    return ()


@hookspec
def retina_step_logged(stage: str, folder: Path, seen_images: int, scalars: Mapping[str, float]) -> None:
    """Observe one line of a stage's ``log.jsonl`` (losses, learning rates, images per second)."""


@hookspec
def retina_stage_fitted(stage: str, role: str, folder: Path) -> None:
    """Observe that a stage is trained and its folder complete."""


@hookspec
def retina_sample_written(folder: Path, row: Mapping[str, object]) -> None:
    """Observe one synthetic sample, written to ``folder`` with this row of ``metadata.jsonl``."""


@hookspec
def retina_run_finished(folder: Path) -> None:
    """Observe that a pipeline's run folder is complete."""


OFFER_HOOKS: dict[str, str] = {
    "retina_label_generators": "label-generator",
    "retina_image_translators": "image-translator",
    "retina_pair_generators": "pair-generator",
    "retina_segmenters": "segmenter",
    "retina_evaluators": "evaluator",
    "retina_datasets": "reader",
    "retina_filters": "filter",
    "retina_commands": "command",
}
"""Offering hook -> what its specs are."""
