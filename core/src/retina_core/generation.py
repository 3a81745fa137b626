"""Pairs out of noise: a label generator draws maps and a translator paints photographs over them, or one stage does both."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from retina_core.asked_grades import AskedGrades
from retina_core.errors import InvalidValueError
from retina_core.evaluation.refusals import Refusals
from retina_core.fast_mode import choose_mode, make_ready
from retina_core.formats.lock import sole_use
from retina_core.formats.sample_set import SampleSetWriter, SyntheticSample
from retina_core.formats.stage_card import StageCard, read_card, read_seen, read_signatures
from retina_core.formats.stage_folder import load_stage
from retina_core.interruption import stop_requests
from retina_core.painter import CHUNK, Painter, PairPainter, PairSource
from retina_core.registry import Registry
from retina_core.roles import DrawingStage, ImageTranslator, LabelGenerator, PairGenerator
from retina_core.screening import Screen
from retina_core.style_photo import read_style
from retina_core.synthetic_card import synthetic_card
from retina_core.training.options import FitOptions, Progress
from retina_core.vessel_finder import VesselFinder


def generate(
    labels: Path | str | None = None,
    translator: Path | str | None = None,
    *,
    pairs: Path | str | None = None,
    count: int,
    out: Path | str,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
    style: Path | str | None = None,
    grade: int | str | None = None,
    unseen_grade: bool = False,
    filters: Collection[str] | None = None,
    vessels: Path | str | None = None,
    options: FitOptions | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write ``count`` synthetic pairs; the same call goes on with a set that was begun.

    Pairs that a filter refuses are drawn again, of the same grade, up to ``screening.ATTEMPTS`` times in all.

    Args:
        labels: a label generator's folder.
        translator: an image translator's folder.
        pairs: a pair generator's folder, in place of both.
        count: pairs of the whole run.
        out: the set's folder.
        seed: pair *i* of a seed is always the same pair.
        shard: ``(i, n)`` writes every n-th pair from the i-th on, for n machines that share a run.
        style: a photograph's file, in whose manner all are painted. Its content hash stands in every row, and in
            ``seen.json`` beside what the stages were trained on.
        grade: 0 to 4; ``uniform``, each in turn that the label generator's training set holds; ``as-data``, as often as
            there. None: ``as-data`` for a generator that takes grades and learnt from some, else without. Every row has
            its eye's.
        unseen_grade: draw a grade that the training set does not hold, too; its rows say ``grade_unseen``.
        filters: names of those that look at each pair; None: all that are installed.
        vessels: a segmenter's folder, which finds the vessels of painted photographs for the filters, where the label
            maps have no channel of them. What it learnt from had a part in the set then, and stands in ``seen.json``.

    Returns:
        The set's folder, which ``open_dataset`` reads.

    Raises:
        StageFolderError, ChannelError, SampleSetError: before any work.
        GradeError: the label generator takes no grades, or its training set does not hold this one (before any work).
        InvalidValueError: ``pairs`` stands beside one of the others, or one of them is missing (before any work).
        InvalidValueError, PathError: the translator takes no style, or the photograph cannot be read.
        UnknownStageError, WrongRoleError: no filter has the name, or ``vessels`` holds no segmenter (before any work).
        BrokenPluginError: a filter cannot be imported (before any work), or fails.
        StorageError: the disk is full, or ``out`` cannot be written.
        KeyboardInterrupt: Ctrl-C, or SIGTERM, once the pair at hand was written.
    """
    registry, options = registry or Registry.discover(), options or FitOptions()
    folders, out = _folders(labels, translator, pairs), Path(out)
    if count < 1 or not 0 <= shard[0] < shard[1]:
        raise InvalidValueError(
            "generate", "count" if count < 1 else "shard", (count, shard), "nothing to draw"
        )
    finder = None if vessels is None else VesselFinder.load(Path(vessels), registry, options.device)
    screen = Screen.installed(registry, filters, finder)
    painter = _load_painter(folders, seed, count, None if style is None else Path(style), options, registry)
    painter = replace(painter, grades=_grades(painter.drawing, grade, unseen_grade, registry))
    screen = screen.for_channels(painter.drawing.channels)
    manner = painter.style.fingerprint if painter.style else None
    cards = [read_card(folder) for folder in folders]
    with sole_use(out):
        writer = SampleSetWriter(out, _request(cards, count, seed, shard, manner, screen, painter.grades))
        if not writer.complete:
            _write_all(painter, screen, cards, writer, range(count)[shard[0] :: shard[1]], options, registry)
            _finish(writer, painter, screen, cards, [*folders, *_lent(screen)])
    return out


def _folders(
    labels: Path | str | None, translator: Path | str | None, pairs: Path | str | None
) -> tuple[Path, ...]:
    """The folder of a pair generator, or those of a label generator and a translator."""
    if pairs is not None:
        if labels is not None or translator is not None:
            reason = "it stands in place of labels and translator; leave these out, or pairs"
            raise InvalidValueError("generate", "pairs", str(pairs), reason)
        return (Path(pairs),)
    if labels is None or translator is None:
        missing = "labels" if labels is None else "translator"
        reason = "give the folders of a label generator and a translator, or that of a pair generator (pairs)"
        raise InvalidValueError("generate", missing, None, reason)
    return Path(labels), Path(translator)


def _load_painter(
    folders: Sequence[Path],
    seed: int,
    count: int,
    style: Path | None,
    options: FitOptions,
    registry: Registry,
) -> PairSource:
    device = options.device
    if len(folders) == 1:
        stage = load_stage(folders[0], role="pair-generator", registry=registry, device=device)
        if style is not None:
            reason = f"{stage.name} draws pairs from noise alone, in no given manner; leave --style out"
            raise InvalidValueError("generate", "style", str(style), reason)
        return PairPainter(cast(PairGenerator, stage), seed=seed)
    generator = load_stage(folders[0], role="label-generator", registry=registry, device=device)
    translator = load_stage(folders[1], role="image-translator", registry=registry, device=device)
    manner = read_style(style, cast(ImageTranslator, translator)) if style is not None else None
    mode = choose_mode(options.precision, translator.device, count, translator.resolution)
    make_ready(translator, mode)
    stages = cast(LabelGenerator, generator), cast(ImageTranslator, translator)
    return Painter(*stages, seed=seed, mode=mode, style=manner)


def _grades(
    generator: DrawingStage, grade: int | str | None, unseen: bool, registry: Registry
) -> AskedGrades:
    kind, shares = type(generator), generator.priors.grade_shares
    return AskedGrades.of(kind, generator.channels, shares, grade, unseen=unseen, registry=registry)


def _write_all(
    painter: PairSource,
    screen: Screen,
    cards: Sequence[StageCard],
    writer: SampleSetWriter,
    indices: Sequence[int],
    options: FitOptions,
    registry: Registry,
) -> None:
    remarks = (painter.grades.told(), screen.unchecked(painter.drawing.channels), _left_out(painter))
    for said in filter(None, remarks):
        options.listener.say(f"pairs: {said}")
    begun, missing = time.monotonic(), [i for i in indices if i not in writer.rows]
    blank = set(painter.painting.channels) if len(missing) == len(indices) else set()
    with stop_requests() as stop:
        for done, sample in enumerate(_samples(painter, screen, cards, missing), start=1):
            row = writer.write(sample)
            blank -= {channel for channel, label in sample.labels.items() if label.any()}
            registry.announce("retina_sample_written", folder=writer.folder, row=row)
            rate = done / max(time.monotonic() - begun, 1e-9)
            left = (len(missing) - done) / rate
            told = Progress("pairs", len(writer.rows), len(indices), "pairs", rate, left, {})
            options.listener.progress(told)
            stop.obey()
    if screen.filters:
        _say_refused(writer, options)
    for channel in sorted(blank):
        options.listener.say(
            f"pairs: {painter.drawing.name} marked no pixel of {channel} in any map; train it longer"
        )


def _samples(
    painter: PairSource, screen: Screen, cards: Sequence[StageCard], indices: list[int]
) -> Iterator[SyntheticSample]:
    common = {
        "style": painter.style.fingerprint if painter.style else None,
        "labels_stage": cards[0].facts(),
        "translator_stage": cards[-1].facts(),  # of a pair generator the same: it draws and paints
        "phantom": any(card.provenance.get("phantom") for card in cards),
        **screen.facts(),
    }
    for start in range(0, len(indices), CHUNK):
        chunk = indices[start : start + CHUNK]
        for index, pair in zip(chunk, painter.accepted(chunk, screen), strict=True):
            drawn = {"attempt": pair.attempt, "refused": list(pair.refused)}
            strange = {"grade_unseen": True} if pair.grade in painter.grades.strange else {}
            facts = {"seed": painter.seed, **drawn, "grade": pair.grade, **strange, **common}
            drawn_maps = dict(zip(painter.drawing.channels, _bytes(pair.labels), strict=True))
            maps = {name: one for name, one in drawn_maps.items() if name not in painter.unpainted}
            yield SyntheticSample(index, pair.photo, maps, _bytes(pair.fov), facts)


def _left_out(painter: PairSource) -> str:
    """What is drawn and not written; empty where everything is painted."""
    if not (names := painter.unpainted):
        return ""
    return f"{', '.join(names)}: drawn, but {painter.painting.name} does not paint it; left out of the pairs"


def _say_refused(writer: SampleSetWriter, options: FitOptions) -> None:
    """How many first draws were refused, and for how many pairs drawing again did not help."""
    if (refusals := Refusals.of(writer.rows.values())) is None:
        return
    again, left = refusals.first.total(), refusals.kept.total()
    first, kept = (f"{100 * count / refusals.pairs:.1f} %" for count in (again, left))
    options.listener.say(
        f"pairs: filters refused {again} of {refusals.pairs} first draws ({first}), which were drawn again, and {left} of "
        f"those that are kept ({kept}): see refused in metadata.jsonl"
    )


def _lent(screen: Screen) -> list[Path]:
    """The folder of the segmenter that had a part in what was kept."""
    return [screen.finder.folder] if screen.finder else []


def _finish(
    writer: SampleSetWriter,
    painter: PairSource,
    screen: Screen,
    cards: Sequence[StageCard],
    sources: Sequence[Path],
) -> None:
    """Write what was seen by all stages that had a part in the set, and its card."""
    manner = painter.style.fingerprint if painter.style else None
    seen = frozenset({manner} if manner else ()).union(*map(read_seen, sources))
    signatures = {key: one for folder in sources for key, one in read_signatures(folder).items()}
    if painter.style and painter.style.signature:
        signatures[painter.style.fingerprint] = painter.style.signature
    left_out = filter(None, [_left_out(painter)])
    said = [*painter.grades.remarks(), *screen.remarks(painter.drawing.channels), *left_out]
    writer.finish(
        sorted(seen), synthetic_card(cards, len(writer.rows), painter.seed, manner, said), signatures
    )


def _bytes(planes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Marked or not, as 255 or 0."""
    return np.where(planes, np.uint8(255), np.uint8(0))


def _request(
    cards: Sequence[StageCard],
    count: int,
    seed: int,
    shard: tuple[int, int],
    manner: str | None,
    screen: Screen,
    grades: AskedGrades,
) -> str:
    parts: list[object] = [[card.name, card.files] for card in cards]
    parts.append([count, seed, shard])
    parts.append(["filters", sorted(screen.filters)])
    if manner is not None:
        parts.append(["style", manner])
    if screen.finder is not None:
        parts.append(["vessels", screen.finder.card.files])
    if asked := grades.facts():  # only then, so that a set that was begun before there were grades goes on
        parts.append(["grades", asked])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
