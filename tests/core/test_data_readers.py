"""Each layout read as its owner distributes it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retina_core.config import DataConfig
from retina_core.data.opening import open_dataset
from retina_core.data.readers.phantom import STARTER_SEED, TEST_SEED, TRAINING_SEED
from retina_core.data.sample import Dataset
from retina_core.errors import InvalidValueError, PathError, UnknownLayoutError, UnknownStageError


def opened(readers: Any, source: Path | str, reader: str | None = None, **settings: Any) -> Dataset:
    return open_dataset(source, reader=reader, registry=readers, config=DataConfig(**settings))


def test_chase_db1(folders: Any, readers: Any) -> None:
    dataset = opened(readers, folders.chase())
    assert (dataset.reader, dataset.channels, dataset.fov_rule) == ("chase_db1", ("vessel",), "derive")
    first = dataset.samples[0]
    assert (first.id, first.patient, first.official) == ("Image_01L", "01", "train")
    assert [sample.patient for sample in dataset.split().test] == ["11", "11", "12", "12"]
    np.testing.assert_array_equal(first.label_array("vessel"), folders.mask() > 0)
    np.testing.assert_array_equal(
        first.observer_array("observer2", "vessel"), np.roll(folders.mask() > 0, 1, 0)
    )
    assert (first.fov_array() | folders.disc()).sum() < 1.2 * (first.fov_array() & folders.disc()).sum()


def test_hrf(folders: Any, readers: Any) -> None:
    dataset = opened(readers, folders.hrf())
    assert (dataset.reader, dataset.fov_rule, len(dataset)) == ("hrf", "given", 6)
    assert {sample.group for sample in dataset} == {"h", "dr", "g"}
    assert {sample.official for sample in dataset} == {None}
    np.testing.assert_array_equal(dataset.samples[0].fov_array(), folders.disc())
    assert {sample.group for sample in dataset.split(test_share=0.5).test} == {"h", "dr", "g"}


def test_a_folder_with_channels(folders: Any, readers: Any) -> None:
    dataset = opened(readers, folders.plain(channels=("membrane", "optic_disc", "cell", "vessel")))
    assert dataset.channels == ("vessel", "optic_disc", "cell", "membrane")  # the field's words first
    assert (dataset.reader, dataset.name, dataset.fov_rule) == ("folder", "cells", "full")
    assert dataset.samples[0].fov_array().all()


@pytest.mark.parametrize("name", ["labels", "masks"])
def test_a_plain_folder_has_one_channel(folders: Any, readers: Any, name: str) -> None:
    for number in range(3):
        folders.save(folders.root / "plain" / "images" / f"{number}.png", folders.photo())
        folders.save(folders.root / "plain" / name / f"{number}_mask.png", folders.mask())
    assert opened(readers, folders.root / "plain").channels == ("label",)
    assert opened(readers, folders.root / "plain", channels=("cell",)).channels == ("cell",)


def test_a_folder_with_fov(folders: Any, readers: Any) -> None:
    root = folders.plain(count=3)
    for number in range(3):
        folders.save(root / "fov" / f"{number}.png", folders.disc().astype(np.uint8) * 255)
    dataset = opened(readers, root)
    assert dataset.fov_rule == "given"
    np.testing.assert_array_equal(dataset.samples[1].fov_array(), folders.disc())


def test_an_absent_channel_is_not_an_empty_one(folders: Any, readers: Any) -> None:
    root = folders.plain(channels=("cell", "wall"))
    (root / "labels" / "wall" / "2.png").unlink()
    folders.save(root / "labels" / "wall" / "3.png", folders.mask() * 0)
    dataset = opened(readers, root)
    assert dataset.channels == ("cell",)
    assert any("wall: not in use; 4 of 5" in note for note in dataset.notes)
    both = opened(readers, root, channels=("cell", "wall"))
    assert "wall" not in both.samples[2].labels
    assert both.samples[3].facts.labels["wall"].marked_px == 0
    with pytest.raises(KeyError):
        both.samples[2].label_array("wall")


def synthetic_rows() -> list[dict[str, object]]:
    """As a synthetic set has them."""
    return [
        {
            "file_name": f"images/{number}.png",
            "cell_file_name": f"labels/cell/{number}.png",
            "fov_file_name": None,
            "grade": number % 5,
            "patient": f"p{number % 2}",
            "seed": 7,
        }
        for number in range(5)
    ]


def test_metadata_lines(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.write_table(root, synthetic_rows())
    dataset = opened(readers, root)
    assert [sample.grade for sample in dataset] == [0, 1, 2, 3, 4]
    assert {sample.patient for sample in dataset} == {"p0", "p1"}
    assert dataset.channels == ("cell",)


def test_metadata_as_csv(folders: Any, readers: Any) -> None:
    root = folders.plain()
    with (root / "metadata.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["file_name", "grade ", "split", ""]
        )  # a space and an empty column, as IDRiD has them
        writer.writerows(
            [f"{number}.png", number, "test" if number > 3 else "train", ""] for number in range(5)
        )
    dataset = opened(readers, root)
    assert [sample.grade for sample in dataset] == [0, 1, 2, 3, 4]
    assert [sample.id for sample in dataset.split().test] == ["4"]


def test_graded_photographs_need_no_labels(folders: Any, readers: Any) -> None:
    root = folders.plain(channels=())
    folders.write_table(root, [{"file_name": f"images/{n}.png", "grade": 1} for n in range(5)])
    assert opened(readers, root).channels == ()


def test_grey_photographs_are_repeated_and_that_is_said(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.save(root / "images" / "0.png", folders.photo()[:, :, 0])
    dataset = opened(readers, root)
    assert "1 grey photograph is repeated to three channels" in dataset.notes
    assert dataset.samples[0].photo_array().shape == (56, 64, 3)


def test_names_with_spaces_and_any_letters(folders: Any, readers: Any) -> None:
    root = folders.root / "meine Augen – 網膜"
    for name in ("ein Auge", "œil gauche"):
        folders.save(root / "images" / f"{name}.png", folders.photo())
        folders.save(root / "labels" / "vessel" / f"{name}.png", folders.mask())
    assert {sample.id for sample in opened(readers, root)} == {"ein Auge", "œil gauche"}


def test_other_files_and_links_to_itself_are_passed_over(folders: Any, readers: Any) -> None:
    root = folders.plain()
    (root / "README.md").write_text("cells")
    (root / "images" / ".DS_Store").write_bytes(b"x")
    (root / "images" / "._0.png").write_bytes(b"x")
    (root / "images" / "notes.txt").write_text("x")
    (root / "images" / "again").symlink_to(root, target_is_directory=True)
    assert len(opened(readers, root)) == 5


def test_phantoms_need_no_files(readers: Any) -> None:
    dataset = opened(readers, "phantom", phantom_count=10, phantom_px=32)
    assert dataset.phantom
    assert dataset.channels == ("vessel", "optic_disc")
    assert any("no real eye" in note for note in dataset.notes)
    split = dataset.split()
    assert [sample.id for sample in split.test] == ["phantom-test-00004", "phantom-test-00009"]
    first = dataset.samples[0]
    assert first.photo_array().shape == (32, 32, 3)
    assert first.label_array("vessel").shape == first.fov_array().shape == (32, 32)


def test_more_phantoms_never_move_one_from_test_to_train(readers: Any) -> None:
    few, many = (opened(readers, "phantom", phantom_count=count, phantom_px=32) for count in (10, 23))
    assert set(few.split().test.seen()) <= set(many.split().test.seen())
    assert set(few.split().test.seen()).isdisjoint(many.split().train.seen())
    assert len({TRAINING_SEED, TEST_SEED, STARTER_SEED}) == 3


@pytest.mark.parametrize("count", [2, 3, 4, 5, 6])
def test_few_phantoms_can_be_split(readers: Any, count: int) -> None:
    split = opened(readers, "phantom", phantom_count=count, phantom_px=32).split()
    assert (len(split.train), len(split.test)) == (count - 1, 1)


def test_phantom_channels_are_chosen(readers: Any) -> None:
    assert opened(readers, "phantom", channels=("artery", "vein")).channels == ("artery", "vein")
    with pytest.raises(InvalidValueError, match="phantoms have no cell; have: vessel"):
        opened(readers, "phantom", channels=("cell",))


def test_a_named_reader_is_used(folders: Any, readers: Any) -> None:
    assert opened(readers, folders.plain(), reader="folder").reader == "folder"
    with pytest.raises(UnknownStageError, match="did you mean 'chase_db1'"):
        opened(readers, folders.plain(name="b"), reader="chase_db")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: root / "gone", "is not there"),
        (lambda root: (root / "file", (root / "file").write_text("x"))[0], "is a file"),
        (lambda root: (root / "empty", (root / "empty").mkdir())[0], "is an empty folder"),
    ],
)
def test_a_path_without_data_is_refused(tmp_path: Path, readers: Any, make: Any, reason: str) -> None:
    path = make(tmp_path)
    with pytest.raises(PathError, match=reason) as caught:
        opened(readers, path)
    assert str(path) in str(caught.value)
    assert "give the folder" in str(caught.value)


def test_an_unknown_layout_names_the_readers(tmp_path: Path, readers: Any) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(
        UnknownLayoutError, match=r"no reader knows its layout.*--reader.*chase_db1, drive, fgadr, folder"
    ):
        opened(readers, tmp_path)


def test_a_layout_that_two_readers_know_is_refused(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.save(root / "Image_01L.jpg", folders.photo())
    with pytest.raises(UnknownLayoutError, match="chase_db1, folder all fit; name one with --reader"):
        opened(readers, root)
    assert opened(readers, root, reader="folder").reader == "folder"


def test_a_channel_that_no_sample_has_is_refused(folders: Any, readers: Any) -> None:
    with pytest.raises(InvalidValueError, match="no sample has vein; have: cell"):
        opened(readers, folders.plain(), channels=("cell", "vein"))


def test_the_installed_registry_knows_the_readers(folders: Any) -> None:
    assert open_dataset(folders.hrf()).reader == "hrf"
