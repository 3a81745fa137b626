"""Are synthetic pairs like real ones, and not copies of them? Grey intensities, the nearest training maps, and what the
filters refused.

After SynthMed (Guibas et al. 2017, arXiv 1709.01872, section 7 and figures 3 and 4). The paper's 4.759 against
4.212e-4 cannot be compared with what stands here: it does not say how it binned, nor where it cut the frame away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.data.prepare import prepare_sample
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import InvalidValueError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.figures import (
    Figure,
    Histogram,
    NearestMaps,
    NearestPair,
    Series,
    write_figures,
)
from retina_core.evaluation.histograms import GREYS, IntensityComparison, intensity_comparison
from retina_core.evaluation.leaks import refuse_leak
from retina_core.evaluation.likeness_config import LikenessConfig
from retina_core.evaluation.nearest import COMMON_PX, Nearest, leave_one_out, nearest
from retina_core.evaluation.refusals import read_refusals
from retina_core.evaluation.scores import Score, Scores
from retina_core.evaluation.weak_truth import weak_notes
from retina_core.formats.atomic import replacing
from retina_core.roles import Evaluator

PICTURE_PX = 160
Maps = NDArray[np.float32]


class LikenessEvaluator(Evaluator):
    """KL divergence of grey intensities, each generated map beside its nearest training map, and shares of refused draws."""

    role: ClassVar[str] = "evaluator"
    name = "likeness"

    def __init__(self, config: LikenessConfig) -> None:
        self.config = config

    def evaluate(
        self, synthetic: Dataset | None, real_train: Dataset, real_test: Dataset, context: EvaluationContext
    ) -> Scores:
        """Scores and figures of synthetic pairs beside the training part; the test part is not looked at.

        Raises:
            InvalidValueError: there are no synthetic pairs.
            LeakError: a test photograph had a part in them.
        """
        if synthetic is None:
            raise InvalidValueError("likeness", "synthetic", None, "it compares pairs; give --synthetic DIR")
        refuse_leak(synthetic, real_test, real_train)
        pairs = synthetic.samples[: self.config.compared]
        greys = intensity_comparison(_greys(real_train.samples), _greys(pairs), context.options.seed)
        channels = [channel for channel in real_train.channels if channel in synthetic.channels]
        training = [s for s in real_train.samples if all(channel in s.labels for channel in channels)]
        if not training:  # an absent channel is not an empty one: there is no whole map to compare with
            said = f"likeness: no training sample is annotated for all of {', '.join(channels)}: maps are not compared"
            context.options.listener.say(said)
            return self._written(_greys_alone(greys), [_histogram(greys)], synthetic, context)
        drawn, real = _maps(pairs, channels), _maps(training, channels)
        found = nearest(drawn, real)
        others = leave_one_out(real) if len(real) > 1 else None
        shown = self._write_pairs(pairs, training, channels, found, context)
        weak = weak_notes(self.name, training, channels, context.options.listener)
        rows = [*_greys_alone(greys), *_rows(found, others)]
        figures: list[Figure] = [_histogram(greys), *weak, _nearest_figure(shown, others)]
        return self._written(rows, figures, synthetic, context)

    def _written(
        self,
        rows: Iterable[Score],
        figures: Sequence[Figure],
        synthetic: Dataset,
        context: EvaluationContext,
    ) -> Scores:
        """The scores, with the figures in the evaluation's folder, and what the set's own rows say of refused draws."""
        refusals = read_refusals(synthetic.root)
        shown = [*figures, *([refusals.table()] if refusals else [])]
        write_figures(shown, context.folder / "figures.json")
        scores = Scores(self.name, (*rows, *(refusals.scores() if refusals else ())))
        scores.write(context.folder / "scores.json")
        return scores

    def _write_pairs(
        self,
        pairs: Sequence[Sample],
        training: Sequence[Sample],
        channels: Sequence[str],
        found: Nearest,
        context: EvaluationContext,
    ) -> list[NearestPair]:
        """Pictures of the generated maps that lie nearest to a training map: the likeliest copies first."""
        base, shown = f"evaluation/{context.folder.name}/nearest", []
        for place, index in enumerate(np.argsort(found.distance, kind="stable")[: self.config.pairs]):
            names = (f"{place:03d}-generated.png", f"{place:03d}-nearest.png")
            for name, sample in zip(names, (pairs[index], training[found.index[index]]), strict=True):
                with replacing(context.folder / "nearest" / name) as temporary:
                    Image.fromarray(_picture(sample, channels)).save(temporary, format="PNG")
            shown.append(
                NearestPair(f"{base}/{names[0]}", f"{base}/{names[1]}", float(found.distance[index]))
            )
        return shown


def _greys(samples: Sequence[Sample]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    for sample in samples:
        photo = sample.photo_array()
        yield photo, sample.fov_array(photo)


def _maps(samples: Sequence[Sample], channels: Sequence[str]) -> Maps:
    """Label maps (n k h w) in [0, 1], cropped to the fov, at the common size."""
    maps = np.stack([prepare_sample(sample, channels, COMMON_PX).labels for sample in samples])
    shares: Maps = maps.astype(np.float32) / np.float32(255)
    return shares


def _picture(sample: Sample, channels: Sequence[str]) -> NDArray[np.uint8]:
    """The label map (h w) as a small picture: all channels over each other."""
    picture: NDArray[np.uint8] = prepare_sample(sample, channels, PICTURE_PX).labels.max(0)
    return picture


def _greys_alone(greys: IntensityComparison) -> Iterator[Score]:
    yield Score("kl", None, None, greys.kl, seeds=0, better="lower")
    chance = "real half against real half"
    yield Score("kl", None, None, greys.kl_real_halves, seeds=0, better="lower", reference=chance)


def _rows(found: Nearest, others: Nearest | None) -> Iterator[Score]:
    yield Score("nearest_map_distance", None, None, float(found.distance.mean()), seeds=0)
    if others is not None:
        distance = float(others.distance.mean())
        yield Score("nearest_map_distance", None, None, distance, seeds=0, reference="between training maps")


def _histogram(greys: IntensityComparison) -> Histogram:
    chance = (
        ""
        if greys.kl_real_halves is None
        else f", between two halves of the real ones {greys.kl_real_halves:.4f}"
    )
    return Histogram(
        title="Grey intensities inside the field of view",
        x_label="grey (0 to 255)",
        edges=tuple(float(edge) for edge in range(GREYS + 1)),
        series=(
            Series("real", tuple(float(share) for share in greys.real)),
            Series("synthetic", tuple(float(share) for share in greys.synthetic)),
        ),
        caption=f"KL divergence of the synthetic photographs from the real ones {greys.kl:.4f} nats{chance}.",
    )


def _nearest_figure(shown: Sequence[NearestPair], others: Nearest | None) -> NearestMaps:
    return NearestMaps(
        title="Generated maps beside their nearest training maps",
        pairs=tuple(shown),
        real_distances=() if others is None else tuple(float(d) for d in others.distance),
        caption="The generated maps that lie nearest to a training map, nearest first.",
    )
