"""Does the grade show? Lesions by grade, generated beside real, and a classifier that learnt from real maps.

After Son et al. (2021), whose label generator is told a grade of diabetic retinopathy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from retina_core.channels import lesions_among
from retina_core.data.prepare import prepare
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import DatasetError, InvalidValueError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.figures import Figure, Note, write_figures
from retina_core.evaluation.grade_agreement import (
    Answers,
    agreement_rows,
    ask,
    ask_by_turns,
    confusion_figures,
    joined,
    learn_grades,
    verdict,
    write_answers,
)
from retina_core.evaluation.grades_config import GradesConfig
from retina_core.evaluation.leaks import refuse_leak
from retina_core.evaluation.lesion_counts import MeasuredEye, Ruler
from retina_core.evaluation.lesion_rows import lesion_charts, lesion_rows, lesion_table, write_lesions
from retina_core.evaluation.scores import Score, Scores
from retina_core.evaluation.weak_truth import weak_notes
from retina_core.roles import Evaluator


class GradesEvaluator(Evaluator):
    """Number and area of lesions by grade, and whether generated maps are taken for the grade that was asked for."""

    role: ClassVar[str] = "evaluator"
    name = "grades"

    def __init__(self, config: GradesConfig) -> None:
        self.config = config

    def evaluate(
        self, synthetic: Dataset | None, real_train: Dataset, real_test: Dataset, context: EvaluationContext
    ) -> Scores:
        """Scores and figures of generated maps beside real ones; of the test part only maps with a grade are looked at.

        Raises:
            InvalidValueError: there are no synthetic pairs.
            DatasetError: none of them has a grade, or no training sample with maps has one.
            LeakError: a test photograph had a part in them.
        """
        if synthetic is None:
            raise InvalidValueError("grades", "synthetic", None, "it compares pairs; give --synthetic DIR")
        refuse_leak(synthetic, real_test, real_train)
        channels = tuple(channel for channel in real_train.channels if channel in synthetic.channels)
        pairs, training = _graded_pairs(synthetic), graded_maps(real_train, channels)
        if not training:
            reason = f"no training sample with a map of {' or '.join(channels) or 'the pairs'} has a grade"
            advice = "give the samples grades, or weak ones with retina annotate --grades"
            raise DatasetError(real_train.root or real_train.name, [f"{reason}; {advice}"])
        pairs = pairs[: self.config.compared]
        ruler = self._ruler(pairs, real_train, channels)
        real = list(ruler.measure(training, "real"))
        drawn = list(ruler.measure(pairs, "generated"))
        held_out = list(ruler.measure(graded_maps(real_test, channels), "real"))
        for line in _left_out(real_test, channels, held_out, real):
            context.options.listener.say(f"grades: {line}")
        weak = weak_notes(self.name, training, channels, context.options.listener)
        rows, figures = self._counted([*drawn, *real], lesions_among(channels), ruler, context)
        judged, shown = self._judged(real, drawn, held_out, context)
        write_figures([*shown, *weak, *figures], context.folder / "figures.json")
        scores = Scores(self.name, (*judged, *rows))
        scores.write(context.folder / "scores.json")
        return scores

    def _ruler(self, pairs: Sequence[Sample], real_train: Dataset, channels: tuple[str, ...]) -> Ruler:
        """The size and the cuts at which all maps are measured."""
        size_px = self.config.count_px or max(pairs[0].photo.size())
        annotated = [sample for sample in real_train.samples if any(one in sample.labels for one in channels)]
        return Ruler.of(prepare(annotated, channels, size_px), self.config.resolution)

    def _counted(
        self, eyes: Sequence[MeasuredEye], lesions: Sequence[str], ruler: Ruler, context: EvaluationContext
    ) -> tuple[list[Score], list[Figure]]:
        """Lesions by grade."""
        write_lesions(context.folder / "lesions.csv", eyes)
        rows = lesion_rows(eyes, lesions)
        if not rows:
            return [], [Note("The maps have no channel of a lesion: nothing is counted.")]
        return rows, [lesion_table(rows, ruler.size_px), *lesion_charts(rows, lesions)]

    def _judged(
        self,
        training: Sequence[MeasuredEye],
        drawn: Sequence[MeasuredEye],
        held_out: Sequence[MeasuredEye],
        context: EvaluationContext,
    ) -> tuple[list[Score], list[Figure]]:
        """What the classifier says; nothing where real maps are too few to learn from."""
        whole = [eye for eye in training if eye.picture is not None]
        learnt = sorted({eye.grade for eye in whole})
        if len(learnt) < 2:
            held = f"of grade {learnt[0]} alone" if learnt else "none"
            said = f"No classifier is trained: of the real training maps that have all channels and a grade, {held}"
            context.options.listener.say(f"grades: {said}")
            return [], [Note(f"{said}.")]
        grader = learn_grades(whole, self.config, context.options)
        known = [eye for eye in drawn if eye.grade in learnt and eye.picture is not None]
        answers = ask(grader, known)
        tested = ask(grader, [eye for eye in held_out if eye.picture is not None and eye.grade in learnt])
        yardstick = joined(tested, ask_by_turns(whole, self.config.parts, self.config, context.options))
        write_answers(context.folder / "answers.csv", [answers, yardstick])
        notes = [Note(f"{verdict(answers, yardstick)}{_of_whom(tested, yardstick)}")] if known else []
        notes += [Note(line) for line in _unlearnt(drawn, learnt)]
        return agreement_rows(answers, yardstick), [*notes, *confusion_figures(answers, yardstick, learnt)]


def graded_maps(dataset: Dataset, channels: Sequence[str]) -> list[Sample]:
    """The samples that have a grade, and a map of one of the channels."""
    return [
        sample
        for sample in dataset.samples
        if sample.grade is not None and any(channel in sample.labels for channel in channels)
    ]


def _graded_pairs(synthetic: Dataset) -> list[Sample]:
    """The pairs that have a grade.

    Raises:
        DatasetError: none has.
    """
    graded = [sample for sample in synthetic.samples if sample.grade is not None]
    if not graded:
        reason = "no pair has a grade, so that none can show it"
        advice = "draw them with --grade, by a label generator that takes grades"
        raise DatasetError(synthetic.root or synthetic.name, [f"{reason}; {advice}"])
    return graded


def _left_out(
    real_test: Dataset,
    channels: Sequence[str],
    held_out: Sequence[MeasuredEye],
    training: Sequence[MeasuredEye],
) -> Iterator[str]:
    """What is not compared, and which grades are not an eye's own."""
    marked = [sample for sample in real_test.samples if any(one in sample.labels for one in channels)]
    if len(held_out) < len(marked):
        yield f"{len(marked) - len(held_out)} of {len(marked)} test eyes with maps have no grade and are left out"
    for kind, count in Counter(eye.grade_from.split()[0] for eye in training).items():
        if kind in {"twin", "weak"}:
            how = "are those of twins" if kind == "twin" else "are weak: a classifier gave them"
            yield f"{count} of the grades of {len(training)} training eyes {how}"


def _of_whom(tested: Answers, yardstick: Answers) -> str:
    """A sentence on who the real held-out maps are of, and whose were marked by a trained stage."""
    turned = yardstick.eyes[len(tested.eyes) :]
    if not turned:
        return ""
    weak = sum(bool(eye.weak) for eye in turned)
    return (
        f" Of the real maps {len(tested.eyes)} are of test eyes, and {len(turned)} of training eyes, asked about of classifiers "
        f"that learnt from others of them{f'; {weak} of these have weak maps' if weak else ''}."
    )


def _unlearnt(drawn: Sequence[MeasuredEye], learnt: Sequence[int]) -> Iterator[str]:
    """A sentence where maps of grades were drawn that the classifier cannot know."""
    strange = Counter(eye.grade for eye in drawn if eye.grade not in learnt)
    if strange:
        grades = " and ".join(str(grade) for grade in sorted(strange))
        yield (
            f"{strange.total()} generated maps of grade {grades} are counted, but not judged: no real training map has "
            "that grade, so that the classifier cannot know it."
        )
