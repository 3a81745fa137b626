"""``annotate``: what samples lack is filled in and marked as weak, everything else is as it was."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from retina_core.annotation.running import annotate
from retina_core.config import DataConfig, StageConfig, setting
from retina_core.data.inspect import inspect_dataset
from retina_core.data.opening import open_dataset
from retina_core.data.readers.idrid import IDRiDReader
from retina_core.data.sample import Dataset
from retina_core.errors import (
    ChannelError,
    DatasetError,
    InvalidValueError,
    LeakError,
    RequestError,
    RetinaError,
    RunFolderError,
    StageFolderError,
)
from retina_core.evaluation.leaks import refuse_shared, refuse_weak_truth
from retina_core.formats.stage_card import write_seen
from retina_core.formats.stage_folder import save_stage
from retina_core.grading.settings import GraderSettings
from retina_core.phantom import phantom_eye
from retina_core.registry import Row
from retina_core.roles import Segmenter
from retina_core.specs import StageSpec
from retina_core.training.options import FitOptions
from retina_core.training.seen import seen_by, signatures_before

CPU = FitOptions(device="cpu", precision="fp32")
ROW = Row("segmenter", "bright", "bright", "retina-bright", "0.3", "", "", "ok", "")
LESIONS = ("microaneurysm", "haemorrhage", "hard_exudate", "soft_exudate")
TINY = GraderSettings(resolution=32, width=4, seen_images=32, batch_size=8)


class Ears:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def progress(self, progress: Any) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        self.lines.append(line)


class BrightConfig(StageConfig):
    resolution: int = setting(32, "side", ge=8)


class Bright(Segmenter):
    """Finds what is bright, each channel a little less than the one before."""

    name: ClassVar[str] = "bright"
    asked: ClassVar[int] = 0
    stop_after: ClassVar[int] = 10**9

    def __init__(self, config: BrightConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        self.scale = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.scale.weight)

    def networks(self) -> dict[str, nn.Module]:
        return {"scale": self.scale}

    def segment(self, photos: Tensor, fov: Tensor) -> Tensor:
        if Bright.asked >= Bright.stop_after:
            raise KeyboardInterrupt
        Bright.asked += 1
        bright = self.scale(photos.mean(1, keepdim=True)) * fov
        return torch.cat([bright * (1 - place / 20) for place in range(len(self.channels))], 1)

    def features(self, photos: Tensor) -> list[Tensor]:
        return [photos]


class Known:
    """A registry of the core's readers and the one segmenter."""

    def __init__(self, readers: Any) -> None:
        self.readers, self.reader_class = readers.readers, readers.reader_class

    def stage(self, name: str, role: str | None = None) -> StageSpec:
        return StageSpec("bright", "segmenter", "x:Bright", "x:BrightConfig", "")

    def stage_class(self, spec: StageSpec) -> type:
        return Bright

    def config_class(self, spec: StageSpec) -> type[StageConfig]:
        return BrightConfig


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    Bright.asked, Bright.stop_after = 0, 10**9


@pytest.fixture
def registry(readers: Any) -> Any:
    """The core's readers, and the segmenter."""

    return Known(readers)


def segmenter(folder: Path, *channels: str, seen: Sequence[str] = ()) -> Path:
    stage = Bright(BrightConfig(), channels)
    save_stage(stage, folder, plugin=ROW, seen=seen, provenance={})
    return folder


def digests(folder: Path) -> dict[str, str]:
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def eyes(folder: Path, registry: Any) -> Any:
    """A data set whose photographs are files, and whose samples have their facts."""
    return open_dataset(folder, registry=registry)


def by_id(dataset: Dataset) -> dict[str, Any]:
    return {sample.id: sample for sample in dataset}


def test_idrid_gets_vessels_and_its_graded_photographs_weak_lesions(
    folders: Any, published: Any, registry: Any, tmp_path: Path
) -> None:
    source = published.idrid(folders)
    stage = segmenter(tmp_path / "stage", "vessel", *LESIONS)
    annotate(source, tmp_path / "out", segmenter=stage, threshold=0.4, options=CPU, registry=registry)
    before, after = (eyes(one, registry) for one in (source, tmp_path / "out"))
    assert by_id(before).keys() == by_id(after).keys()
    assert (after.citation, after.licence, after.repeats) == (before.citation, before.licence, True)
    for name, sample in by_id(after).items():
        was = by_id(before)[name]
        assert (sample.fingerprint, sample.grade) == (was.fingerprint, was.grade)
        assert (sample.official, sample.patient) == (was.official, was.patient)
        np.testing.assert_array_equal(sample.fov_array(), was.fov_array())
        assert set(sample.labels) == {*was.labels, "vessel", *LESIONS}
        assert set(sample.weak) == {"vessel", *LESIONS} - set(was.labels)
        for channel in was.labels:
            np.testing.assert_array_equal(sample.label_array(channel), was.label_array(channel))
    healthy = next(s for s in after if s.grade in {0, 1})
    assert {"hard_exudate", "vessel"} <= set(healthy.weak)
    assert healthy.label_array("vessel").any()
    assert not (healthy.label_array("vessel") & ~healthy.fov_array()).any()
    assert healthy.label_array("vessel").sum() > healthy.label_array("soft_exudate").sum() > 0
    assert healthy.photo.path.read_bytes() == by_id(before)[healthy.id].photo.path.read_bytes()


def test_real_idrid_gets_vessels(real_data: Path, registry: Any, tmp_path: Path) -> None:
    """A few photographs of each part: all of them take half a minute to decode."""
    if not (real_data / "IDRiD").is_dir():
        pytest.skip("IDRiD is not among the real photographs")
    problems: list[str] = []
    whole = IDRiDReader().read(real_data / "IDRiD", problems, DataConfig())
    chosen = {f"segmentation_IDRiD_{n:02}" for n in (1, 55)} | {
        f"grading_{half}_IDRiD_{n:03}" for half in ("train", "test") for n in (3, 4)
    }
    chosen_samples = [sample for sample in whole if sample.id in chosen]
    assert len(chosen_samples) == 6

    class Few(IDRiDReader):
        def read(self, folder: Path, problems: list[str], config: DataConfig) -> Dataset:
            return whole.with_samples(chosen_samples)

    others = registry.reader_class
    registry.reader_class = lambda spec: Few if spec.name == "idrid" else others(spec)
    stage = segmenter(tmp_path / "stage", "vessel")
    annotate(
        real_data / "IDRiD", tmp_path / "out", segmenter=stage, threshold=0.3, options=CPU, registry=registry
    )
    after = eyes(tmp_path / "out", registry)
    assert {sample.id for sample in after} == chosen
    assert all(sample.weak == ("vessel",) and sample.facts.size == (1072, 712) for sample in after)
    assert {s.fingerprint for s in after} == {s.fingerprint for s in chosen_samples}
    exudates = by_id(after)["segmentation_IDRiD_01"].label_array("hard_exudate")
    was = next(s for s in chosen_samples if s.id == "segmentation_IDRiD_01").label_array("hard_exudate")
    np.testing.assert_array_equal(exudates, was)


def test_photographs_without_any_label_are_annotated_whatever_their_files_are(
    folders: Any, registry: Any, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    folders.save(plain / "a.png", folders.photo())
    folders.save(plain / "grey.png", folders.photo()[:, :, 0])
    photo = Image.fromarray(folders.photo())
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    photo.save(plain / "turned.JPG", exif=exif)
    photo.convert("CMYK").save(plain / "printed.jpeg")
    photo.save(plain / "old.ppm")
    stage = segmenter(tmp_path / "stage", "vessel")
    annotate(plain, tmp_path / "out", segmenter=stage, options=CPU, registry=registry)
    after = eyes(tmp_path / "out", registry)
    assert sorted(s.photo.path.name for s in after) == sorted(p.name for p in plain.iterdir())
    for sample in after:
        copied = plain / sample.photo.path.name
        assert sample.photo.path.read_bytes() == copied.read_bytes()
        assert sample.label_array("vessel").shape == sample.photo_array().shape[:2]
    assert by_id(after)["turned"].facts.size == (56, 64)


def test_photographs_beside_labelled_ones_need_no_label(folders: Any, registry: Any, tmp_path: Path) -> None:
    cells = folders.plain(3, channels=("vessel",))
    folders.save(cells / "images" / "new.png", folders.photo())
    with pytest.raises(DatasetError, match="has no label"):
        open_dataset(cells, registry=registry)
    stage = segmenter(tmp_path / "stage", "vessel")
    done = annotate(
        cells, tmp_path / "out", segmenter=stage, channels=["vessel"], options=CPU, registry=registry
    )
    after = by_id(open_dataset(tmp_path / "out", registry=registry))
    assert {name: sample.weak for name, sample in after.items()} == {
        "0": (), "1": (), "2": (), "new": ("vessel",)
    }  # fmt: skip
    assert done.filled["vessel"]["count"] == 1


def test_further_observers_stay(folders: Any, registry: Any, tmp_path: Path) -> None:
    stage = segmenter(tmp_path / "stage", "optic_disc")
    annotate(folders.chase(), tmp_path / "out", segmenter=stage, options=CPU, registry=registry)
    before = by_id(open_dataset(folders.root / "chase", registry=registry))
    for name, sample in by_id(open_dataset(tmp_path / "out", registry=registry)).items():
        np.testing.assert_array_equal(
            sample.observer_array("observer2", "vessel"), before[name].observer_array("observer2", "vessel")
        )


def test_a_stopped_annotation_goes_on_and_ends_with_the_same_bytes(
    folders: Any, registry: Any, tmp_path: Path
) -> None:
    source, stage = folders.plain(6), segmenter(tmp_path / "stage", "vessel", "optic_disc")

    def run(out: str) -> None:
        annotate(source, tmp_path / out, segmenter=stage, options=CPU, registry=registry)

    run("whole")
    Bright.asked, Bright.stop_after = 0, 4
    with pytest.raises(KeyboardInterrupt):
        run("out")
    with pytest.raises(DatasetError, match="not complete: nothing tells which maps are weak"):
        open_dataset(tmp_path / "out", reader="folder", registry=registry)
    with (tmp_path / "out" / ".rows.jsonl").open("a") as rows:
        rows.write('{"id": "5", "row": {"file_na')  # as a kill may leave it
    Bright.stop_after = 10**9
    run("out")
    assert Bright.asked == 6, "what was finished is not done again"
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    run("out")
    assert Bright.asked == 6
    assert not [p.name for p in (tmp_path / "out").iterdir() if p.name.startswith(".") and p.name != ".lock"]


def test_a_stopped_annotation_does_not_train_its_grader_again(
    graded: Path, registry: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = segmenter(tmp_path / "stage", "vessel")
    Bright.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        annotate(graded, tmp_path / "out", segmenter=stage, grader=TINY, options=CPU, registry=registry)
    Bright.stop_after = 10**9
    monkeypatch.delattr("retina_core.annotation.grades.fit_grader")
    annotate(graded, tmp_path / "out", segmenter=stage, grader=TINY, options=CPU, registry=registry)
    assert {s.weak for s in open_dataset(tmp_path / "out", registry=registry)} == {
        ("vessel",), ("vessel", "grade")
    }  # fmt: skip


def refusals(folders: Any, registry: Any, tmp_path: Path) -> Iterator[tuple[type, str, dict[str, Any]]]:
    cells = folders.plain(2, channels=("vessel",))
    stage = segmenter(tmp_path / "stage", "vessel")
    wants: dict[str, Any] = {"images": cells, "segmenter": stage}
    yield RequestError, "give --segmenter DIR, --grades, or both", {"images": cells}
    yield RequestError, "every one of its 2 samples has vessel already", wants
    yield ChannelError, "needs the channel\\(s\\) artery", {**wants, "channels": ("artery",)}
    yield InvalidValueError, "a number between 0 and 1", {**wants, "threshold": 1.5}
    yield (
        InvalidValueError,
        "it needs --segmenter DIR",
        {"images": cells, "channels": ("vessel",), "grader": TINY},
    )
    yield StageFolderError, "holds no trained stage", {**wants, "segmenter": cells}
    yield RetinaError, "no sample of the training part has a grade", {"images": cells, "grader": TINY}
    full = folders.save(tmp_path / "out-full" / "x.png", folders.photo()).parent
    other = {"images": folders.plain(2, name="others"), "segmenter": stage, "out": full}
    yield RunFolderError, "the folder is not empty; choose another --out", other


def test_what_cannot_be_done_is_refused_before_any_work(folders: Any, registry: Any, tmp_path: Path) -> None:
    for kind, said, asked in refusals(folders, registry, tmp_path):
        with pytest.raises(kind, match=said) as caught:
            annotate(**{"out": tmp_path / "out", **asked}, options=CPU, registry=registry)
        assert getattr(caught.value, "exit_status", None) == 2
        assert Bright.asked == 0
        assert not (tmp_path / "out").exists()


def test_another_request_does_not_write_over_a_folder(folders: Any, registry: Any, tmp_path: Path) -> None:
    source, stage = folders.plain(2), segmenter(tmp_path / "stage", "vessel")
    annotate(source, tmp_path / "out", segmenter=stage, options=CPU, registry=registry)
    before = digests(tmp_path / "out")
    with pytest.raises(RunFolderError, match="another request"):
        annotate(source, tmp_path / "out", segmenter=stage, threshold=0.3, options=CPU, registry=registry)
    folders.save(source / "labels" / "cell" / "0.png", np.roll(folders.mask(), 2, axis=0))
    with pytest.raises(RunFolderError, match="another request"):
        annotate(source, tmp_path / "out", segmenter=stage, options=CPU, registry=registry)
    assert digests(tmp_path / "out") == before


def test_a_name_that_would_be_taken_for_a_map_is_refused(folders: Any, registry: Any, tmp_path: Path) -> None:
    for name in ("eye", "eye_vessel"):
        folders.save(tmp_path / "plain" / f"{name}.png", folders.photo())
    stage = segmenter(tmp_path / "stage", "vessel")
    with pytest.raises(DatasetError, match="eye_vessel would be taken for a map of eye"):
        annotate(tmp_path / "plain", tmp_path / "out", segmenter=stage, options=CPU, registry=registry)


def test_the_threshold_is_the_best_that_anybody_can_know_of(
    folders: Any, registry: Any, tmp_path: Path
) -> None:
    plain = folders.plain(4, channels=("cell",))
    stage = segmenter(tmp_path / "unet" / "real-seed0", "vessel")

    def chosen(images: Path, out: str, **more: Any) -> tuple[float, str]:
        facts = annotate(
            images,
            tmp_path / out,
            segmenter=stage,
            channels=("vessel",),
            options=CPU,
            registry=registry,
            **more,
        ).filled["vessel"]
        return facts["threshold"], facts["chosen"]

    assert chosen(plain, "none") == (0.5, "nothing tells a better one: see --threshold")
    with (stage.parent / "eyes.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trained_on", "seed", "eye", "channel", "threshold"])
        table.writerows([["SYNTH", 0, "e", "vessel", 0.1], ["REAL", 0, "e", "vessel", 0.37]])
    assert chosen(plain, "evaluated") == (0.37, "as the segmenter's evaluation chose it")
    assert chosen(plain, "asked", threshold=0.2) == (0.2, "as asked for")
    photo = np.where(folders.mask() > 0, 220, 20)[:, :, None] * folders.disc()[:, :, None] * np.ones(3, int)
    for index in range(4):  # what is bright is the vessel
        noise = np.random.default_rng(index).integers(0, 9, photo.shape)
        folders.save(plain / "images" / f"known{index}.png", (photo + noise).astype(np.uint8))
        folders.save(plain / "labels" / "cell" / f"known{index}.png", folders.mask())
        folders.save(plain / "labels" / "vessel" / f"known{index}.png", folders.mask())
    level, how = chosen(plain, "annotated")
    assert "annotated training eyes" in how
    assert 0.1 < level < 0.9
    (stage.parent / "eyes.csv").write_text("trained_on,seed\nREAL,none\n")
    with pytest.raises(StageFolderError, match="say --threshold"):
        chosen(folders.plain(2, name="rest"), "damaged")


@pytest.fixture
def half_known(folders: Any) -> Path:
    """Photographs of which two were annotated: a vessel that is bright, and a cell that is where nothing is."""
    plain: Path = folders.plain(2, channels=())
    photo = np.where(folders.mask() > 0, 220, 20)[:, :, None] * folders.disc()[:, :, None] * np.ones(3, int)
    elsewhere = np.zeros_like(folders.mask())
    elsewhere[2, 2:4] = 255
    for index in range(4):
        noise = np.random.default_rng(index).integers(0, 9, photo.shape)
        folders.save(plain / "images" / f"known{index}.png", (photo + noise).astype(np.uint8))
        folders.save(plain / "labels" / "vessel" / f"known{index}.png", folders.mask())
        folders.save(plain / "labels" / "cell" / f"known{index}.png", elsewhere)
    return plain


def test_the_eyes_that_thresholds_were_chosen_on_stay_in_the_training_part(
    half_known: Path, registry: Any, tmp_path: Path
) -> None:
    stage = segmenter(tmp_path / "stage", "vessel", "cell")
    for name, more in (("chosen", {}), ("asked", {"threshold": 0.5, "channels": ("vessel",)})):
        out = tmp_path / name
        annotate(half_known, out, segmenter=stage, options=CPU, registry=registry, **more)
        rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
        assert {row.get("split") for row in rows} == ({None} if more else {"train", "test"})
        tests = [{sample.id for sample in eyes(out, registry).split(seed).test} for seed in range(4)]
        assert all(one == tests[0] for one in tests) == (not more)


def test_what_a_segmenter_hardly_finds_is_left_out_and_that_is_said(
    half_known: Path, registry: Any, tmp_path: Path
) -> None:
    stage, ears = segmenter(tmp_path / "stage", "vessel", "cell"), Ears()
    options = replace(CPU, listener=ears)
    done = annotate(half_known, tmp_path / "out", segmenter=stage, options=options, registry=registry)
    assert list(done.filled) == ["vessel"]
    assert "annotated training eyes (Dice " in done.filled["vessel"]["chosen"]
    assert any("cell: left out" in line and "--channels" in line for line in ears.lines)
    unknown = [one for one in eyes(tmp_path / "out", registry) if not one.id.startswith("known")]
    assert unknown
    assert all(one.weak == ("vessel",) and "cell" not in one.labels for one in unknown)


def test_what_is_named_is_filled_in_however_little_is_found(
    half_known: Path, registry: Any, tmp_path: Path
) -> None:
    stage, ears = segmenter(tmp_path / "stage", "vessel", "cell"), Ears()
    options = replace(CPU, listener=ears)
    done = annotate(
        half_known, tmp_path / "out", segmenter=stage, channels=["cell"], options=options, registry=registry
    )
    assert list(done.filled) == ["cell"]
    assert any("hardly finds it" in line for line in ears.lines)


def test_a_segmenter_that_finds_nothing_is_refused_before_any_photograph_is_written(
    half_known: Path, registry: Any, tmp_path: Path
) -> None:
    stage = segmenter(tmp_path / "stage", "cell")
    with pytest.raises(RequestError, match=r"hardly finds cell .* train it longer"):
        annotate(half_known, tmp_path / "out", segmenter=stage, options=CPU, registry=registry)
    assert not (tmp_path / "out" / "images").exists()


@pytest.fixture
def graded(folders: Any, tmp_path: Path) -> Path:
    """Twelve photographs with a grade, six of them to train on, and three without."""
    root = tmp_path / "graded"
    rows: list[dict[str, Any]] = []
    for index in range(15):
        folders.save(root / "images" / f"{index:02}.png", folders.photo())
        part = "train" if index % 2 else "test"
        rows.append({"file_name": f"images/{index:02}.png", "split": part, "patient": f"p{index}"})
        if index < 12:
            rows[-1]["grade"] = index % 3
    for row, index in zip(rows, range(15), strict=True):
        folders.save(root / "labels" / "cell" / f"{index:02}.png", folders.mask())
        row["cell_file_name"] = f"labels/cell/{index:02}.png"
    folders.write_table(root, rows)
    return root


def test_grades_come_from_the_training_part_alone(graded: Path, registry: Any, tmp_path: Path) -> None:
    done = annotate(graded, tmp_path / "out", grader=TINY, options=CPU, registry=registry)
    facts = done.filled["grade"]
    assert (facts["count"], facts["held_out"], facts["name"]) == (3, 6, "grader")
    assert np.array(facts["confusion"]).sum() == 6
    after = by_id(open_dataset(tmp_path / "out", registry=registry))
    before = by_id(open_dataset(graded, registry=registry))
    assert {name for name, sample in after.items() if sample.weak == ("grade",)} == {"12", "13", "14"}
    assert all(
        after[name].grade == sample.grade for name, sample in before.items() if sample.grade is not None
    )
    assert all(after[name].grade in {0, 1, 2} for name in ("12", "13", "14"))

    table = graded / "metadata.jsonl"
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    for row in rows:
        if row["split"] == "test" and "grade" in row:
            row["grade"] = 4
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = annotate(graded, tmp_path / "again", grader=TINY, options=CPU, registry=registry)
    assert again.filled["grade"]["weights"] == facts["weights"]
    found = by_id(open_dataset(tmp_path / "again", registry=registry))
    assert [found[name].grade for name in ("12", "13", "14")] == [
        after[name].grade for name in ("12", "13", "14")
    ]


def test_a_twins_grade_goes_first(graded: Path, folders: Any, registry: Any, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (graded / "metadata.jsonl").read_text().splitlines()]
    eye = Image.fromarray(phantom_eye(1, 0, 64).photo[4:60])
    eye.save(graded / "images" / "01.png")
    eye.save(graded / "images" / "13.jpg", quality=95)
    (graded / "images" / "13.png").unlink()
    rows[13]["file_name"] = "images/13.jpg"
    folders.write_table(graded, rows)
    assert by_id(open_dataset(graded, registry=registry))["13"].grade_from == "01"
    done = annotate(graded, tmp_path / "out", grader=TINY, options=CPU, registry=registry)
    assert done.filled["grade"]["count"] == 2
    after = by_id(open_dataset(tmp_path / "out", registry=registry))
    assert (after["13"].grade, after["13"].grade_from, after["13"].weak) == (1, "01", ())


def test_a_weak_grade_gives_way_to_a_twins_and_is_given_to_none(
    graded: Path, folders: Any, registry: Any
) -> None:
    rows = [json.loads(line) for line in (graded / "metadata.jsonl").read_text().splitlines()]
    eyes = [Image.fromarray(phantom_eye(1, index, 64).photo[4:60]) for index in range(2)]
    for eye, names in zip(eyes, (("01", "13"), ("12", "14")), strict=True):
        eye.save(graded / "images" / f"{names[0]}.png")
        eye.save(graded / "images" / f"{names[1]}.jpg", quality=95)
        (graded / "images" / f"{names[1]}.png").unlink()
        rows[int(names[1])]["file_name"] = f"images/{names[1]}.jpg"
    for name in (12, 13):
        rows[name] |= {"grade": 4, "weak": ["grade"]}
    folders.write_table(graded, rows)
    found = by_id(open_dataset(graded, registry=registry))
    assert (found["13"].grade, found["13"].weak) == (1, ())
    assert (found["12"].grade, found["12"].weak, found["14"].grade) == (4, ("grade",), None)


def test_no_test_is_held_to_what_is_weak(folders: Any, registry: Any, tmp_path: Path) -> None:
    stage = segmenter(tmp_path / "stage", "vessel")
    annotate(folders.plain(6), tmp_path / "out", segmenter=stage, options=CPU, registry=registry)
    split = eyes(tmp_path / "out", registry).split()
    assert all("vessel" in sample.labels for sample in split.train)
    assert all(set(sample.labels) == {"cell"} for sample in split.test)
    assert all(set(sample.facts.labels) == {"cell"} for sample in split.test)
    refuse_weak_truth(split)
    only = open_dataset(tmp_path / "out", registry=registry, config=DataConfig(channels=("vessel",))).split()
    with pytest.raises(DatasetError, match="only weak maps of vessel"):
        refuse_weak_truth(only)


def test_a_weak_grade_is_no_truth_either(folders: Any, registry: Any) -> None:
    cells = folders.plain(4)
    rows = [{"file_name": f"images/{n}.png", "grade": 2, "weak": ["grade"], "split": part}
            for n, part in enumerate(("train", "train", "test", "test"))]  # fmt: skip
    folders.write_table(cells, rows)
    split = open_dataset(cells, registry=registry).split()
    assert [sample.grade for sample in split.train] == [2, 2]
    assert [sample.grade for sample in split.test] == [None, None]


def test_what_the_annotators_had_seen_is_not_tested_on(folders: Any, registry: Any, tmp_path: Path) -> None:
    cells = folders.plain(6)
    whole = open_dataset(cells, registry=registry)
    tested = whole.split().test.samples[0]
    for name, seen, leaks in (("clean", ["a" * 64], False), ("leaky", ["a" * 64, tested.fingerprint], True)):
        stage = segmenter(tmp_path / name, "vessel", seen=seen)
        annotate(cells, tmp_path / f"{name}-out", segmenter=stage, options=CPU, registry=registry)
        annotated = open_dataset(tmp_path / f"{name}-out", registry=registry)
        assert set(seen) <= seen_by([annotated])
        if not leaks:
            refuse_shared(annotated.split())
            continue
        with pytest.raises(LeakError, match="what weak labels, or synthetic pairs, in") as caught:
            refuse_shared(annotated.split())
        assert caught.value.sample_ids == (tested.id,)


def test_what_the_grader_had_seen_stays_in_the_training_part(
    folders: Any, registry: Any, tmp_path: Path
) -> None:
    cells = folders.plain(10)
    rows = [{"file_name": f"images/{n}.png", **({"grade": n % 2} if n < 8 else {})} for n in range(10)]
    folders.write_table(cells, rows)
    annotate(cells, tmp_path / "out", grader=TINY, options=CPU, registry=registry)
    annotated = open_dataset(tmp_path / "out", registry=registry)
    learnt_from = {
        s.fingerprint for s in open_dataset(cells, registry=registry).split().train if s.grade is not None
    }
    assert set(signatures_before(annotated)) == learnt_from
    for seed in (0, 5):
        split = annotated.split(seed)
        assert not learnt_from & set(split.test.seen())
        refuse_shared(split)


def test_an_annotated_folder_is_annotated_again(folders: Any, registry: Any, tmp_path: Path) -> None:
    source = folders.plain(3)
    for channel, images, out in (("vessel", source, "one"), ("optic_disc", tmp_path / "one", "two")):
        stage = segmenter(tmp_path / channel, channel, seen=[("a" if channel == "vessel" else "b") * 64])
        annotate(images, tmp_path / out, segmenter=stage, options=CPU, registry=registry)
    found = inspect_dataset(tmp_path / "two", registry=registry)
    assert {name: sum(by.values()) for name, by in found.weak().items()} == {"optic_disc": 3, "vessel": 3}
    assert all(stage.startswith("bright 0.3 (weights ") for by in found.weak().values() for stage in by)
    assert found.to_json()["counts"]["weak"] == found.weak()  # type: ignore[index]
    assert {c.name: c.weak for c in found.channels} == {"vessel": 3, "optic_disc": 3, "cell": 0}
    assert sum("no test is held to them" in note for note in found.dataset.notes) == 2
    assert {"a" * 64, "b" * 64} <= seen_by([found.dataset])


@pytest.mark.parametrize(
    ("weak", "said"),
    [
        (["artery"], "weak names 'artery', which this row does not have"),
        (["grade"], "weak names 'grade', which this row does not have"),
        ("cell,", ""),
        ({"cell": True}, "write a list of channels"),
        ([1], "write a list of channels"),
    ],
)
def test_a_column_weak_that_makes_no_sense_is_a_line(
    folders: Any, registry: Any, weak: Any, said: str
) -> None:
    cells = folders.plain(2)
    row = {"cell_file_name": "labels/cell/0.png", "weak": weak}
    folders.write_table(cells, [{"file_name": "0.png", **row}, {"file_name": "1.png"}])
    if not said:
        assert by_id(open_dataset(cells, registry=registry))["0"].weak == ("cell",)
        return
    with pytest.raises(DatasetError, match=said):
        open_dataset(cells, registry=registry)


def test_a_damaged_annotation_is_refused(folders: Any, registry: Any, tmp_path: Path) -> None:
    stage = segmenter(tmp_path / "stage", "vessel")
    annotate(folders.plain(2), tmp_path / "out", segmenter=stage, options=CPU, registry=registry)
    damaged = tmp_path / "out" / "annotation.json"
    text = damaged.read_text()
    for bad in ("{", "[]", '{"schema": 2}', '{"schema": 1, "repeats": "perhaps"}'):
        damaged.write_text(bad)
        with pytest.raises(DatasetError, match=r"annotation.json: .*; annotate again"):
            open_dataset(tmp_path / "out", registry=registry)
    damaged.write_text(text)
    shutil.copytree(tmp_path / "out", tmp_path / "moved")
    assert len(open_dataset(tmp_path / "moved", registry=registry)) == 2, "it stands on its own"
    (tmp_path / "moved" / "annotators" / "seen.json").write_text("{}")
    with pytest.raises(StageFolderError, match="annotators"):
        seen_by([open_dataset(tmp_path / "moved", registry=registry)])
    write_seen(tmp_path / "moved" / "annotators", [])
    assert len(seen_by([open_dataset(tmp_path / "moved", registry=registry)])) == 2
