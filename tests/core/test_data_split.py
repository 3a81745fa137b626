"""Which samples train and which test."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retina_core.data.pictures import ArrayPicture
from retina_core.data.sample import Dataset, Part, Sample
from retina_core.data.split import held_out
from retina_core.errors import DatasetError


def sample(
    name: str, patient: str, group: str | None = None, official: Part | None = None, tone: int = 0
) -> Sample:
    """A sample whose photograph is ``tone`` if that is not 0, else its own."""
    level = tone or sum(name.encode()) % 200 + 50
    picture = np.full((4, 5, 3), level, dtype=np.uint8)
    picture[0, 0] = list(name.encode().ljust(3)[:3]) if not tone else level
    return Sample(name, patient, ArrayPicture.of(name, picture), group=group, official=official)


def dataset(samples: list[Sample]) -> Dataset:
    return Dataset("made up", "none", None, tuple(samples), ())


def eyes(patients: int, groups: str = "a") -> list[Sample]:
    """Both eyes of some patients, whose groups take turns."""
    return [
        sample(f"{number:02}{side}", f"{number:02}", groups[number % len(groups)])
        for number in range(patients)
        for side in "LR"
    ]


def ids(half: Dataset) -> set[str]:
    return {sample.id for sample in half}


def test_both_eyes_of_a_patient_stay_together() -> None:
    split = dataset(eyes(20)).split(seed=3)
    assert {s.patient for s in split.train}.isdisjoint(s.patient for s in split.test)
    assert (len(split.train), len(split.test)) == (32, 8)


@given(st.integers(0, 2**63), st.randoms(use_true_random=False))
def test_the_order_of_files_does_not_matter(seed: int, shuffler: random.Random) -> None:
    samples = eyes(11, "ab")
    expected = ids(dataset(samples).split(seed).test)
    shuffler.shuffle(samples)
    assert ids(dataset(samples).split(seed).test) == expected


def test_another_seed_gives_another_split() -> None:
    assert len({frozenset(ids(dataset(eyes(20)).split(seed).test)) for seed in range(8)}) > 4


def test_every_group_gives_its_share() -> None:
    split = dataset(eyes(30, "abc")).split(seed=1)
    tested = [s.group for s in split.test]
    assert {group: tested.count(group) for group in "abc"} == {"a": 4, "b": 4, "c": 4}


def test_folds_test_every_patient_once() -> None:
    whole = dataset(eyes(13, "ab"))
    parts = [ids(whole.split(seed=5, folds=4, fold=fold).test) for fold in range(4)]
    assert sorted(name for part in parts for name in part) == sorted(ids(whole))


@given(st.integers(2, 40), st.floats(0.01, 0.99), st.integers(0, 99))
def test_some_are_held_out_and_some_are_left(patients: int, share: float, seed: int) -> None:
    names = {str(number): "" for number in range(patients)}
    chosen = held_out(names, seed, share)
    assert 1 <= len(chosen) <= patients - 1
    assert abs(len(chosen) - share * patients) <= 1


def test_the_official_split_holds_where_all_have_one() -> None:
    parts: list[Part] = ["train", "test", "train"]
    samples = [sample(str(n), str(n), official=part) for n, part in enumerate(parts)]
    assert ids(dataset(samples).split(seed=9).test) == {"1"}
    samples[0] = replace(samples[0], official=None)
    assert sum(ids(dataset(samples).split(seed).test) == {"1"} for seed in range(20)) < 20


def test_folds_set_the_official_split_aside() -> None:
    parts: list[Part] = ["train", "test"] * 4
    whole = dataset([sample(str(n), str(n), official=part) for n, part in enumerate(parts)])
    assert {name for fold in range(2) for name in ids(whole.split(folds=2, fold=fold).test)} == ids(whole)


def test_a_photograph_of_the_test_part_leaves_the_training_part() -> None:
    samples = [
        sample("a", "1", official="train", tone=77),
        sample("b", "2", official="train"),
        sample("c", "3", official="test", tone=77),
    ]
    split = dataset(samples).split()
    assert (ids(split.train), ids(split.test)) == ({"b"}, {"c"})
    assert set(split.train.seen()).isdisjoint(split.test.seen())


@pytest.mark.parametrize(
    "samples",
    [
        [],
        [sample("a", "1"), sample("b", "1")],  # both eyes of one patient
        [sample("a", "1", official="test"), sample("b", "2", official="test")],
        [sample("a", "1", official="train", tone=9), sample("b", "2", official="test", tone=9)],
    ],
)
def test_a_part_without_samples_is_refused(samples: list[Sample]) -> None:
    with pytest.raises(DatasetError, match=r"leaves 0 samples to train on|and 0 to test on"):
        dataset(samples).split()


def test_the_fingerprint_is_of_the_pixels() -> None:
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    colour = np.repeat(grey[:, :, None], 3, axis=2)
    other = [colour.transpose(1, 0, 2), colour + 1]
    prints = [
        Sample("x", "x", ArrayPicture.of("x", picture)).fingerprint for picture in (grey, colour, *other)
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
