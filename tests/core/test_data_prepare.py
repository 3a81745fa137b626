"""Prepared samples: cropped, resized once, kept as bytes by content."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from retina_core.config import DataConfig
from retina_core.data import threads
from retina_core.data.fov import paste_back
from retina_core.data.opening import open_dataset
from retina_core.data.pictures import ArrayPicture, FilePicture
from retina_core.data.prepare import default_cache_dir, prepare, prepare_sample
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import DatasetError, StorageError


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def eyes(folders: Any, readers: Any) -> Dataset:
    return open_dataset(folders.hrf(), registry=readers)


def files(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.*"))


def test_shapes_and_ranges(eyes: Dataset, cache: Path) -> None:
    prepared = prepare(eyes, eyes.channels, 32, cache)
    assert prepared.photos.shape == (6, 3, 32, 32)
    assert prepared.labels.shape == prepared.fov.shape == (6, 1, 32, 32)
    assert prepared.photos.dtype == prepared.labels.dtype == prepared.fov.dtype == np.uint8
    assert set(np.unique(prepared.fov)) == {0, 255}
    outside = prepared.fov[:, 0] == 0
    assert prepared.photos.transpose(0, 2, 3, 1)[outside].max() == 0
    assert prepared.labels[:, 0][outside].max() == 0
    assert len(prepared) == 6
    assert prepared.ids == tuple(sample.id for sample in eyes)
    assert list(prepared.fingerprints) == [sample.fingerprint for sample in eyes]


def test_labels_tell_how_much_is_covered(eyes: Dataset, cache: Path) -> None:
    prepared = prepare(eyes, eyes.channels, 16, cache)
    covered = prepared.labels[0, 0].astype(float).mean() / 255
    sample = eyes.samples[0]
    box = prepare_sample(sample, eyes.channels, 16).box
    assert covered == pytest.approx(sample.label_array("vessel").sum() / box.side**2, rel=0.05)
    assert len(np.unique(prepared.labels)) > 2


def test_a_label_that_grows_stays_smooth_and_in_place(eyes: Dataset) -> None:
    sample = eyes.samples[0]
    grown = prepare_sample(sample, ("vessel",), 200)
    back = paste_back(grown.labels[0].astype(np.float32) / 255, grown.box, grown.size) > 0.5
    np.testing.assert_array_equal(back, sample.label_array("vessel"))
    assert len(np.unique(grown.labels)) > 10


def test_a_hit_decodes_nothing(eyes: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(eyes, eyes.channels, 32, cache)
    monkeypatch.setattr(FilePicture, "read", lambda self: pytest.fail(f"{self.name} was read"))
    second = prepare(eyes, eyes.channels, 32, cache)
    np.testing.assert_array_equal(first.photos, second.photos)
    assert first.fingerprints == second.fingerprints
    assert len(files(cache)) == 1


def test_the_key_is_the_content(eyes: Dataset, folders: Any, readers: Any, cache: Path) -> None:
    prepare(eyes, eyes.channels, 32, cache)
    moved = folders.root / "elsewhere"
    shutil.copytree(eyes.root, moved)
    prepare(open_dataset(moved, registry=readers), eyes.channels, 32, cache)
    assert len(files(cache)) == 1
    folders.save(moved / "manual1" / "01_h.tif", np.roll(folders.mask(), 3, axis=0))
    prepare(open_dataset(moved, registry=readers), eyes.channels, 32, cache)
    assert len(files(cache)) == 2
    prepare(eyes, eyes.channels, 16, cache)
    prepare(eyes, (), 32, cache)
    prepare(eyes.samples[:3], eyes.channels, 32, cache)
    prepare(eyes.samples[::-1], eyes.channels, 32, cache)
    assert len(files(cache)) == 6


def test_absent_and_empty_are_told_apart(cache: Path, folders: Any) -> None:
    def sample(name: str, labels: dict[str, Any]) -> Sample:
        return Sample(name, name, ArrayPicture.of(name, folders.photo()), labels, grade=2 if labels else None)

    marked = ArrayPicture.of("mask", folders.mask())
    samples = [sample("a", {"vessel": marked}), sample("b", {"vessel": None}), sample("c", {})]
    prepared = prepare(samples, ("vessel",), 16, cache)
    assert prepared.present[:, 0].tolist() == [True, True, False]
    assert prepared.labels.max(axis=(1, 2, 3)).astype(bool).tolist() == [True, False, False]
    assert prepared.grades.tolist() == [2, 2, -1]
    again = prepare([replace(samples[0], labels={}), *samples[1:]], ("vessel",), 16, cache)
    assert again.labels.max() == 0


def test_a_batch_is_a_copy_in_the_order_asked_for(eyes: Dataset, cache: Path) -> None:
    prepared = prepare(eyes, eyes.channels, 32, cache)
    batch = prepared.batch([4, 0, 4])
    np.testing.assert_array_equal(batch.photos, np.stack([prepared.photos[i] for i in (4, 0, 4)]))
    batch.photos[:] = 7
    batch.labels[:] = 7
    np.testing.assert_array_equal(
        prepared.batch([4]).photos, prepare(eyes, eyes.channels, 32, cache).photos[4:5]
    )
    with pytest.raises(IndexError):
        prepared.batch([6])


def test_the_file_is_a_safetensors_file(eyes: Dataset, cache: Path) -> None:
    prepared = prepare(eyes, eyes.channels, 32, cache)
    with safe_open(files(cache)[0], "np") as file:
        np.testing.assert_array_equal(file.get_tensor("photos"), prepared.photos)
        np.testing.assert_array_equal(file.get_tensor("labels"), prepared.labels)


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b"", lambda b: b[:8] + b"x" + b[9:]])
def test_a_damaged_cache_is_made_again(eyes: Dataset, cache: Path, spoil: Any) -> None:
    expected = np.array(prepare(eyes, eyes.channels, 32, cache).photos)
    [path] = files(cache)
    path.write_bytes(spoil(path.read_bytes()))
    np.testing.assert_array_equal(prepare(eyes, eyes.channels, 32, cache).photos, expected)


def test_a_stop_half_way_leaves_no_file(eyes: Dataset, cache: Path) -> None:
    def stop(done: int, count: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(eyes, eyes.channels, 32, cache, progress=stop)
    assert not files(cache)


def test_what_a_killed_process_left_is_removed_after_a_day(eyes: Dataset, cache: Path) -> None:
    folder = cache / "prepared"
    folder.mkdir(parents=True)
    for name, age in (("old.1.partial", 2 * 86_400), ("new.2.partial", 60)):
        (folder / name).write_bytes(b"x")
        then = os.stat(folder / name).st_mtime - age
        os.utime(folder / name, (then, then))
    prepare(eyes, eyes.channels, 32, cache)
    assert [path.name for path in files(cache) if path.suffix == ".partial"] == ["new.2.partial"]


def test_a_cache_that_cannot_be_written_is_a_clear_error(eyes: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="RETINA_CACHE"):
        prepare(eyes, eyes.channels, 32, tmp_path / "file")


def test_samples_that_cannot_be_read_are_named(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone\.png: is not there"):
        prepare([Sample("a", "a", FilePicture(tmp_path / "gone.png"))], (), 16, cache)
    with pytest.raises(DatasetError, match="no samples"):
        prepare([], (), 16, cache)


def test_phantoms_are_keyed_by_their_recipe(
    readers: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(phantom_count=3, phantom_px=32)
    first = prepare(open_dataset("phantom", registry=readers, config=config), ("vessel",), 16, cache)
    monkeypatch.setattr("retina_core.data.readers.phantom.phantom_eye", lambda *_: pytest.fail("drawn again"))
    second = prepare(open_dataset("phantom", registry=readers, config=config), ("vessel",), 16, cache)
    np.testing.assert_array_equal(first.photos, second.photos)
    assert first.fingerprints == second.fingerprints


def test_memory_does_not_grow_with_the_number(folders: Any, cache: Path) -> None:
    """Rows in flight are bounded: of 200 samples, a few are alive at any time."""
    alive, most = 0, 0

    class Counted:
        name = "counted"

        def size(self) -> tuple[int, int]:
            return 64, 56

        def read(self) -> np.ndarray:
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return folders.photo()

    def written(done: int, count: int) -> None:
        nonlocal alive
        alive -= 1

    samples = [Sample(str(n), str(n), Counted(), recipe=str(n)) for n in range(200)]
    for sample in samples:
        sample.__dict__["fingerprint"] = "00" * 32
    prepare(samples, (), 16, cache, progress=written)
    assert most <= 4 * threads.WORKERS


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path))
    assert default_cache_dir() == tmp_path
    monkeypatch.delenv("RETINA_CACHE")
    assert default_cache_dir().name in {"retina", "cache"}
