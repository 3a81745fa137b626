"""The protocol that makes an evaluator of every segmenter: trained on each regime alike, tested on real eyes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from retina_core.channels import TREES
from retina_core.config import LearningConfig, Precision
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import DatasetError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.leaks import refuse_leak
from retina_core.evaluation.metrics import count_eye, count_mask
from retina_core.evaluation.ranking import Ranking
from retina_core.evaluation.regimes import lessons_for
from retina_core.evaluation.results import ChannelResult, collect, write_csv
from retina_core.evaluation.scores import Scores
from retina_core.evaluation.summary import difference_rows, reference_rows, regime_rows
from retina_core.evaluation.testing_eyes import ceiling_eyes, segmented_eyes
from retina_core.roles import Evaluator, Segmenter
from retina_core.specs import StageSpec
from retina_core.training.fit import fit

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

        REAL, SYNTH and the others have one working resolution, one number of steps and one augmentation. The
        threshold of each is chosen on what it was trained on, never on the test eyes.

        Raises:
            LeakError: a test photograph had a part in the synthetic pairs.
        """
        refuse_leak(synthetic, real_test, real_train)
        for regime in context.regimes:  # what cannot be trained is refused before anything is
            lessons_for(regime, real_train, synthetic, 1)
        channels = _shared_channels(synthetic, real_train)
        config = self._config(context)
        results: list[ChannelResult] = []
        real_test = _annotated(real_test, channels)
        for regime in context.regimes:
            for seed in range(context.seeds):
                segmenter, threshold = self._trained(regime, seed, synthetic, real_train, channels, context)
                context.options.listener.say(
                    f"{self.name}: {regime} seed {seed}: testing on {len(real_test.samples)} eyes, "
                    + ", ".join(f"threshold {channel} {value:.3f}" for channel, value in threshold.items())
                )
                results += _tested(segmenter, (regime, seed), real_test.samples, threshold, context)
        references = _observers(real_test.samples, channels) + _ceiling(
            real_test.samples, channels, config.resolution
        )
        write_csv(context.folder / "eyes.csv", [*results, *references])
        rows = [*regime_rows(results), *difference_rows(results), *reference_rows(references)]
        scores = Scores(self.name, tuple(rows))
        scores.write(context.folder / "scores.json")
        return scores

    def _config(self, context: EvaluationContext) -> LearningConfig:
        config = context.registry.config_class(self.spec).resolve(self.name, context.preset, context.settings)
        return cast(LearningConfig, config)

    def _trained(
        self,
        regime: str,
        seed: int,
        synthetic: Dataset | None,
        real: Dataset,
        channels: tuple[str, ...],
        context: EvaluationContext,
    ) -> tuple[Segmenter, dict[str, float]]:
        seen_images = self._config(context).seen_images
        lessons = [
            replace(lesson, dataset=replace(lesson.dataset, channels=channels))
            for lesson in lessons_for(regime, real, synthetic, seen_images)
        ]
        folder = context.folder / f"{regime.lower().replace('(', '-').rstrip(')')}-seed{seed}"
        context.options.listener.say(f"{self.name}: training on {regime}, seed {seed}")
        segmenter = fit(
            self.name,
            lessons,
            folder,
            role="segmenter",
            preset=context.preset,
            settings=context.settings,
            options=replace(context.options, seed=context.options.seed + seed),
            registry=context.registry,
        )
        learnt_from = _first_annotated(lessons[-1].dataset)
        found = cast(Segmenter, segmenter)
        return found, _thresholds(found, learnt_from, channels, context.options.precision)


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
    segmenter: Segmenter, samples: Sequence[Sample], channels: Sequence[str], precision: Precision
) -> dict[str, float]:
    """Channel -> the threshold of highest Dice on training eyes."""
    rankings = dict.fromkeys(channels, Ranking.empty())
    for eye in segmented_eyes(segmenter, samples, channels, precision):
        rankings[eye.channel] += Ranking.of(eye.probabilities[eye.fov], eye.truth[eye.fov])
    return {channel: ranking.best_threshold() for channel, ranking in rankings.items()}


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
    return collect(*training, thresholds, counted)


def _observers(samples: Sequence[Sample], channels: Sequence[str]) -> list[ChannelResult]:
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
        results += collect(_spoken(observer), 0, {}, counted)
    return results


def _ceiling(samples: Sequence[Sample], channels: Sequence[str], resolution: int) -> list[ChannelResult]:
    counted = (
        (eye.sample, channel, count_mask(eye.probabilities > 0.5, eye.truth, eye.fov))
        for channel in channels
        for eye in ceiling_eyes(samples, channel, resolution)
    )
    return collect(f"ceiling at {resolution} px", 0, dict.fromkeys(channels, 0.5), counted)


def _spoken(observer: str) -> str:
    return {"observer2": "second observer", "observer3": "third observer"}.get(observer, observer)
