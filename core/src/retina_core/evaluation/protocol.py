"""The protocol that makes an evaluator of every segmenter: trained on each regime alike, tested on real eyes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import tee
from pathlib import Path
from typing import cast

from retina_core.channels import TREES
from retina_core.config import LearningConfig, Precision
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import DatasetError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.leaks import refuse_leak
from retina_core.evaluation.metrics import count_eye, count_mask, otsu_threshold
from retina_core.evaluation.ranking import Ranking
from retina_core.evaluation.regimes import lessons_for
from retina_core.evaluation.results import ChannelResult, collect, write_csv
from retina_core.evaluation.scores import Scores
from retina_core.evaluation.summary import COMPARED, TRADED, difference_rows, reference_rows, regime_rows
from retina_core.evaluation.tested import KeptResults
from retina_core.evaluation.testing_eyes import ceiling_eyes, segmented_eyes
from retina_core.roles import Evaluator, Segmenter
from retina_core.specs import StageSpec
from retina_core.training.fit import fit
from retina_core.training.lessons import Lesson, learnable

THRESHOLD_EYES = 20
"""Training eyes on which the threshold is chosen."""


class UtilityEvaluator(Evaluator):
    """What synthetic pairs are worth to a segmenter: trained on them, does it find vessels in real eyes?"""

    def __init__(self, spec: StageSpec) -> None:
        self.spec, self.name = spec, spec.name

    def evaluate(
        self, synthetic: Dataset | None, real_train: Dataset, real_test: Dataset, context: EvaluationContext
    ) -> Scores:
        """Train a segmenter on each regime and seed, test all of them alike, and score what they find.

        REAL, SYNTH and the others have one working resolution, one number of steps (but with ``context.epochs``) and one
        augmentation. The threshold of each is chosen on what it was trained on, never on the test eyes. A training that
        was finished and tested before is not tested again.

        Raises:
            LeakError: a test photograph had a part in the synthetic pairs.
        """
        refuse_leak(synthetic, real_test, real_train)
        channels = _shared_channels(synthetic, real_train)
        real_train = replace(real_train, channels=channels)
        synthetic = replace(synthetic, channels=channels) if synthetic else None
        for regime in context.regimes:  # what cannot be trained is refused before anything is
            self._lessons(regime, real_train, synthetic, 1, context)
        config = self._config(context)
        results: list[ChannelResult] = []
        real_test = _annotated(real_test, channels)
        for regime in context.regimes:
            for seed in range(context.seeds):
                results += self._found((regime, seed), synthetic, real_train, real_test, context)
        references = _observers(real_test.samples, channels, over_all=context.over_all) + _ceiling(
            real_test.samples, channels, config.resolution, over_all=context.over_all
        )
        write_csv(context.folder / "eyes.csv", [*results, *references])
        compared = (*COMPARED, *TRADED) if context.over_all else COMPARED
        rows = [*regime_rows(results), *difference_rows(results, compared), *reference_rows(references)]
        scores = Scores(self.name, tuple(rows), context.protocol.name if context.protocol else None)
        scores.write(context.folder / "scores.json")
        return scores

    def _config(self, context: EvaluationContext) -> LearningConfig:
        config = context.registry.config_class(self.spec).resolve(self.name, context.preset, context.settings)
        return cast(LearningConfig, config)

    def _lessons(
        self,
        regime: str,
        real: Dataset,
        synthetic: Dataset | None,
        seen_images: int,
        context: EvaluationContext,
    ) -> Sequence[Lesson]:
        return lessons_for(regime, real, synthetic, seen_images, masks=self._masks(context))

    def _masks(self, context: EvaluationContext) -> bool:
        return getattr(context.registry.stage_class(self.spec), "masks_absent", True)

    def _found(
        self,
        training: tuple[str, int],
        synthetic: Dataset | None,
        real: Dataset,
        real_test: Dataset,
        context: EvaluationContext,
    ) -> list[ChannelResult]:
        """What a segmenter of a regime and seed finds in the test eyes: trained and tested, or as it was found before."""
        regime, seed = training
        segmenter, lessons = self._trained(training, synthetic, real, context)
        folder, say = _kept_in(context, regime, seed), context.options.listener.say
        tested = KeptResults.of(folder, real_test.samples, real.channels, context)
        if (before := tested.read()) is not None:
            say(f"{self.name}: {regime} seed {seed}: tested before")
            return before
        learnt_from = _first_annotated(lessons[-1].dataset)
        threshold = _thresholds(segmenter, learnt_from, real.channels, context)
        say(
            f"{self.name}: {regime} seed {seed}: testing on {len(real_test.samples)} eyes, "
            + ", ".join(f"threshold {channel} {value:.3f}" for channel, value in threshold.items())
        )
        results = _tested(segmenter, training, real_test.samples, threshold, context)
        tested.write(results)
        return results

    def _trained(
        self, training: tuple[str, int], synthetic: Dataset | None, real: Dataset, context: EvaluationContext
    ) -> tuple[Segmenter, Sequence[Lesson]]:
        regime, seed = training
        settings, seen_images = context.settings, self._config(context).seen_images
        if context.epochs is not None:
            lessons = self._lessons(regime, real, synthetic, 1, context)
            counts = [len(learnable(lesson.dataset, self._masks(context))) for lesson in lessons]
            seen_images = context.epochs * sum(counts)
            settings = {**settings, "seen_images": seen_images}
        lessons = self._lessons(regime, real, synthetic, seen_images, context)
        context.options.listener.say(f"{self.name}: training on {regime}, seed {seed}")
        segmenter = fit(
            self.name,
            lessons,
            _kept_in(context, regime, seed),
            role="segmenter",
            validation=context.protocol.validation if context.protocol else 0,
            preset=context.preset,
            settings=settings,
            options=replace(context.options, seed=context.options.seed + seed),
            registry=context.registry,
        )
        return cast(Segmenter, segmenter), lessons


def training_folder(evaluation: Path, regime: str, seed: int) -> Path:
    """Where a regime's segmenter of a seed lies in an evaluation's folder: ``mix-25-seed0``."""
    return evaluation / f"{regime.lower().replace('(', '-').rstrip(')')}-seed{seed}"


def _kept_in(context: EvaluationContext, regime: str, seed: int) -> Path:
    """The folder of one of the segmenters that are tested."""
    return training_folder(context.trainings or context.folder, regime, seed)


def _annotated(dataset: Dataset, channels: Sequence[str]) -> Dataset:
    """The samples in which one of the channels can be tested.

    Raises:
        DatasetError: there is none.
    """
    kept = [sample for sample in dataset.samples if any(channel in sample.labels for channel in channels)]
    if not kept:
        said = f"no test sample is annotated for {' or '.join(channels) or 'any channel'}"
        raise DatasetError(dataset.name, [f"{said}; choose channels with --set data.channels=NAME,..."])
    return dataset if len(kept) == len(dataset) else dataset.with_samples(kept)


def _first_annotated(dataset: Dataset) -> list[Sample]:
    """The first samples that are annotated, for each channel so many."""
    met: Counter[str] = Counter()
    chosen = []
    for sample in dataset.samples:
        wanted = [name for name in dataset.channels if name in sample.labels and met[name] < THRESHOLD_EYES]
        met.update(wanted)
        if wanted:
            chosen.append(sample)
    return chosen


def _shared_channels(synthetic: Dataset | None, real: Dataset) -> tuple[str, ...]:
    if synthetic is None:
        return real.channels
    return tuple(channel for channel in real.channels if channel in synthetic.channels)


def _thresholds(
    segmenter: Segmenter, samples: Sequence[Sample], channels: Sequence[str], context: EvaluationContext
) -> dict[str, float]:
    """Channel -> the threshold of highest Dice on training eyes, or Otsu's of what is found in them."""
    precision = context.options.precision
    if context.protocol and context.protocol.otsu:
        return {channel: _otsu(segmenter, samples, channel, precision) for channel in channels}
    rankings = dict.fromkeys(channels, Ranking.empty())
    for eye in segmented_eyes(segmenter, samples, channels, precision):
        rankings[eye.channel] += Ranking.of(eye.probabilities[eye.fov], eye.truth[eye.fov])
    return {channel: ranking.best_threshold() for channel, ranking in rankings.items()}


def _otsu(segmenter: Segmenter, samples: Sequence[Sample], channel: str, precision: Precision) -> float:
    """Otsu's threshold of one channel; one eye is in memory at a time."""
    found, again = tee(segmented_eyes(segmenter, samples, (channel,), precision))
    return otsu_threshold((eye.probabilities for eye in found), (eye.fov for eye in again))


def _tested(
    segmenter: Segmenter,
    training: tuple[str, int],
    samples: Sequence[Sample],
    thresholds: dict[str, float],
    context: EvaluationContext,
) -> list[ChannelResult]:
    """What a segmenter of a regime and seed finds in the test eyes."""
    counted = (
        (
            eye.sample,
            eye.channel,
            count_eye(
                eye.probabilities,
                eye.truth,
                eye.fov,
                thresholds[eye.channel],
                centrelines=eye.channel in TREES,
            ),
        )
        for eye in segmented_eyes(segmenter, samples, tuple(thresholds), context.options.precision)
    )
    return collect(*training, thresholds, counted, over_all=context.over_all)


def _observers(samples: Sequence[Sample], channels: Sequence[str], *, over_all: bool) -> list[ChannelResult]:
    """Further human observers, held against the first."""
    names = dict.fromkeys(observer for sample in samples for observer in sample.observers)
    results: list[ChannelResult] = []
    for observer in names:
        counted = (
            (
                sample,
                channel,
                count_mask(
                    sample.observer_array(observer, channel),
                    sample.label_array(channel),
                    sample.fov_array(),
                    centrelines=channel in TREES,
                ),
            )
            for sample in samples
            for channel in channels
            if channel in sample.labels and channel in sample.observers.get(observer, {})
        )
        results += collect(_spoken(observer), 0, {}, counted, over_all=over_all)
    return results


def _ceiling(
    samples: Sequence[Sample], channels: Sequence[str], resolution: int, *, over_all: bool
) -> list[ChannelResult]:
    counted = (
        (eye.sample, channel, count_mask(eye.probabilities > 0.5, eye.truth, eye.fov))
        for channel in channels
        for eye in ceiling_eyes(samples, channel, resolution)
    )
    levels = dict.fromkeys(channels, 0.5)
    return collect(f"ceiling at {resolution} px", 0, levels, counted, over_all=over_all)


def _spoken(observer: str) -> str:
    return {"observer2": "second observer", "observer3": "third observer"}.get(observer, observer)
