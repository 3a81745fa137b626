"""Index pictures in a plain folder: one map for each eye, whose values are classes that a list names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retina_core.config import DataConfig
from retina_core.data.inspect import inspect_dataset
from retina_core.data.opening import open_dataset
from retina_core.data.sample import Dataset
from retina_core.errors import DatasetError

LISTS = {
    "classes.txt": "background\nvessel\noptic_disc\nhaemorrhage\nhaemorrhage\n",
    "classes.json": '{"1": "vessel", "2": "optic_disc", "3": "haemorrhage", "4": "haemorrhage"}',
    "classes.csv": "index, name ,colour\n1,vessel,red\n2,optic_disc,blue\n3,haemorrhage,\n4,haemorrhage,\n",
}


def numbers(height: int = 56, width: int = 64) -> np.ndarray:
    """Classes (h w): a vessel, a disc, and haemorrhages of two kinds; the second eye has none of these."""
    found = np.zeros((height, width), dtype=np.uint8)
    found[20:24, 10:40] = 1
    found[30:36, 30:36] = 2
    found[40, 20:24] = 3
    found[42, 20:24] = 4
    return found


@pytest.fixture
def root(folders: Any) -> Path:
    """Three eyes; of the second, without haemorrhages, the map is a palette's, in colours like no class."""
    path: Path = folders.root / "classes"
    for number in range(3):
        folders.save(path / "images" / f"{number}.png", folders.photo())
        folders.save(path / "labels" / f"{number}.png", numbers())
    image = Image.fromarray(np.where(numbers() > 2, 0, numbers()).astype(np.uint8))
    image.putpalette([255, 255, 255, 255, 255, 255, 9, 9, 9])
    image.save(path / "labels" / "1.png")
    return path


def opened(readers: Any, root: Path, **settings: Any) -> Dataset:
    return open_dataset(root, registry=readers, config=DataConfig(**settings))


def problems(readers: Any, root: Path) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        opened(readers, root)
    return list(caught.value.problems)


@pytest.mark.parametrize("name", LISTS)
def test_every_class_is_a_channel(root: Path, readers: Any, name: str) -> None:
    (root / name).write_text(LISTS[name])
    dataset = opened(readers, root)
    assert (dataset.reader, dataset.channels) == ("folder", ("vessel", "optic_disc", "haemorrhage"))
    for sample in dataset:
        np.testing.assert_array_equal(sample.label_array("vessel"), numbers() == 1)
        np.testing.assert_array_equal(sample.label_array("optic_disc"), numbers() == 2)
    np.testing.assert_array_equal(dataset.samples[0].label_array("haemorrhage"), numbers() >= 3)


def test_a_class_that_an_eye_has_nothing_of_is_empty_not_absent(root: Path, readers: Any) -> None:
    (root / "classes.txt").write_text(LISTS["classes.txt"])
    channels = {one.name: one for one in inspect_dataset(root, registry=readers).channels}
    assert (channels["haemorrhage"].marked, channels["haemorrhage"].empty) == (2, 1)
    assert channels["haemorrhage"].absent == 0


def test_channels_are_chosen_among_the_classes(root: Path, readers: Any) -> None:
    (root / "classes.txt").write_text(LISTS["classes.txt"])
    assert opened(readers, root, channels=("optic_disc",)).channels == ("optic_disc",)


def test_maps_of_16_bits_and_in_masks_are_read(root: Path, folders: Any, readers: Any) -> None:
    (root / "classes.json").write_text('["background", "cell", "wall", "rim", "rim"]')
    (root / "labels").rename(root / "masks")
    Image.fromarray(numbers().astype(np.uint16)).save(root / "masks" / "2.png")
    sample = opened(readers, root).samples[2]
    np.testing.assert_array_equal(sample.label_array("wall"), numbers() == 2)


def test_the_other_way_round_works_in_json(root: Path, readers: Any) -> None:
    (root / "classes.json").write_text('{"background": 0, "vessel": 1, "disc": 2, "dot": 3, "blot": 4}')
    assert opened(readers, root).channels == ("vessel", "blot", "disc", "dot")


def test_a_value_that_no_class_has_is_named_once(root: Path, readers: Any) -> None:
    (root / "classes.txt").write_text("background\nvessel\noptic_disc\n")
    assert problems(readers, root) == [
        f"labels/{number}.png: holds the value 3, which classes.txt does not name "
        "(has: 0 background, 1 vessel, 2 optic_disc); add the class, or remove classes.txt if these are masks"
        for number in (0, 2)
    ]


def test_masks_beside_a_list_are_named(root: Path, folders: Any, readers: Any) -> None:
    (root / "classes.txt").write_text(LISTS["classes.txt"])
    folders.save(root / "labels" / "0.png", folders.mask())
    [line] = problems(readers, root)
    assert line.startswith("labels/0.png: holds the value 255, which classes.txt does not name")


def test_colours_are_no_classes(root: Path, folders: Any, readers: Any) -> None:
    (root / "classes.txt").write_text(LISTS["classes.txt"])
    folders.save(root / "labels" / "0.png", folders.photo())
    assert problems(readers, root) == [
        "labels/0.png: holds colours, and no numbers of classes; save it with one channel, grey or indexed"
    ]


def test_without_a_list_numbers_are_refused_with_what_to_write(root: Path, readers: Any) -> None:
    assert any("like class numbers" in line for line in problems(readers, root))


def test_a_list_beside_folders_of_channels_changes_nothing(folders: Any, readers: Any) -> None:
    root = folders.plain()
    before = opened(readers, root)
    (root / "classes.txt").write_text("background\nvessel\n")
    after = opened(readers, root)
    assert (after.channels, after.seen()) == (before.channels, before.seen())


def test_a_map_without_its_photograph_is_named_once(root: Path, folders: Any, readers: Any) -> None:
    (root / "classes.txt").write_text(LISTS["classes.txt"])
    folders.save(root / "labels" / "9.png", numbers())
    assert problems(readers, root) == [
        "labels/9.png: a label without a photograph; add the photograph or leave the label out"
    ]


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        (
            "classes.txt",
            "vessel\noptic_disc\n",
            "the first name is that of class 0, the background, not 'vessel'",
        ),
        ("classes.txt", "background\n", "it names no class besides the background"),
        ("classes.json", '{"one": "vessel"}', "'one' is no number of a class"),
        ("classes.json", '{"1": 2.5}', "class 1 has the name 2.5"),
        ("classes.json", '"vessel"', "write a list of names"),
        ("classes.json", "{", "cannot be used as a list of classes"),
        ("classes.csv", "number,word\n1,vessel\n", "it has no columns index and name, but 'number, word'"),
        ("classes.csv", "index,name\n1,vessel\n1,disc\n", "it names class 1 twice"),
        ("classes.csv", "index,name\n-1,vessel\n", "'-1' is no number of a class"),
    ],
)
def test_a_bad_list_is_named_with_its_reason(
    root: Path, readers: Any, name: str, text: str, reason: str
) -> None:
    (root / name).write_text(text)
    first = problems(readers, root)[0]
    assert first.startswith(f"{name}: cannot be used as a list of classes")
    assert reason in first


def test_two_lists_are_refused(root: Path, readers: Any) -> None:
    for name in ("classes.txt", "classes.csv"):
        (root / name).write_text(LISTS[name])
    assert "classes.csv: lies beside classes.txt; leave one of them out" in problems(readers, root)


def test_grades_stand_in_the_metadata_beside_the_classes(root: Path, readers: Any) -> None:
    (root / "classes.txt").write_text(LISTS["classes.txt"])
    (root / "metadata.csv").write_text("file_name,grade\n0.png,0\n1.png,4\n2.png,\n")
    dataset = opened(readers, root)
    assert [sample.grade for sample in dataset] == [0, 4, None]
    assert dataset.channels == ("vessel", "optic_disc", "haemorrhage")
