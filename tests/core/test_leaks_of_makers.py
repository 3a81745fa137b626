"""What data were made from stays out of the test, and a training knows the maps that it began with."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retina_core.config import DataConfig
from retina_core.data.opening import open_dataset
from retina_core.data.sample import Dataset
from retina_core.data.signatures import signature_of
from retina_core.errors import LeakError, RunFolderError
from retina_core.evaluation.elsewhere import Elsewhere, crossed_split
from retina_core.evaluation.leaks import refuse_shared
from retina_core.evaluation.regimes import lessons_for
from retina_core.formats.stage_card import read_seen, write_seen
from retina_core.registry import Registry
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_core.training.seen import seen_by

TINY = {"resolution": 32, "seen_images": 4, "batch_size": 2, "patch_px": 0}


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def eyes(folder: Path, first: int, count: int, *, maps: int = 0) -> Dataset:
    """A plain folder of made-up photographs, each different; ``maps`` says which label maps they have."""
    for part in ("images", "labels/vessel"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:96, :96]
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        waves = np.sin(x / rng.uniform(4, 12)) * np.cos(y / rng.uniform(4, 12))
        photo = np.clip(120 + 60 * waves[..., None] + rng.normal(0, 10, (96, 96, 3)), 0, 255).astype(np.uint8)
        drawn = np.random.default_rng(1000 * maps + i).random((96, 96)) < 0.1
        Image.fromarray(photo).save(folder / "images" / f"{i}.png")
        Image.fromarray(drawn.astype(np.uint8) * 255).save(folder / "labels" / "vessel" / f"{i}.png")
    return open_dataset(folder, registry=Registry.discover())


def made_from(sources: Dataset, pairs: Path) -> Dataset:
    """A synthetic set whose stages had seen ``sources``."""
    eyes(pairs, 100, 6)
    write_seen(pairs, sources.seen(), {s.fingerprint: signature_of(s.look) for s in sources})
    return open_dataset(pairs, registry=Registry.discover())


def test_pairs_to_train_on_are_not_tested_on_what_they_were_made_from(tmp_path: Path) -> None:
    real = eyes(tmp_path / "real", 0, 6)
    pairs, registry = made_from(real, tmp_path / "pairs"), Registry.discover()
    tested = Elsewhere(str(tmp_path / "real"), None, "all").opened(0, DataConfig(), registry)
    with pytest.raises(LeakError, match="synthetic pairs, in pairs") as caught:
        crossed_split(pairs.split(), tested)
    assert set(caught.value.sample_ids) == {sample.id for sample in real}
    for photo in (
        tmp_path / "real" / "images"
    ).iterdir():  # saved again, with fewer colours: found by its look
        Image.fromarray(np.asarray(Image.open(photo)) // 4 * 4).save(photo)
    again = Elsewhere(str(tmp_path / "real"), None, "all").opened(0, DataConfig(), registry)
    with pytest.raises(LeakError, match="synthetic pairs, in pairs"):
        crossed_split(pairs.split(), again)
    eyes(tmp_path / "others", 50, 6)
    crossed_split(
        pairs.split(), Elsewhere(str(tmp_path / "others"), None, "all").opened(0, DataConfig(), registry)
    )
    both = open_dataset([str(tmp_path / "real"), str(tmp_path / "pairs")], registry=registry).split()
    if any(sample.origin == "real" for sample in both.test):
        with pytest.raises(LeakError):
            refuse_shared(both)


def test_phantoms_that_were_trained_on_are_not_tested_on() -> None:
    settings, registry = DataConfig(phantom_count=6, phantom_px=48, channels=("vessel",)), Registry.discover()
    split = open_dataset("phantom", registry=registry, config=settings).split()
    with pytest.raises(LeakError):
        crossed_split(split, Elsewhere("phantom", None, "all").opened(0, settings, registry))
    refuse_shared(split)


@pytest.mark.parametrize("regime", ["SYNTH", "BOTH", "MIX(50)", "FINETUNE"])
def test_whoever_learns_from_pairs_has_seen_what_they_were_made_from(tmp_path: Path, regime: str) -> None:
    sources = eyes(tmp_path / "sources", 0, 4)
    pairs, real = made_from(sources, tmp_path / "pairs"), eyes(tmp_path / "real", 50, 4)
    seen = set().union(*(seen_by([lesson.dataset]) for lesson in lessons_for(regime, real, pairs, 100)))
    assert set(sources.seen()) <= seen
    if regime != "SYNTH":
        assert set(real.seen()) <= seen


def test_a_stage_of_the_same_photographs_with_other_maps_is_not_taken_for_the_same(tmp_path: Path) -> None:
    options = FitOptions(device="cpu", precision="fp32")

    def train(dataset: Dataset) -> None:
        fit("segmenter:unet", dataset, tmp_path / "stage", preset="quick", settings=TINY, options=options)

    first = eyes(tmp_path / "real", 0, 4)
    train(first)
    written = os.stat(tmp_path / "stage" / "model.safetensors").st_mtime_ns
    train(first)
    assert os.stat(tmp_path / "stage" / "model.safetensors").st_mtime_ns == written
    other = eyes(tmp_path / "real", 0, 4, maps=1)
    assert other.seen() == first.seen()
    with pytest.raises(RunFolderError, match="other data or settings"):
        train(other)
    assert read_seen(tmp_path / "stage") == frozenset(first.seen())
