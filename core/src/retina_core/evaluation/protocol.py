"""The protocol that makes an evaluator of every segmenter: trained on each regime alike, tested on real eyes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from retina_core.config import LearningConfig
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import LeakError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.intervals import mean_interval
from retina_core.evaluation.metrics import (
    METRICS,
    TREES,
    EyeCounts,
    best_threshold,
    count_eye,
    count_mask,
    mean_scores,
    pool,
)
from retina_core.evaluation.regimes import lessons_for
from retina_core.evaluation.scores import Score, Scores
from retina_core.evaluation.testing_eyes import ceiling_eyes, segmented_eyes
from retina_core.formats.atomic import write_text
from retina_core.roles import Evaluator, Segmenter
from retina_core.specs import StageSpec
from retina_core.training.fit import fit, seen_by

THRESHOLD_EYES = 20
"""Training eyes on which the threshold is chosen."""


@dataclass(frozen=True)
class EyeResult:
    """One test eye's counts: a row of the per-eye CSV."""

    regime: str
    seed: int
    eye: str
    channel: str
    threshold: float | None
    counts: EyeCounts


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
        refuse_leak(synthetic, real_test)
        channels = _shared_channels(synthetic, real_train)
        config = self._config(context)
        results: list[EyeResult] = []
        for regime in context.regimes:
            for seed in range(context.seeds):
                segmenter, threshold = self._trained(regime, seed, synthetic, real_train, channels, context)
                context.options.listener.say(
                    f"{self.name}: {regime} seed {seed}: testing on {len(real_test.samples)} eyes, "
                    + ", ".join(f"threshold {channel} {value:.3f}" for channel, value in threshold.items())
                )
                results += _tested(segmenter, regime, seed, real_test.samples, threshold)
        references = _observers(real_test.samples, channels) + _ceiling(
            real_test.samples, channels, config.resolution
        )
        _write_csv(context.folder / "eyes.csv", [*results, *references])
        rows = _score_rows(results, channels, context.seeds) + _reference_rows(references)
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
        learnt_from = lessons[-1].dataset.samples[:THRESHOLD_EYES]
        return cast(Segmenter, segmenter), _thresholds(cast(Segmenter, segmenter), learnt_from, channels)


def refuse_leak(synthetic: Dataset | None, real_test: Dataset) -> None:
    """Refuse to test on photographs that had a part in the synthetic pairs.

    Raises:
        LeakError: names them.
    """
    if synthetic is None:
        return
    seen = seen_by([synthetic])
    if leaked := [sample.id for sample in real_test.samples if sample.fingerprint in seen]:
        raise LeakError(leaked, synthetic.name)


def _shared_channels(synthetic: Dataset | None, real: Dataset) -> tuple[str, ...]:
    if synthetic is None:
        return real.channels
    return tuple(channel for channel in real.channels if channel in synthetic.channels)


def _thresholds(segmenter: Segmenter, samples: Sequence[Sample], channels: Sequence[str]) -> dict[str, float]:
    """Channel -> the threshold of highest Dice on training eyes."""
    eyes = list(segmented_eyes(segmenter, samples, channels))
    return {
        channel: best_threshold(
            [eye.probabilities for eye in eyes if eye.channel == channel],
            [eye.truth for eye in eyes if eye.channel == channel],
            [eye.fov for eye in eyes if eye.channel == channel],
        )
        for channel in channels
    }


def _tested(
    segmenter: Segmenter, regime: str, seed: int, samples: Sequence[Sample], thresholds: dict[str, float]
) -> list[EyeResult]:
    results = []
    for eye in segmented_eyes(segmenter, samples, tuple(thresholds)):
        cut = thresholds[eye.channel]
        counts = count_eye(eye.probabilities, eye.truth, eye.fov, cut, centrelines=eye.channel in TREES)
        results.append(EyeResult(regime, seed, eye.sample.id, eye.channel, cut, counts))
    return results


def _observers(samples: Sequence[Sample], channels: Sequence[str]) -> list[EyeResult]:
    """Further human observers, held against the first."""
    results = []
    for sample in samples:
        for observer, maps in sample.observers.items():
            for channel in channels:
                if channel in maps and channel in sample.labels:
                    marked, truth = sample.observer_array(observer, channel), sample.label_array(channel)
                    counts = count_mask(marked, truth, sample.fov_array(), centrelines=channel in TREES)
                    results.append(EyeResult(_spoken(observer), 0, sample.id, channel, None, counts))
    return results


def _ceiling(samples: Sequence[Sample], channels: Sequence[str], resolution: int) -> list[EyeResult]:
    return [
        EyeResult(
            f"ceiling at {resolution} px",
            0,
            eye.sample.id,
            channel,
            0.5,
            count_mask(eye.probabilities > 0.5, eye.truth, eye.fov),
        )
        for channel in channels
        for eye in ceiling_eyes(samples, channel, resolution)
    ]


def _spoken(observer: str) -> str:
    return {"observer2": "second observer", "observer3": "third observer"}.get(observer, observer)


def _score_rows(results: Sequence[EyeResult], channels: Sequence[str], seeds: int) -> list[Score]:
    """Pooled over eyes and averaged over seeds, with the interval of the mean over eyes."""
    rows = []
    for regime in dict.fromkeys(result.regime for result in results):
        for channel in channels:
            chosen = [r for r in results if (r.regime, r.channel) == (regime, channel)]
            rows += _rows(chosen, seeds, regime=regime, channel=channel, reference=None)
    return rows


def _reference_rows(references: Sequence[EyeResult]) -> list[Score]:
    rows = []
    for name, channel in dict.fromkeys((r.regime, r.channel) for r in references):
        chosen = [r for r in references if (r.regime, r.channel) == (name, channel)]
        rows += _rows(chosen, 0, regime=None, channel=channel, reference=name)
    return rows


def _rows(
    chosen: Sequence[EyeResult], seeds: int, *, regime: str | None, channel: str, reference: str | None
) -> list[Score]:
    if not chosen:
        return []
    by_seed = [[r for r in chosen if r.seed == seed] for seed in sorted({r.seed for r in chosen})]
    pooled = mean_scores([pool([r.counts for r in part]).scores() for part in by_seed])
    per_eye = {
        eye: mean_scores([r.counts.scores() for r in chosen if r.eye == eye])
        for eye in dict.fromkeys(r.eye for r in chosen)
    }
    rows = []
    for name in METRICS:
        if name in pooled:
            values = [v for scores in per_eye.values() if (v := scores.get(name)) is not None]
            low, high = mean_interval(values) if len(values) > 1 else (None, None)
            rows.append(Score(name, regime, channel, pooled[name], low, high, seeds, "higher", reference))
    return rows


def _write_csv(path: Path, results: Sequence[EyeResult]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trained_on", "seed", "eye", "channel", "threshold", *METRICS])
    for r in results:
        scores = r.counts.scores()
        values = ["" if scores.get(name) is None else f"{scores[name]:.6f}" for name in METRICS]
        cut = "" if r.threshold is None else f"{np.float32(r.threshold):.6f}"
        writer.writerow([r.regime, r.seed, r.eye, r.channel, cut, *values])
    write_text(path, text.getvalue())
