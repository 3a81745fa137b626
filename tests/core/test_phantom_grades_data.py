"""Phantoms with diabetic retinopathy as data: the setting ``phantom_grades`` and sets of them on disk."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retina_core.config import DataConfig
from retina_core.data.opening import open_dataset
from retina_core.data.sample import Dataset
from retina_core.errors import InvalidValueError
from retina_core.formats.phantom_set import write_phantom_set
from retina_core.phantom import LESIONS, LESIONS_VERSION, PHANTOM_VERSION, phantom_eye


def phantoms(readers: Any, **settings: Any) -> Dataset:
    config = DataConfig.resolve("data", settings={"phantom_px": 48, **settings})
    return open_dataset("phantom", registry=readers, config=config)


def test_without_grades_phantoms_are_the_healthy_ones_of_before(readers: Any) -> None:
    dataset = phantoms(readers, phantom_count=5)
    assert dataset.channels == ("vessel", "optic_disc")
    assert {sample.grade for sample in dataset} == {None}
    first = dataset.samples[0]
    assert (first.id, first.patient) == ("phantom-train-00000", "phantom-train-00000")
    assert first.recipe == f"phantom {PHANTOM_VERSION} 20170 0 48"


def test_both_parts_have_every_grade(readers: Any) -> None:
    split = phantoms(readers, phantom_count=50, phantom_grades="0,1,2,3,4").split()
    assert Counter(sample.grade for sample in split.train) == dict.fromkeys(range(5), 8)
    assert Counter(sample.grade for sample in split.test) == dict.fromkeys(range(5), 2)


def test_a_grade_that_is_named_twice_comes_twice_as_often(readers: Any) -> None:
    split = phantoms(readers, phantom_count=60, phantom_grades=(0, 0, 3)).split()
    assert Counter(sample.grade for sample in split.train) == {0: 32, 3: 16}
    assert Counter(sample.grade for sample in split.test) == {0: 8, 3: 4}


@pytest.mark.parametrize(
    ("grades", "lesions"), [("0", ()), ("0,1", LESIONS[:1]), ("2", LESIONS[:4]), ("0,4", LESIONS)]
)
def test_the_lesions_of_the_grades_are_in_use(readers: Any, grades: str, lesions: tuple[str, ...]) -> None:
    dataset = phantoms(readers, phantom_count=4, phantom_grades=grades)
    assert dataset.channels == ("vessel", "optic_disc", *lesions)


def test_samples_hold_what_the_phantom_of_their_grade_shows(readers: Any) -> None:
    sample = phantoms(readers, phantom_count=2, phantom_grades=4, channels="haemorrhage,vein").samples[0]
    eye = phantom_eye(20_170, 0, 48, 4)
    assert (sample.id, sample.patient) == ("phantom-train-00000-grade4", "phantom-train-00000")
    assert sample.recipe == f"phantom {PHANTOM_VERSION} 20170 0 48 grade 4 {LESIONS_VERSION}"
    assert np.array_equal(sample.photo_array(), eye.photo)
    assert np.array_equal(sample.label_array("haemorrhage"), eye.labels["haemorrhage"])


def test_an_eye_that_is_drawn_in_two_grades_is_not_mistaken_for_itself(readers: Any) -> None:
    mild, severe = (phantoms(readers, phantom_count=2, phantom_grades=grade).samples[0] for grade in (1, 3))
    assert mild.identity != severe.identity
    assert mild.fingerprint != severe.fingerprint
    assert mild.patient == severe.patient


@pytest.mark.parametrize("grades", ["5", "0,1,-1", "mild", "0.5"])
def test_what_is_no_grade_is_refused(grades: str) -> None:
    with pytest.raises(InvalidValueError, match="phantom_grades"):
        DataConfig.resolve("data", settings={"phantom_grades": grades})


def test_lesions_of_eyes_that_have_none_are_refused_with_the_way_to_get_them(readers: Any) -> None:
    advice = r"phantoms have no haemorrhage; .*--set data\.phantom_grades=0,1,2,3,4"
    for grades in ("", "0,1"):
        with pytest.raises(InvalidValueError, match=advice):
            phantoms(readers, channels="vessel,haemorrhage", phantom_grades=grades)
    with pytest.raises(InvalidValueError, match=r"phantoms have no drusen; have: .*microaneurysm$"):
        phantoms(readers, channels="drusen", phantom_grades="1")


def test_a_set_of_graded_phantoms_is_read_back_as_it_was_drawn(readers: Any, tmp_path: Path) -> None:
    write_phantom_set(tmp_path / "eyes", 3, 64, seed=3, grades=(0, 2, 4))
    dataset = open_dataset(tmp_path / "eyes", registry=readers)
    assert [sample.grade for sample in dataset] == [4, 2, 0]
    eye = phantom_eye(3, 0, 64, 4)
    for lesion in set(LESIONS) & set(dataset.channels):
        assert np.array_equal(dataset.samples[0].label_array(lesion), eye.labels[lesion])
    assert not dataset.samples[2].label_array("haemorrhage").any()
    assert "--seed 3 --grade 0,2,4`" in (tmp_path / "eyes" / "README.md").read_text()


def test_a_set_holds_no_channel_that_is_empty_in_all_of_it(readers: Any, tmp_path: Path) -> None:
    write_phantom_set(tmp_path / "eyes", 2, 64, grades=(0, 1))
    rows = [json.loads(line) for line in (tmp_path / "eyes" / "metadata.jsonl").read_text().splitlines()]
    assert not any("haemorrhage_file_name" in row for row in rows)
    assert not (tmp_path / "eyes" / "labels" / "haemorrhage").exists()
    assert open_dataset(tmp_path / "eyes", registry=readers).channels[-1] == "microaneurysm"
