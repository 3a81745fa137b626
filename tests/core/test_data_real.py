"""Real photographs, where ``RETINA_DATA`` says that they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from retina_core.config import DataConfig
from retina_core.data.checking import examine
from retina_core.data.few_eyes import split_of
from retina_core.data.fov import derive_fov, paste_back
from retina_core.data.opening import open_dataset
from retina_core.data.prepare import prepare_sample
from retina_core.data.readers.idrid import IDRiDReader
from retina_core.data.sample import Dataset
from retina_core.evaluation.elsewhere import crossed_split


@pytest.fixture(scope="module")
def opened() -> dict[Path, Dataset]:
    return {}


def real(opened: dict[Path, Dataset], folder: Path) -> Dataset:
    """Each data set is opened once for all tests here."""
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not among the real photographs")
    if folder not in opened:
        opened[folder] = open_dataset(folder)
    return opened[folder]


@pytest.fixture
def idrid(real_data: Path) -> Dataset:
    """IDRiD by its names: nothing is decoded, which would take 20 s."""
    if not (real_data / "IDRiD").is_dir():
        pytest.skip("IDRiD is not among the real photographs")
    problems: list[str] = []
    dataset = IDRiDReader().read(real_data / "IDRiD", problems, DataConfig())
    assert not problems
    return dataset


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_chase_db1_has_its_counts_and_split(real_data: Path, opened: dict[Path, Dataset]) -> None:
    dataset = real(opened, real_data / "CHASE_DB1")
    assert (len(dataset), dataset.reader, dataset.channels) == (28, "chase_db1", ("vessel",))
    split = dataset.split(seed=5)
    assert (len(split.train), len(split.test)) == (20, 8)
    assert split.test.samples[0].id == "Image_11L"
    assert len(set(dataset.seen())) == 28


def test_the_second_observer_of_chase_db1(real_data: Path, opened: dict[Path, Dataset]) -> None:
    """0.798 Dice on the test eyes, inside the fov, pixels of all eyes together."""
    test = real(opened, real_data / "CHASE_DB1").split().test
    fovs = [sample.fov_array() for sample in test]
    first = np.concatenate([s.label_array("vessel")[fov] for s, fov in zip(test, fovs, strict=True)])
    second = np.concatenate(
        [s.observer_array("observer2", "vessel")[f] for s, f in zip(test, fovs, strict=True)]
    )
    assert dice(first, second) == pytest.approx(0.798, abs=0.005)


@pytest.mark.parametrize(("resolution", "ceiling"), [(128, 0.80), (256, 0.92), (512, 0.97)])
def test_perfect_labels_come_back(
    real_data: Path, opened: dict[Path, Dataset], resolution: int, ceiling: float
) -> None:
    """What a working resolution allows, measured at the photograph's own size."""
    scores = []
    for sample in real(opened, real_data / "CHASE_DB1").split().test:
        prepared = prepare_sample(sample, ("vessel",), resolution)
        back = paste_back(prepared.labels[0].astype(np.float32) / 255, prepared.box, prepared.size)
        scores.append(
            max(dice(back > level, sample.label_array("vessel")) for level in (0.35, 0.4, 0.45, 0.5))
        )
    assert np.mean(scores) >= ceiling


def test_hrf_has_its_counts_and_groups(real_data: Path, opened: dict[Path, Dataset]) -> None:
    dataset = real(opened, real_data / "HRF")
    assert (dataset.reader, dataset.fov_rule) == ("hrf", "given")
    tested = dataset.split().test
    assert len({sample.group for sample in tested}) == 3
    assert len(tested) == round(len(dataset) / 5)


def test_few_eyes_of_chase_db1_are_children_by_children(real_data: Path, opened: dict[Path, Dataset]) -> None:
    dataset = real(opened, real_data / "CHASE_DB1")
    parts = [split_of(dataset, 0, DataConfig(train_eyes=count)) for count in (5, 10, 20)]
    assert [len(part.train) for part in parts] == [5, 10, 20]
    assert [len({eye.patient for eye in part.train}) for part in parts] == [3, 5, 10]
    assert {eye.id for eye in parts[0].train} < {eye.id for eye in parts[1].train}
    assert {len(part.test) for part in parts} == {8}


def test_chase_db1_and_hrf_share_no_picture_and_test_each_other(
    real_data: Path, opened: dict[Path, Dataset]
) -> None:
    chase, hrf = (real(opened, real_data / name).split() for name in ("CHASE_DB1", "HRF"))
    assert crossed_split(chase, hrf.test).test is hrf.test
    assert len(crossed_split(hrf, chase.test).train) == len(hrf.train)


def test_the_derived_fov_is_that_of_hrf(real_data: Path, opened: dict[Path, Dataset]) -> None:
    for sample in real(opened, real_data / "HRF").samples[:3]:
        derived, given = derive_fov(sample.photo_array()), sample.fov_array()
        assert (derived & given).sum() / (derived | given).sum() > 0.99


def test_the_derived_fov_is_a_disc_on_chase_db1(real_data: Path, opened: dict[Path, Dataset]) -> None:
    for sample in real(opened, real_data / "CHASE_DB1").samples[::4]:
        fov = sample.fov_array()
        y, x = np.nonzero(fov)
        rows, columns = np.indices(fov.shape)
        disc = np.hypot(rows - y.mean(), columns - x.mean()) <= np.sqrt(fov.sum() / np.pi)
        assert (fov & disc).sum() / (fov | disc).sum() > 0.985
        assert (sample.label_array("vessel") & ~fov).sum() < 0.005 * sample.label_array("vessel").sum()


def test_idrid_has_its_counts_and_split(idrid: Dataset) -> None:
    assert idrid.channels == ("optic_disc", "microaneurysm", "haemorrhage", "hard_exudate", "soft_exudate")
    parts = Counter((sample.official, bool(sample.labels)) for sample in idrid)
    assert parts == {("train", True): 54, ("test", True): 27, ("train", False): 413, ("test", False): 103}
    assert len({sample.id for sample in idrid}) == 597


def test_idrid_has_its_grades(idrid: Dataset) -> None:
    graded = [sample for sample in idrid if sample.grade is not None]
    counts = {half: Counter(s.grade for s in graded if s.official == half) for half in ("train", "test")}
    assert counts["train"] == {0: 134, 1: 20, 2: 136, 3: 74, 4: 49}
    assert counts["test"] == {0: 34, 1: 5, 2: 32, 3: 19, 4: 13}
    assert all(sample.labels == {} for sample in graded)


def test_lesions_that_an_eye_of_idrid_does_not_have_are_empty(idrid: Dataset) -> None:
    lesioned = [sample for sample in idrid if sample.labels]
    assert all(set(sample.labels) == set(idrid.channels) for sample in lesioned)
    empty = Counter(name for s in lesioned for name, source in s.labels.items() if source is None)
    assert empty == {"soft_exudate": 41, "haemorrhage": 1}
    [without] = [sample for sample in lesioned if sample.labels["haemorrhage"] is None]
    assert without.id == "segmentation_IDRiD_43"
    assert not without.label_array("haemorrhage").any()


def test_maps_of_idrid_are_masks_whatever_their_kind(idrid: Dataset) -> None:
    """Palettes of the values 0 and 1, and one RGBA: that of photograph 81's hard exudates."""
    for name in ("segmentation_IDRiD_01", "segmentation_IDRiD_81"):
        sample = next(sample for sample in idrid if sample.id == name)
        found = examine(sample)
        assert found.problems == ()
        assert found.facts
        assert found.facts.size == (1072, 712)
        assert 0 < found.facts.labels["hard_exudate"].fov_share < 0.1
        assert 0.01 < found.facts.labels["optic_disc"].fov_share < 0.05


def test_the_derived_fov_of_idrid_holds_the_optic_disc(idrid: Dataset) -> None:
    """A disc that the frame cuts above and below."""
    for sample in [s for s in idrid if s.labels][::27]:
        fov = sample.fov_array()
        assert 0.6 < fov.mean() < 0.9
        assert (sample.label_array("optic_disc") & ~fov).sum() == 0
