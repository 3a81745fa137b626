"""Pairs out of noise: a label generator draws maps, a translator paints photographs over them."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from retina_core.channels import TREES
from retina_core.errors import ChannelError, InvalidValueError
from retina_core.fast_mode import Mode, choose_mode, fast, make_ready
from retina_core.formats.lock import sole_use
from retina_core.formats.sample_set import SampleSetWriter, SyntheticSample
from retina_core.formats.stage_card import StageCard, read_card, read_seen
from retina_core.formats.stage_folder import load_stage
from retina_core.interruption import stop_requests
from retina_core.maps import JOIN_SHARE, PEEL_PX, WEAK, Cut, finish
from retina_core.randomness import sample_rng
from retina_core.registry import Registry
from retina_core.roles import ImageTranslator, LabelGenerator
from retina_core.style_photo import StylePhoto, read_style
from retina_core.synthetic_card import synthetic_card
from retina_core.training.options import FitOptions, Progress

CHUNK = 8
"""Samples drawn together. Always as many: a network's last bits depend on the size of its batch, not on its
neighbours, so that a sample is the same whichever machine draws it, and beside whichever others."""


@dataclass(frozen=True)
class Painter:
    """A label generator and a translator that fit together."""

    generator: LabelGenerator
    translator: ImageTranslator
    seed: int
    mode: Mode = "fp32"
    """How the translator works. Maps are always drawn in float32: they cost little, and a pixel is set or not."""
    style: StylePhoto | None = None
    """Whose manner every photograph is painted in; without, the translator chooses one for each."""

    def __post_init__(self) -> None:
        missing = set(self.translator.channels) - set(self.generator.channels)
        if missing:
            raise ChannelError(
                self.translator.name,
                missing,
                f"the label generator {self.generator.name}",
                self.generator.channels,
            )

    def paint(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Photographs (b c h w), labels (b k h w) in {0, 1} and fov (b 1 h w) of some samples of the run."""
        padded = [*indices, *range(indices[-1] + 1, indices[-1] + 1 + CHUNK - len(indices))]
        fov = torch.stack([self._fov(index) for index in padded])  # b 1 h w
        generator = self.generator.at(self.translator.resolution)
        soft = generator.sample(self._rngs("labels", padded))  # b k h' w'
        labels = self._finish(soft, fov)  # b k h w
        wanted = [self.generator.channels.index(channel) for channel in self.translator.channels]
        style = self.style.photo.expand(len(padded), -1, -1, -1) if self.style else None  # b c h w
        with fast(self.translator, self.mode):
            photos = self.translator.translate(
                labels[:, wanted], fov, rngs=self._rngs("photo", padded), style=style
            )
        photos = photos.float().cpu()  # b c h w
        count = len(indices)
        return (photos * fov)[:count], labels[:count], fov[:count]

    def _rngs(self, stream: str, indices: Sequence[int]) -> list[torch.Generator]:
        return [sample_rng(self.seed, stream, index) for index in indices]

    def _fov(self, index: int) -> Tensor:
        """A field of view (1 h w) borrowed from a training sample: it tells of the camera, not of the patient."""
        fovs = self.translator.priors.fovs
        choice = int(torch.randint(len(fovs), (), generator=sample_rng(self.seed, "fov", index)))
        size = (self.translator.resolution, self.translator.resolution)
        return (F.interpolate(fovs[choice][None].float(), size, mode="area")[0] > 127).float()

    def _finish(self, soft: Tensor, fov: Tensor) -> Tensor:
        size = self.translator.resolution
        if self.generator.sharp:
            return finish(soft.cpu(), size, fov, [Cut(0.5)] * soft.shape[1])
        peel_px = round(PEEL_PX * size / soft.shape[-1])
        cuts = [self._cut(channel, size, peel_px) for channel in self.generator.channels]
        return finish(soft.cpu(), size, fov, cuts)

    def _cut(self, channel: str, size_px: int, peel_px: int) -> Cut:
        """How a drawn map of this channel becomes labels: lines are thinned, and their pieces joined."""
        priors, tree = self.generator.priors, channel in TREES
        return Cut(
            priors.thresholds.get(channel, 0.5),
            weak=WEAK,
            peel_px=peel_px if tree else 0,
            join_px=JOIN_SHARE * size_px if tree else 0.0,
            speck_px=round(priors.speck_shares.get(channel, 0.0) * size_px**2),
        )


def generate(
    labels: Path | str,
    translator: Path | str,
    *,
    count: int,
    out: Path | str,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
    style: Path | str | None = None,
    options: FitOptions | None = None,
    registry: Registry | None = None,
) -> Path:
    """Write ``count`` synthetic pairs; the same call goes on with a set that was begun.

    Args:
        labels: a label generator's folder.
        translator: an image translator's folder.
        count: pairs of the whole run.
        out: the set's folder.
        seed: pair *i* of a seed is always the same pair.
        shard: ``(i, n)`` writes every n-th pair from the i-th on, for n machines that share a run.
        style: a photograph's file, in whose manner all are painted. Its content hash stands in every row, and in
            ``seen.json`` beside what the stages were trained on.

    Returns:
        The set's folder, which ``open_dataset`` reads.

    Raises:
        StageFolderError, ChannelError, SampleSetError: before any work.
        InvalidValueError, PathError: the translator takes no style, or the photograph cannot be read.
        StorageError: the disk is full, or ``out`` cannot be written.
        KeyboardInterrupt: Ctrl-C, or SIGTERM, once the pair at hand was written.
    """
    registry, options = registry or Registry.discover(), options or FitOptions()
    folders, out = (Path(labels), Path(translator)), Path(out)
    if count < 1 or not 0 <= shard[0] < shard[1]:
        raise InvalidValueError(
            "generate", "count" if count < 1 else "shard", (count, shard), "nothing to draw"
        )
    painter = _load_painter(folders, seed, count, None if style is None else Path(style), options, registry)
    manner = painter.style.fingerprint if painter.style else None
    cards = (read_card(folders[0]), read_card(folders[1]))
    with sole_use(out):
        writer = SampleSetWriter(out, _request(cards, count, seed, shard, manner))
        if not writer.complete:
            _write_all(painter, cards, writer, range(count)[shard[0] :: shard[1]], options, registry)
            seen = read_seen(folders[0]) | read_seen(folders[1]) | ({manner} if manner else set())
            writer.finish(sorted(seen), synthetic_card(cards, len(writer.rows), seed, manner))
    return out


def _load_painter(
    folders: tuple[Path, Path],
    seed: int,
    count: int,
    style: Path | None,
    options: FitOptions,
    registry: Registry,
) -> Painter:
    device = options.device
    generator = load_stage(folders[0], role="label-generator", registry=registry, device=device)
    translator = load_stage(folders[1], role="image-translator", registry=registry, device=device)
    manner = read_style(style, cast(ImageTranslator, translator)) if style is not None else None
    mode = choose_mode(options.precision, translator.device, count, translator.resolution)
    make_ready(translator, mode)
    return Painter(cast(LabelGenerator, generator), cast(ImageTranslator, translator), seed, mode, manner)


def _write_all(
    painter: Painter,
    cards: tuple[StageCard, StageCard],
    writer: SampleSetWriter,
    indices: Sequence[int],
    options: FitOptions,
    registry: Registry,
) -> None:
    begun, missing = time.monotonic(), [i for i in indices if i not in writer.rows]
    blank = set(painter.generator.channels) if len(missing) == len(indices) else set()
    with stop_requests() as stop:
        for done, sample in enumerate(_samples(painter, cards, missing), start=1):
            row = writer.write(sample)
            blank -= {channel for channel, label in sample.labels.items() if label.any()}
            registry.announce("retina_sample_written", folder=writer.folder, row=row)
            rate = done / max(time.monotonic() - begun, 1e-9)
            left = (len(missing) - done) / rate
            told = Progress("pairs", len(writer.rows), len(indices), "pairs", rate, left, {})
            options.listener.progress(told)
            stop.obey()
    for channel in sorted(blank):
        options.listener.say(
            f"pairs: {painter.generator.name} marked no pixel of {channel} in any map; train it longer"
        )


def _samples(
    painter: Painter, cards: tuple[StageCard, StageCard], indices: list[int]
) -> Iterator[SyntheticSample]:
    common = {
        "style": painter.style.fingerprint if painter.style else None,
        "labels_stage": _stage_facts(cards[0]),
        "translator_stage": _stage_facts(cards[1]),
        "phantom": any(card.provenance.get("phantom") for card in cards),
    }
    for start in range(0, len(indices), CHUNK):
        chunk = indices[start : start + CHUNK]
        photos, labels, fov = painter.paint(chunk)
        for place, index in enumerate(chunk):
            facts = {"seed": painter.seed, "attempt": 0, "grade": None, **common}
            maps = dict(zip(painter.generator.channels, _bytes(labels[place]), strict=True))
            photo = np.ascontiguousarray(_bytes(photos[place]).transpose(1, 2, 0))
            yield SyntheticSample(index, photo, maps, _bytes(fov[place])[0], facts)


def _stage_facts(card: StageCard) -> dict[str, Any]:
    return {"name": card.name, "version": card.version, "weights": card.files.get("model.safetensors", "")}


def _bytes(planes: Tensor) -> NDArray[np.uint8]:
    """(n h w) in [0, 1] -> 0 to 255."""
    return (planes * 255).round().clamp(0, 255).byte().numpy()


def _request(
    cards: tuple[StageCard, StageCard], count: int, seed: int, shard: tuple[int, int], manner: str | None
) -> str:
    parts: list[object] = [[card.name, card.files] for card in cards]
    parts.append([count, seed, shard])
    if manner is not None:
        parts.append(["style", manner])
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
