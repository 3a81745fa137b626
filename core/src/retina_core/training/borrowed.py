"""What a stage borrows to be trained by: a segmenter is fitted on its training samples first, or loaded if it is there."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from retina_core.data.sample import Dataset
from retina_core.formats.stage_card import MODEL, read_card
from retina_core.perceptual.features import PerceptualFeatures, SegmenterFeatures
from retina_core.perceptual.sources import SegmenterSource, WeightsSource
from retina_core.registry import Registry
from retina_core.roles import Segmenter
from retina_core.training.options import FitOptions


def borrowed_features(
    source: WeightsSource | SegmenterSource,
    samples: Dataset,
    folder: Path,
    options: FitOptions,
    registry: Registry,
) -> PerceptualFeatures:
    """The features that a source stands for, ready to be used.

    Args:
        samples: the borrowing stage's training samples.
        folder: where segmenters are kept, each in a folder of its name.

    Raises:
        PathError: a file of weights is gone or damaged.
        RunFolderError: the folder holds a segmenter that was fitted otherwise.
    """
    if isinstance(source, WeightsSource):
        return source.load()
    segmenter = fit_segmenter(source, samples, folder, options, registry)
    return SegmenterFeatures(segmenter, read_card(folder / segmenter.name).files[MODEL])


def fit_segmenter(
    source: SegmenterSource, samples: Dataset, folder: Path, options: FitOptions, registry: Registry
) -> Segmenter:
    """The segmenter of a source, in its folder; several processes fit it together, as they do any stage."""
    from retina_core.training.fit import fit  # a training inside a training

    fitted = fit(
        source.spec.name,
        samples,
        folder / source.spec.name,
        role="segmenter",
        preset=source.preset,
        settings=source.settings,
        options=options,
        registry=registry,
    )
    return cast(Segmenter, fitted)
