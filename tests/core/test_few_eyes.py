"""Fewer training eyes: nested, patient by patient, and the test part as it was."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from retina_core.config import DataConfig
from retina_core.data.few_eyes import fewer, split_of
from retina_core.data.opening import open_dataset
from retina_core.data.sample import Dataset, Sample
from retina_core.errors import DatasetError, InvalidValueError
from retina_core.run_plan import PipelineRequest
from retina_core.testing import tiny_eyes


def eyes(people: int, *, groups: int = 1) -> Dataset:
    """Two eyes of each of some patients, ten of whom are tested on."""
    one = tiny_eyes(1, image_px=16)
    samples = [
        replace(
            one.samples[0],
            id=f"{person:02}{side}",
            patient=f"{person:02}",
            group=f"g{person % groups}",
            official="train" if person >= 2 else "test",
            recipe=f"{person}{side}",
        )
        for person in range(people)
        for side in "LR"
    ]
    return replace(one, name="eyes", samples=tuple(samples))


def few(dataset: Dataset, count: int, seed: int = 0) -> Dataset:
    return split_of(dataset, seed, DataConfig(train_eyes=count)).train


def ids(dataset: Dataset) -> list[str]:
    return [sample.id for sample in dataset.samples]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_smaller_numbers_eyes_are_among_a_larger_ones(seed: int) -> None:
    dataset = eyes(12)
    chosen = [set(ids(few(dataset, count, seed))) for count in range(1, 21)]
    assert [len(some) for some in chosen] == list(range(1, 21))
    assert all(small < large for small, large in pairwise(chosen))


def test_patients_stay_whole_but_the_last() -> None:
    dataset = eyes(12)
    people = [sample.patient for sample in few(dataset, 7).samples]
    assert sorted(people.count(person) for person in set(people)) == [1, 2, 2, 2]


def test_the_test_part_and_the_order_are_as_without() -> None:
    dataset = eyes(12)
    whole, part = split_of(dataset, 0, DataConfig()), split_of(dataset, 0, DataConfig(train_eyes=5))
    assert ids(part.test) == ids(whole.test)
    assert [name for name in ids(whole.train) if name in ids(part.train)] == ids(part.train)
    assert ids(few(dataset, 20)) == ids(whole.train)
    assert whole.train.notes == dataset.notes
    assert "5 of 20 annotated training eyes" in part.train.notes[-1]


def test_the_seed_and_names_alone_choose() -> None:
    dataset = eyes(12)
    turned = dataset.with_samples(dataset.samples[::-1])
    assert set(ids(few(dataset, 6, 3))) == set(ids(few(turned, 6, 3)))
    assert len({tuple(ids(few(dataset, 6, seed))) for seed in range(5)}) > 1


def test_every_group_has_its_share() -> None:
    dataset = eyes(14, groups=3)
    met = {sample.group for sample in few(dataset, 6).samples}
    assert met == {"g0", "g1", "g2"}


def test_patients_who_share_a_picture_are_one() -> None:
    dataset = replace(eyes(12), twins=(("03L", "07R"),))
    people = [{sample.patient for sample in few(dataset, count).samples} for count in range(1, 21)]
    assert sum(len({"03", "07"} & some) == 1 for some in people) == 2  # while the first one's eyes are taken


def test_an_eye_without_a_map_is_neither_counted_nor_kept() -> None:
    dataset = eyes(6)
    bare = dataset.with_samples([replace(s, labels={}) if s.id.endswith("R") else s for s in dataset.samples])
    assert set(ids(few(bare, 4))) == {"02L", "03L", "04L", "05L"}
    with pytest.raises(InvalidValueError, match="has 4 annotated eyes"):
        few(bare, 5)


def test_more_eyes_than_there_are_and_fewer_than_none_are_refused() -> None:
    with pytest.raises(InvalidValueError, match=r"data: train_eyes=21 cannot be used.*has 20 annotated eyes"):
        few(eyes(12), 21)
    with pytest.raises(InvalidValueError, match="train_eyes"):
        DataConfig.resolve("data", "quick", {"train_eyes": -1})


def test_a_channel_that_is_marked_in_none_of_them_is_refused() -> None:
    train = open_phantoms()
    facts = train.samples[0].facts
    assert facts is not None
    empty = {name: replace(one, fov_share=0.0, marked_px=0) for name, one in facts.labels.items()}
    samples: list[Sample] = [replace(s, facts=replace(facts, labels=empty)) for s in train.samples]
    with pytest.raises(DatasetError, match="of 2 training eyes, vessel: nothing is marked"):
        fewer(train.with_samples(samples), 2, 0)


def open_phantoms() -> Dataset:
    """Two phantoms with what is known of their files."""
    from retina_core.data.checking import examine

    dataset = open_dataset("phantom", config=DataConfig(phantom_count=2, phantom_px=32, channels=("vessel",)))
    samples = [replace(sample, facts=examine(sample).facts) for sample in dataset.samples]
    return dataset.with_samples(samples)


def test_the_number_is_part_of_the_request(tmp_path: Path) -> None:
    def digest(**data: int) -> str:
        return PipelineRequest(labels="phantom", translator="spade", settings={"data": data}).digest

    assert len({digest(), digest(train_eyes=5), digest(train_eyes=6)}) == 3
