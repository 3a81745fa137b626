"""What a segmenter finds in whole photographs, and above which threshold it is marked."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retina_core.annotation.request import Annotators
from retina_core.config import Precision
from retina_core.data.masks import Mask
from retina_core.data.sample import Sample
from retina_core.errors import StageFolderError
from retina_core.evaluation.protocol import training_folder
from retina_core.evaluation.ranking import Ranking
from retina_core.evaluation.testing_eyes import segmented_eyes, whole_planes
from retina_core.roles import Segmenter

EYES: Final = 20
"""Annotated training eyes on which a threshold is chosen, as many as an evaluation takes."""

HALF: Final = 0.5
"""Where nothing tells better: the segmenter's own odds."""


LEAST_DICE: Final = 0.3
"""At its best on annotated training eyes, a segmenter that agrees with them less does not find a structure: what it marks is
mostly something else, on whole photographs of it. Five channels learnt from 51 eyes in minutes gave rims and vessels as
haemorrhages and soft exudates, cut at .005 and .001."""


class Cut(NamedTuple):
    """Above which probability a pixel is marked."""

    threshold: float
    chosen: str
    """How, in words."""
    dice: float | None = None
    """With annotated training eyes, where it was chosen on some."""

    @property
    def finds(self) -> bool:
        """Whether as much is found as can be learnt from, for all that is known."""
        return self.dice is None or self.dice >= LEAST_DICE


def cuts(
    annotators: Annotators, channels: Sequence[str], train: Sequence[Sample], precision: Precision
) -> dict[str, Cut]:
    """Channel -> threshold: the one asked for; else the best that anybody can know of.

    That is, in this order: the one that the stage carries; that of the highest Dice on the training eyes which were
    annotated for the channel, since these are photographs of the kind to be annotated; the one that the evaluation
    chose in which the segmenter was trained; one half. What was held out for tests is never looked at.
    """
    stage, card = annotators.segmenter, annotators.card
    if stage is None or card is None:
        return {}
    found = {}
    for channel in channels:
        if annotators.threshold is not None:
            found[channel] = Cut(annotators.threshold, "as asked for")
        elif channel in card.thresholds:
            found[channel] = Cut(card.thresholds[channel], "the stage's own")
        elif eyes := eyes_to_choose_on(annotators, channel, train):
            ranking = _ranked(stage, eyes, channel, precision)
            dice = ranking.best_dice()
            told = f"the best on {len(eyes)} annotated training eyes (Dice {dice:.2f})"
            found[channel] = Cut(ranking.best_threshold(), told, dice)
        elif (chosen := _evaluated(stage.folder, channel)) is not None:
            found[channel] = Cut(chosen, "as the segmenter's evaluation chose it")
        else:
            found[channel] = Cut(HALF, "nothing tells a better one: see --threshold")
    return found


def eyes_to_choose_on(annotators: Annotators, channel: str, train: Sequence[Sample]) -> list[Sample]:
    """The first training eyes that somebody annotated for the channel, on which ``cuts`` chooses its threshold.

    None where nothing is marked in them, and where a threshold is asked for or the stage carries one.
    """
    card = annotators.card
    if card is None or annotators.threshold is not None or channel in card.thresholds:
        return []
    eyes = [s for s in train if channel in s.labels and channel not in s.weak][:EYES]
    marked = (eye.facts is None or bool(eye.facts.labels[channel].fov_share) for eye in eyes)
    return eyes if any(marked) else []


def weak_maps(
    segmenter: Segmenter, sample: Sample, fov: Mask, thresholds: Mapping[str, float], precision: Precision
) -> dict[str, NDArray[np.uint8]]:
    """Channel of ``thresholds`` -> map (h w) of 0 and 255 at the photograph's original size.

    Nothing is marked outside the field of view (h w).
    """
    return {
        channel: np.where((plane > thresholds[channel]) & fov, np.uint8(255), np.uint8(0))
        for channel, plane in whole_planes(segmenter, sample, tuple(thresholds), precision)
    }


def _ranked(segmenter: Segmenter, eyes: Sequence[Sample], channel: str, precision: Precision) -> Ranking:
    """Of all pixels of some eyes."""
    ranking = Ranking.empty()
    for eye in segmented_eyes(segmenter, eyes, (channel,), precision):
        ranking += Ranking.of(eye.probabilities[eye.fov], eye.truth[eye.fov])
    return ranking


def _evaluated(folder: Path | None, channel: str) -> float | None:
    """The threshold in the ``eyes.csv`` of the evaluation that a segmenter was trained in; None where there is none.

    Raises:
        StageFolderError: it is there, and cannot be read.
    """
    if folder is None:
        return None
    evaluation = folder.resolve().parent
    table = evaluation / "eyes.csv"
    if not table.is_file():
        return None
    try:
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                there = training_folder(evaluation, row["trained_on"], int(row["seed"])) == folder.resolve()
                if there and row["channel"] == channel and row["threshold"]:
                    return min(max(float(row["threshold"]), 0.0), 1.0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        reason = f"{table} cannot be read ({error}): say --threshold"
        raise StageFolderError(folder, reason) from None
    return None
