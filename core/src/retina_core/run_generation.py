"""What a run says of its pairs, checked before anything is trained: grades, filters, and who finds vessels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from retina_core.asked_grades import AskedGrades
from retina_core.data.sample import Dataset, Split
from retina_core.errors import InvalidValueError
from retina_core.evaluation.added import GRADES
from retina_core.evaluation.grades import graded_maps
from retina_core.evaluation.leaks import refuse_leak
from retina_core.formats.stage_card import read_card
from retina_core.formats.stage_folder import read_grade_shares
from retina_core.registry import Registry
from retina_core.roles import DrawingStage
from retina_core.run_starts import Start
from retina_core.screening import Screen
from retina_core.specs import StageSpec
from retina_core.training.lessons import learnable
from retina_core.training.priors import shares_of_grades
from retina_core.vessel_finder import check_finder, has_vessels

if TYPE_CHECKING:
    from retina_core.run_plan import PipelineRequest


def check_generation(
    request: PipelineRequest, registry: Registry, spec: StageSpec, start: Start, split: Split
) -> None:
    """Refuse what generation would refuse once the stages are trained.

    Args:
        spec: of the stage that draws label maps.
        start: where it begins.

    Raises:
        GradeError, InvalidValueError: it cannot draw the grade that is asked for, or none for an evaluator to look at.
        UnknownStageError, BrokenPluginError: a filter is not there.
        StageFolderError, WrongRoleError, ChannelError: ``vessels`` holds no segmenter of vessels.
        LeakError: that segmenter has seen a photograph of the test part.
    """
    channels, shares = drawn(registry, spec, start, split)
    kind = cast(type[DrawingStage], registry.stage_class(spec))
    AskedGrades.of(kind, channels, shares, request.grade, unseen=request.unseen_grade, registry=registry)
    asked = GRADES in request.evaluators or GRADES in request.settings
    if asked and not draws_grades(request, registry, spec, start, split):
        reason = f"{spec.name} draws no grades here, or no training sample with maps has one"
        advice = (
            "leave it out, or choose a label generator that takes grades, and data with lesions and grades"
        )
        raise InvalidValueError("pipeline", "evaluator", GRADES, f"{reason}; {advice}")
    Screen.installed(registry, request.filters)
    if request.vessels is None:
        return
    folder = Path(request.vessels)
    check_finder(folder)
    if not has_vessels(channels):
        lent = Dataset(name=f"the segmenter {folder}", reader="", root=folder, samples=(), channels=())
        refuse_leak(lent, split.test, split.train)


def draws_grades(
    request: PipelineRequest, registry: Registry, spec: StageSpec, start: Start, split: Split
) -> bool:
    """Whether pairs will have grades, and training samples with maps too: then it can be said whether they show."""
    channels, shares = drawn(registry, spec, start, split)
    kind = cast(type[DrawingStage], registry.stage_class(spec))
    wish, unseen = request.grade, request.unseen_grade
    asked = AskedGrades.of(kind, channels, shares, wish, unseen=unseen, registry=registry)
    shared = [channel for channel in split.train.channels if channel in channels]
    return bool(asked.dealt) and bool(graded_maps(split.train, shared))


def drawn(
    registry: Registry, spec: StageSpec, start: Start, split: Split
) -> tuple[Sequence[str], Mapping[int, float]]:
    """The channels that a stage will draw, and the shares of grades in what it learns from."""
    if start.folder is not None and not start.trained:
        return read_card(start.folder).channels, read_grade_shares(start.folder)
    masks = bool(getattr(registry.stage_class(spec), "masks_absent", True))
    samples = learnable(split.train, masks).samples
    return split.train.channels, shares_of_grades(sample.grade for sample in samples)
