"""Photographs that show the same picture under other names: found, kept on one side, and never invented."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retina_core.data.inspect import inspect_dataset
from retina_core.data.looks import LOOK_PX, Look, look_of
from retina_core.data.opening import open_dataset
from retina_core.data.pictures import ArrayPicture
from retina_core.data.sample import Dataset, Part, Sample, Split
from retina_core.data.signatures import recognised, signature_of
from retina_core.data.twins import across, among, graded_by_twins, same_pictures
from retina_core.errors import LeakError, StageFolderError
from retina_core.evaluation.leaks import refuse_leak, refuse_shared, uncompared
from retina_core.formats.stage_card import SEEN, read_seen, read_signatures, write_seen
from retina_core.phantom import phantom_eye
from retina_core.training.seen import signatures_of

Picture = NDArray[np.uint8]
PHANTOMS = 60
"""Drawing 500, of which none are paired either, takes longer than the rest of this file."""


def saved_again(photo: Picture) -> dict[str, Picture]:
    """A photograph as it may stand in another part of a data set."""
    image = Image.fromarray(photo)
    height, width = photo.shape[:2]
    top, left = round(0.03 * height), round(0.03 * width)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    cropped = image.crop((left, top, width - left, height - top))
    half = cropped.resize((cropped.width // 2, cropped.height // 2), Image.Resampling.LANCZOS)
    return {
        "compressed": np.asarray(Image.open(file)),
        "half": np.asarray(image.resize((width // 2, height // 2), Image.Resampling.LANCZOS)),
        "cropped": np.asarray(cropped),
        "cropped at one corner": photo[top:, left:],
        "lighter": np.clip(photo.astype(np.float32) * 1.12 + 6, 0, 255).astype(np.uint8),
        "all of it": np.asarray(half.point(lambda value: int(value * 0.9))),
    }


@pytest.fixture(scope="module")
def photos() -> list[Picture]:
    return [phantom_eye(99, index, 256).photo for index in range(3)]


@pytest.fixture(scope="module")
def eyes() -> list[Look]:
    """The looks of many different phantoms."""
    return [look_of(phantom_eye(98, index, 64).photo) for index in range(PHANTOMS)]


def sample(name: str, photo: Picture, **facts: Any) -> Sample:
    return Sample(name, facts.pop("patient", name), ArrayPicture.of(name, photo), **facts)


def dataset(samples: list[Sample], **facts: Any) -> Dataset:
    return Dataset("made up", "none", None, tuple(samples), (), **facts)


def ids(half: Dataset) -> set[str]:
    return {one.id for one in half}


def test_planted_twins_are_found(photos: list[Picture]) -> None:
    looks = [look_of(photo) for photo in photos]
    for how, photo in saved_again(photos[0]).items():
        pairs = [(a, b) for a, b, _ in same_pictures([*looks, look_of(photo)])]
        assert pairs == [(0, 3)], how


def test_many_different_phantoms_are_not_paired(eyes: list[Look]) -> None:
    assert same_pictures(eyes) == []


def test_flat_and_tiny_pictures_have_no_twins() -> None:
    flat, tiny = (
        np.full((64, 64, 3), 90, np.uint8),
        np.eye(8, dtype=np.uint8)[:, :, None] * np.full(3, 9, np.uint8),
    )
    looks = [look_of(picture) for picture in (flat, flat, tiny, tiny)]
    assert not any(look.any() for look in looks)
    assert same_pictures(looks) == []
    assert signature_of(looks[0]) == ""
    assert recognised(looks, {"a" * 64: signature_of(look_of(flat)) or "0" * 256}) == []


def test_a_look_is_small_and_forgets_the_light(photos: list[Picture]) -> None:
    look = look_of(photos[0])
    assert look.shape == (LOOK_PX, LOOK_PX)
    assert look.dtype == np.int8
    dimmed = look_of((photos[0] // 2).astype(np.uint8))
    assert np.corrcoef(look.ravel(), dimmed.ravel())[0, 1] > 0.9


def test_three_of_one_picture_are_paired_with_the_first(photos: list[Picture]) -> None:
    again = saved_again(photos[0])
    samples = [
        sample("a", photos[0]),
        sample("b", photos[1]),
        sample("c", again["half"]),
        sample("d", again["compressed"]),
    ]
    assert {frozenset(pair) for pair in among(samples)} <= {frozenset("ac"), frozenset("ad"), frozenset("cd")}
    assert len(among(samples)) == 2
    assert across(samples[2:], samples[:2]) == [("c", "a"), ("d", "a")]


def test_the_test_side_keeps_the_twin() -> None:
    blank = np.zeros((4, 4, 3), np.uint8)
    parts: list[tuple[str, Part]] = [("a", "train"), ("b", "train"), ("c", "test"), ("d", "train")]
    samples = [sample(name, blank + place, official=part) for place, (name, part) in enumerate(parts)]
    split = dataset(samples, twins=(("a", "c"), ("a", "d"))).split()
    assert (ids(split.train), ids(split.test)) == ({"b"}, {"c"})
    assert split.left_out == ("a", "d")


def test_folds_take_twins_for_one_patient() -> None:
    blank = np.zeros((4, 4, 3), np.uint8)
    samples = [sample(f"{place:02}", blank + place) for place in range(12)]
    whole = dataset(samples, twins=(("00", "07"), ("07", "11")))
    folds = [whole.split(seed=1, folds=3, fold=fold) for fold in range(3)]
    assert sorted(name for one in folds for name in ids(one.test)) == sorted(ids(whole))
    assert all(len({"00", "07", "11"} & ids(one.test)) in {0, 3} for one in folds)
    assert all(not one.left_out for one in folds)


def test_a_seeded_split_parts_no_twins_and_drops_none() -> None:
    blank = np.zeros((4, 4, 3), np.uint8)
    samples = [sample(f"{place:02}", blank + place) for place in range(10)]
    whole = dataset(samples, twins=(("01", "08"),))
    for seed in range(12):
        split = whole.split(seed)
        assert len({"01", "08"} & ids(split.test)) in {0, 2}
        assert len(split.train) + len(split.test) == 10


def test_a_grade_is_that_of_the_twin() -> None:
    blank = np.zeros((4, 4, 3), np.uint8)
    samples = [
        sample(name, blank, grade=grade)
        for name, grade in zip("abcdef", (None, 3, 2, 1, None, None), strict=True)
    ]
    found, told = graded_by_twins(samples, [("a", "b"), ("c", "d"), ("c", "e")])
    assert [one.grade for one in found] == [3, 3, 2, 1, None, None]
    assert [one.grade_from for one in found] == ["b", None, None, None, None, None]
    assert told[0].startswith("1 without a grade")
    assert "c 2, d 1" in told[1]


def test_inspect_tells_twins(folders: Any, readers: Any, photos: list[Picture]) -> None:
    root = folders.root / "eyes"
    again = saved_again(photos[0])["all of it"]
    for name, photo in (("a", photos[0]), ("b", photos[1]), ("c", photos[2]), ("d", again)):
        folders.save(root / "images" / f"{name}.png", photo)
        folders.save(root / "labels" / "cell" / f"{name}.png", folders.mask(photo.shape[1], photo.shape[0]))
    folders.write_table(
        root,
        [{"file_name": f"images/{name}.png", **({"grade": 2} if name == "a" else {})} for name in "abcd"],
    )
    found = inspect_dataset(root, registry=readers)
    assert found.to_json()["twins"] == [["a", "d"]]
    assert found.problems == ()
    assert any("saved another way" in note for note in found.dataset.notes)
    assert {one.id: one.grade for one in found.dataset}["d"] == 2


def test_a_photograph_is_known_by_its_signature_alone(photos: list[Picture], eyes: list[Look]) -> None:
    kept = {f"{place:064x}": signature_of(look_of(photo)) for place, photo in enumerate(photos[:2])}
    assert all(len(one) == 256 for one in kept.values())
    again = saved_again(photos[1])
    looks = [look_of(photos[2]), *eyes[:4], look_of(again["all of it"]), look_of(again["compressed"])]
    assert [(one.place, one.fingerprint) for one in recognised(looks, kept)] == [
        (5, f"{1:064x}"),
        (6, f"{1:064x}"),
    ]


def test_signatures_stand_in_seen_json(tmp_path: Path, photos: list[Picture]) -> None:
    real = dataset([sample("a", photos[0])])
    signatures = signatures_of([real])
    write_seen(tmp_path, real.seen(), signatures)
    assert read_seen(tmp_path) == set(real.seen())
    assert read_signatures(tmp_path) == signatures == {real.seen()[0]: signature_of(real.samples[0].look)}
    assert signatures_of([replace(real, phantom=True)]) == {}


def test_a_folder_of_an_earlier_version_has_no_signatures(tmp_path: Path) -> None:
    write_seen(tmp_path, ["a" * 64])
    assert "signatures" not in (tmp_path / SEEN).read_text()
    assert read_signatures(tmp_path) == {}


@pytest.mark.parametrize("damage", ['"x"', '{"b": 1}', '{"' + "a" * 64 + '": "12"}'])
def test_damaged_signatures_are_refused(tmp_path: Path, damage: str) -> None:
    write_seen(tmp_path, ["a" * 64])
    text = (tmp_path / SEEN).read_text().rstrip().removesuffix("}")
    (tmp_path / SEEN).write_text(f'{text}, "signatures": {damage}}}')
    with pytest.raises(StageFolderError, match="signatures"):
        read_signatures(tmp_path)


def test_pairs_made_from_a_test_photograph_are_refused(tmp_path: Path, photos: list[Picture]) -> None:
    trained = dataset([sample("mine", photos[0])])
    write_seen(tmp_path, trained.seen(), signatures_of([trained]))
    pairs = replace(dataset([]), root=tmp_path, name="pairs")
    tested = dataset([sample("other", photos[1]), sample("theirs", saved_again(photos[0])["cropped"])])
    with pytest.raises(LeakError, match="theirs shows the same picture as mine") as error:
        refuse_leak(pairs, tested, trained)
    assert error.value.sample_ids == ("theirs",)
    refuse_leak(pairs, dataset([sample("other", photos[1])]))
    assert uncompared(pairs, tested) == ""


def test_what_cannot_be_compared_is_said(tmp_path: Path, photos: list[Picture]) -> None:
    write_seen(tmp_path, ["a" * 64])
    pairs, tested = replace(dataset([]), root=tmp_path), dataset([sample("other", photos[1])])
    refuse_leak(pairs, tested)
    assert uncompared(pairs, tested).startswith(
        "1 of 1 photographs that the pairs were made from have no signature"
    )
    assert uncompared(pairs, replace(tested, phantom=True)) == ""


def test_training_and_test_data_that_share_a_picture_are_refused(photos: list[Picture]) -> None:
    train = dataset([sample("a", photos[0]), sample("b", photos[1])])
    refuse_shared(Split(train, dataset([sample("c", photos[2])])))
    again = dataset([sample("c", photos[2]), sample("d", saved_again(photos[1])["half"])])
    with pytest.raises(LeakError, match="d shows the same picture as b"):
        refuse_shared(Split(train, again))


def test_both_eyes_of_a_child_are_two_pictures(real_data: Path) -> None:
    folder = real_data / "CHASE_DB1"
    if not folder.is_dir():
        pytest.skip("CHASE_DB1 is not among the real photographs")
    eyes = open_dataset(folder)
    assert eyes.twins == ()
    samples = list(eyes)
    photos = {one.id: one.photo_array() for one in samples[::14]}
    for name, photo in photos.items():
        planted = [sample(how, changed) for how, changed in list(saved_again(photo).items())[2:4]]
        assert across(planted, samples) == [(one.id, name) for one in planted]


def test_idrid_holds_the_same_pictures_in_several_parts(real_data: Path) -> None:
    """Six are the same files; 67 more were looked at, and are the same eyes with other exposure or compression."""
    folder = real_data / "IDRiD" / "A. Segmentation"
    if not folder.is_dir():
        pytest.skip("IDRiD is not among the real photographs")
    graded = folder.parent / "B. Disease Grading" / "1. Original Images" / "a. Training Set"
    lesions = folder / "1. Original Images" / "a. Training Set"
    pairs = {"IDRiD_19": "IDRiD_242", "IDRiD_25": "IDRiD_347", "IDRiD_53": "IDRiD_012"}
    ours = [look_of(np.asarray(Image.open(lesions / f"{name}.jpg"))) for name in pairs]
    theirs = [look_of(np.asarray(Image.open(graded / f"{name}.jpg"))) for name in pairs.values()]
    assert [(a, b) for a, b, _ in same_pictures(ours, theirs)] == [(0, 0), (1, 1), (2, 2)]
