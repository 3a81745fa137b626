"""Rows of pictures: synthetic pairs, what evaluators drew, and real photographs where they were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from retina_cli.report.pictures import (
    colour_of,
    embedded_array,
    embedded_labels,
    embedded_map,
    embedded_photo,
    embedded_planes,
)
from retina_cli.report.run_folder import Facts, RunContents, entries, inside, section
from retina_cli.report.words import number, spoken
from retina_core.errors import RetinaError
from retina_core.evaluation.figures import Gallery, NearestMaps

PAIRS = 24
REAL_PAIRS = 8
NEAREST = 12


@dataclass(frozen=True)
class Shown:
    """One sample: addresses of its pictures, None where one cannot be shown."""

    caption: str
    labels: str | None
    photo: str | None


@dataclass(frozen=True)
class NearestShown:
    """A generated map beside its nearest training map."""

    generated: str | None
    nearest: str | None
    """None as well where it is a real eye's and was not asked for."""
    distance: str


def synthetic_pairs(contents: RunContents) -> list[Shown]:
    """Pairs spread evenly over the whole set: nobody chose them."""
    rows = contents.pairs
    count = min(PAIRS, len(rows))
    chosen = [rows[place * len(rows) // count] for place in range(count)]
    return [_pair(contents.folder / "synthetic", row, _channels(contents)) for row in chosen]


def legend(contents: RunContents) -> list[tuple[str, str]]:
    """Each channel and its colour as CSS has it."""
    return [(spoken(channel), f"rgb{colour_of(channel)}") for channel in _channels(contents)]


def real_samples(contents: RunContents) -> tuple[list[Shown], str]:
    """Some real training samples, and why there are none. Only those that the run was trained on are shown."""
    request, configs = section(contents.run, "request"), section(contents.run, "configs")
    try:
        return list(_real(contents, request, configs)), ""
    except (RetinaError, OSError, ValueError, TypeError, KeyError):
        # Without the error's own words: they name a place on the machine that made the report.
        return [], "The real photographs cannot be opened where the run found them."


def gallery(figure: Gallery, folder: Path, *, with_real: bool) -> tuple[list[Shown], int]:
    """What an evaluator drew, and how many real photographs were left out of it."""
    kept = [picture for picture in figure.pictures if with_real or not picture.real]
    shown = []
    for picture in kept:
        labels, photo = inside(folder, picture.label), inside(folder, picture.photo)
        shown.append(
            Shown(
                picture.caption,
                embedded_map(labels) if labels else None,
                embedded_photo(photo) if photo else None,
            )
        )
    return shown, len(figure.pictures) - len(kept)


def nearest_maps(figure: NearestMaps, folder: Path, *, with_training: bool) -> tuple[list[NearestShown], str]:
    """Pairs of maps, what stands where, and how their distances compare with those between training maps."""
    shown = []
    for pair in figure.pairs[:NEAREST]:
        generated, training = inside(folder, pair.generated), inside(folder, pair.nearest)
        shown.append(
            NearestShown(
                embedded_map(generated) if generated else None,
                embedded_map(training) if training and with_training else None,
                number(pair.distance, 2),
            )
        )
    places = (
        "Left: generated. Right: the training map nearest to it. Below: the Dice distance between them."
        if with_training
        else "Below each: the Dice distance to the training map nearest to it. That is a real eye's, and a vessel tree "
        "is as personal as a fingerprint: retina report with --with-real shows it."
    )
    return shown, f"{places} {_compared(figure)}"


def _compared(figure: NearestMaps) -> str:
    if not figure.real_distances or not figure.pairs:
        return ""
    real, closest = figure.real_distances, min(pair.distance for pair in figure.pairs)
    said = (
        f"Training maps lie {number(min(real), 2)} to {number(max(real), 2)} from their own nearest neighbour "
        f"(median {number(median(real), 2)}); the nearest generated map lies {number(closest, 2)} from one. "
    )
    if closest < 0.5 * min(real):
        return said + "That is much nearer than training maps are to each other: look for copies."
    return said + "0 would be a copy, 1 shares nothing."


def _pair(folder: Path, row: Facts, channels: list[str]) -> Shown:
    maps = {channel: inside(folder, row.get(f"{channel}_file_name")) for channel in channels}
    found = {channel: path for channel, path in maps.items() if path is not None}
    photo = inside(folder, row.get("file_name"))
    grade = row.get("grade")
    caption = f"No. {row.get('index')}" + (f", grade {grade}" if grade is not None else "")
    labels = embedded_labels(found, inside(folder, row.get("fov_file_name"))) if found else None
    return Shown(caption, labels, embedded_photo(photo) if photo else None)


def _real(contents: RunContents, request: Facts, configs: Facts) -> Iterator[Shown]:
    from retina_core import open_dataset
    from retina_core.config import DataConfig

    config = DataConfig.restore("data", section(configs, "data"))
    dataset = open_dataset(request["data"], reader=request.get("reader"), config=config)
    learnt = {sample.get("fingerprint") for sample in entries(contents.facts, "train")}
    chosen = [sample for sample in dataset if sample.identity in learnt][:REAL_PAIRS]
    for sample in chosen:
        planes = {
            channel: sample.label_array(channel) for channel in dataset.channels if channel in sample.labels
        }
        photo = sample.photo_array()
        yield Shown(sample.id, embedded_planes(planes, sample.fov_array(photo)), embedded_array(photo))


def _channels(contents: RunContents) -> list[str]:
    """The channels of the pairs, in the data's order where it is known."""
    named = [str(channel) for channel in entries(contents.facts, "channels")]
    columns = [key.removesuffix("_file_name") for key in (contents.pairs[0] if contents.pairs else {})]
    drawn = [
        column
        for column in columns
        if column not in ("file_name", "fov")
        and f"{column}_file_name" in (contents.pairs[0] if contents.pairs else {})
    ]
    return [channel for channel in named if channel in drawn] + [c for c in drawn if c not in named]
