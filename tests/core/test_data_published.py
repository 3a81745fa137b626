"""Published data sets in their owners' layouts, each quirk of theirs."""

from __future__ import annotations

import gzip
import json
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from retina_core.config import DataConfig
from retina_core.data import packed
from retina_core.data.inspect import inspect_dataset
from retina_core.data.opening import open_dataset
from retina_core.data.pictures import FilePicture
from retina_core.data.readers.class_list import read_classes
from retina_core.data.readers.grade_table import median_grade, named_grades, rater_grades
from retina_core.data.sample import Dataset
from retina_core.errors import DatasetError, PathError, UnknownLayoutError

READERS = ("idrid", "drive", "stare", "fgadr", "messidor")
LESIONS = ("microaneurysm", "haemorrhage", "hard_exudate", "soft_exudate")


def opened(readers: Any, source: Path, reader: str | None = None, **chosen: Any) -> Dataset:
    return open_dataset(source, reader=reader, registry=readers, config=DataConfig(**chosen))


def problems(readers: Any, source: Path) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        opened(readers, source)
    return list(caught.value.problems)


class TestFinding:
    @pytest.mark.parametrize("name", READERS)
    def test_a_layout_is_known_by_its_own_reader_alone(
        self, folders: Any, published: Any, readers: Any, name: str
    ) -> None:
        dataset = opened(readers, published.LAYOUTS[name](folders))
        assert dataset.reader == name
        assert dataset.citation
        assert dataset.licence

    @pytest.mark.parametrize("name", READERS)
    def test_a_named_reader_reads_its_layout(
        self, folders: Any, published: Any, readers: Any, name: str
    ) -> None:
        root = published.LAYOUTS[name](folders)
        assert opened(readers, root, reader=name).seen() == opened(readers, root).seen()

    @pytest.mark.parametrize("name", READERS)
    def test_two_layouts_in_one_folder_are_refused_with_both_names(
        self, folders: Any, published: Any, readers: Any, name: str
    ) -> None:
        root = published.LAYOUTS[name](folders)
        folders.save(root / "Image_01L.jpg", folders.photo())
        with pytest.raises(UnknownLayoutError, match="all fit; name one with --reader") as caught:
            opened(readers, root)
        assert set(caught.value.fitting) == {"chase_db1", name}
        assert opened(readers, root, reader=name).reader == name

    def test_all_of_them_in_one_folder_are_refused(self, folders: Any, published: Any, readers: Any) -> None:
        root = folders.root / "all"
        for make in published.LAYOUTS.values():
            shutil.copytree(make(folders), root, dirs_exist_ok=True)
        with pytest.raises(UnknownLayoutError) as caught:
            opened(readers, root)
        assert set(caught.value.fitting) == set(READERS)

    @pytest.mark.parametrize("name", READERS)
    def test_a_reader_of_another_layout_finds_nothing_and_says_so(
        self, folders: Any, readers: Any, name: str
    ) -> None:
        with pytest.raises(DatasetError, match="no photograph of the layout"):
            opened(readers, folders.chase(), reader=name)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(content=st.one_of(st.binary(max_size=40), st.text('image,grade;"01.\n', max_size=60).map(str.encode)))
def test_any_table_is_read_or_named(tmp_path: Path, content: bytes) -> None:
    for name in ("grades.csv", "classes.csv"):
        (tmp_path / name).write_bytes(content)
    problems: list[str] = []
    named = named_grades(tmp_path / "grades.csv", tmp_path, problems, ["image"], "grade")
    for row in (*named, *rater_grades(tmp_path / "grades.csv", tmp_path, problems)):
        assert set(row.grades) <= {0, 1, 2, 3, 4}
    read_classes(tmp_path, problems)
    assert all(line.startswith(("grades.csv", "classes.csv")) for line in problems)


class TestIDRiD:
    def test_both_parts_together(self, folders: Any, published: Any, readers: Any) -> None:
        dataset = opened(readers, published.idrid(folders))
        assert dataset.channels == ("optic_disc", *LESIONS)
        assert dataset.fov_rule == "derive"
        split = dataset.split()
        assert (len(split.train), len(split.test)) == (3 + 4, 2 + 2)

    @pytest.mark.parametrize("is_root", [True, False])
    def test_the_segmentation_part_alone(
        self, folders: Any, published: Any, readers: Any, is_root: bool
    ) -> None:
        part = published.idrid_segmentation(folders, folders.root / "IDRiD")
        dataset = opened(readers, part if is_root else part.parent)
        assert [sample.official for sample in dataset] == ["train"] * 3 + ["test"] * 2
        assert {sample.grade for sample in dataset} == {None}

    @pytest.mark.parametrize("is_root", [True, False])
    def test_the_grading_part_alone(self, folders: Any, published: Any, readers: Any, is_root: bool) -> None:
        part = published.idrid_grading(folders, folders.root / "IDRiD")
        dataset = opened(readers, part if is_root else part.parent)
        assert dataset.channels == ()
        assert [sample.grade for sample in dataset if sample.official == "train"] == [1, 2, 3, 4]
        assert [sample.grade for sample in dataset if sample.official == "test"] == [1, 2]

    def test_names_that_repeat_become_ids_that_do_not(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        dataset = opened(readers, published.idrid(folders))
        ids = [sample.id for sample in dataset]
        assert len(set(ids)) == len(ids) == 11
        assert {"grading_train_IDRiD_001", "grading_test_IDRiD_001", "segmentation_IDRiD_01"} <= set(ids)

    def test_a_sample_is_called_the_same_with_the_other_part_beside_it(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        root = published.idrid(folders)
        parts = [opened(readers, part) for part in sorted(root.iterdir())]
        assert {s.id: s.fingerprint for part in parts for s in part} == {
            s.id: s.fingerprint for s in opened(readers, root)
        }

    def test_a_map_that_is_not_there_means_no_such_lesion(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        dataset = opened(readers, published.idrid(folders))
        first = next(sample for sample in dataset if sample.id == "segmentation_IDRiD_01")
        assert first.labels["soft_exudate"] is None
        assert first.label_array("soft_exudate").shape == (56, 64)
        assert not first.label_array("soft_exudate").any()
        graded = next(sample for sample in dataset if sample.grade is not None)
        assert "soft_exudate" not in graded.labels  # absent: nobody looked

    def test_a_disc_that_is_not_there_was_not_drawn(self, folders: Any, published: Any, readers: Any) -> None:
        part = published.idrid_segmentation(folders, folders.root)
        next(part.rglob("IDRiD_02_OD.tif")).unlink()
        dataset = opened(readers, part)
        assert "optic_disc" not in dataset.samples[1].labels
        assert any("optic_disc: not in use; 4 of 5" in note for note in dataset.notes)

    def test_a_lesion_without_its_folder_is_absent(self, folders: Any, published: Any, readers: Any) -> None:
        part = published.idrid_segmentation(folders, folders.root)
        for folder in part.rglob("2. Haemorrhages"):
            shutil.rmtree(folder)
        dataset = opened(readers, part)
        assert dataset.channels == ("optic_disc", "microaneurysm", "hard_exudate", "soft_exudate")
        assert all("haemorrhage" not in sample.labels for sample in dataset)

    def test_palettes_of_0_and_1_and_rgba_are_masks(self, folders: Any, published: Any, readers: Any) -> None:
        part = published.idrid_segmentation(folders, folders.root)
        palette, rgba = next(part.rglob("IDRiD_02_EX.tif")), next(part.rglob("IDRiD_56_EX.tif"))
        with Image.open(palette) as first, Image.open(rgba) as second:
            assert (first.mode, np.unique(first).tolist(), second.mode) == ("P", [0, 1], "RGBA")
        samples = opened(readers, part).samples
        np.testing.assert_array_equal(samples[1].label_array("hard_exudate"), folders.mask() > 0)
        np.testing.assert_array_equal(samples[4].label_array("hard_exudate"), folders.mask() > 0)

    def test_the_localisation_part_is_passed_over_and_that_is_said(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        root = published.idrid(folders)
        other = root / "C. Localization"
        shutil.copytree(root / "B. Disease Grading" / "1. Original Images", other / "1. Original Images")
        (other / "2. Groundtruths" / "1. Optic Disc Center Location").mkdir(parents=True)
        dataset = opened(readers, root)
        assert len(dataset) == 11
        assert any("C. Localization is not read" in note for note in dataset.notes)

    def test_a_photograph_that_is_there_twice_is_told_of_and_leaves_the_training_side(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        part = published.idrid_grading(folders, folders.root)
        photos = part / "1. Original Images"
        shutil.copy(photos / "b. Testing Set" / "IDRiD_002.jpg", photos / "a. Training Set" / "IDRiD_003.jpg")
        shutil.copy(
            photos / "a. Training Set" / "IDRiD_001.jpg", photos / "a. Training Set" / "IDRiD_002.jpg"
        )
        dataset = opened(readers, part)
        assert "2 photographs are there twice" in dataset.notes
        assert inspect_dataset(part, registry=readers).twins == (
            ("grading_test_IDRiD_002", "grading_train_IDRiD_003"),
            ("grading_train_IDRiD_001", "grading_train_IDRiD_002"),
        )
        split = dataset.split()
        assert [sample.id[-3:] for sample in split.train] == ["001", "002", "004"]
        assert len(split.test) == 2

    def test_some_of_the_photographs_are_enough(self, folders: Any, published: Any, readers: Any) -> None:
        part = published.idrid_grading(folders, folders.root)
        next(part.rglob("IDRiD_003.jpg")).unlink()
        dataset = opened(readers, part)
        assert len(dataset) == 5
        assert any("1 rows of a. IDRiD" in note for note in dataset.notes)

    def test_what_is_missing_is_named(self, folders: Any, published: Any, readers: Any) -> None:
        root = published.idrid(folders)
        next(root.rglob("IDRiD_55.jpg")).unlink()
        folders.save(next(root.rglob("IDRiD_001.jpg")).with_name("IDRiD_900.jpg"), folders.photo())
        found = problems(readers, root)
        assert any("IDRiD_55_MA.tif: a label without a photograph" in line for line in found)
        assert any("IDRiD_900.jpg: has no grade in" in line for line in found)

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("Image name,Retinopathy grade\nIDRiD_001,5\n", "line 2: the grade is '5'; write 0 to 4"),
            ("Image name;Retinopathy grade\nIDRiD_001;3\n", "has no columns 'image name' and"),
            ("Image name,Retinopathy grade\nIDRiD_001,1\nIDRiD_001,2\n", "names IDRiD_001 again"),
            ("Image name,Retinopathy grade\nIDRiD_001\n", "IDRiD_001.jpg: has no grade in"),
            ('Image name,Retinopathy grade\n"IDRiD_001,1\n', "cannot be read"),
        ],
    )
    def test_a_bad_table_of_grades_is_named_with_its_line(
        self, folders: Any, published: Any, readers: Any, text: str, line: str
    ) -> None:
        part = published.idrid_grading(folders, folders.root, (1, 1))
        next(part.rglob("a. IDRiD*.csv")).write_text(text)
        assert any(line in found for found in problems(readers, part))

    def test_a_half_without_its_table_is_named(self, folders: Any, published: Any, readers: Any) -> None:
        part = published.idrid_grading(folders, folders.root)
        next(part.rglob("a. IDRiD*.csv")).unlink()
        assert problems(readers, part) == [
            "2. Groundtruths: has no table of the train part's grades; add the file that ends in .csv"
        ]


class TestDRIVE:
    def test_its_split_fields_of_view_and_second_observer(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        dataset = opened(readers, published.drive(folders))
        assert (dataset.channels, dataset.fov_rule) == (("vessel",), "given")
        split = dataset.split()
        assert [sample.id for sample in split.test] == ["01_test", "02_test"]
        assert [sample.id for sample in split.train] == ["21_training", "22_training", "23_training"]
        np.testing.assert_array_equal(split.train.samples[0].fov_array(), folders.disc())
        assert "observer2" not in split.train.samples[0].observers
        second = split.test.samples[0].observer_array("observer2", "vessel")
        np.testing.assert_array_equal(second, np.roll(folders.mask() > 0, 1, axis=0))

    def test_a_test_half_without_vessels_is_left_out_and_that_is_said(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        dataset = opened(readers, published.drive(folders, tested=False))
        assert [sample.id for sample in dataset] == ["21_training", "22_training", "23_training"]
        assert any("test comes without vessels" in note for note in dataset.notes)
        assert len(dataset.split().test) == 1  # of those that there are

    def test_what_is_missing_is_named(self, folders: Any, published: Any, readers: Any) -> None:
        root = published.drive(folders)
        (root / "training" / "1st_manual" / "21_manual1.gif").unlink()
        (root / "training" / "mask" / "22_training_mask.gif").unlink()
        (root / "test" / "images" / "02_test.tif").unlink()
        found = problems(readers, root)
        assert (
            "training/images/21_training.tif: has no label; add training/1st_manual/21_manual1.gif "
            in str(found)
        )
        assert any("22_training.tif: has no field of view" in line for line in found)
        assert any("02_manual1.gif: a label without a photograph" in line for line in found)


class TestSTARE:
    @pytest.mark.parametrize("is_packed", [True, False])
    def test_packed_or_not(self, folders: Any, published: Any, readers: Any, is_packed: bool) -> None:
        dataset = opened(readers, published.stare(folders, is_packed))
        assert [sample.id for sample in dataset] == ["im0001", "im0002", "im0003", "im0004"]
        assert (dataset.channels, dataset.fov_rule) == (("vessel",), "derive")
        first = dataset.samples[0]
        np.testing.assert_array_equal(first.label_array("vessel"), folders.mask() > 0)
        np.testing.assert_array_equal(
            first.observer_array("observer2", "vessel"), np.roll(folders.mask() > 0, 1, axis=0)
        )
        fov = first.fov_array()
        assert (fov | folders.disc()).sum() < 1.2 * (fov & folders.disc()).sum()

    def test_packed_pictures_are_the_same_as_unpacked_ones(
        self, folders: Any, published: Any, tmp_path: Path
    ) -> None:
        photo = folders.photo()
        published.save_packed(tmp_path / "a.ppm.gz", photo)
        plain, gz = FilePicture(folders.save(tmp_path / "a.ppm", photo)), FilePicture(tmp_path / "a.ppm.gz")
        np.testing.assert_array_equal(plain.read(), gz.read())
        assert plain.size() == gz.size() == (64, 56)

    def test_a_photograph_that_is_there_packed_and_unpacked_is_named(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        root = published.stare(folders)
        folders.save(root / "im0001.ppm", folders.photo())
        assert "stare-images/im0001.ppm.gz: is there as im0001.ppm too; leave one out" in problems(
            readers, root
        )

    def test_what_is_missing_is_named(self, folders: Any, published: Any, readers: Any) -> None:
        root = published.stare(folders, packed=False)
        (root / "im0001.ah.ppm").unlink()
        (root / "im0002.ppm").unlink()
        found = problems(readers, root)
        assert "im0001.ppm: has no label; add im0001.ah.ppm or leave the photograph out" in found
        assert any("im0002.ah.ppm: a label without a photograph" in line for line in found)

    def test_a_bomb_is_refused_without_being_unpacked(self, tmp_path: Path) -> None:
        path = tmp_path / "im0001.ppm.gz"
        with gzip.open(path, "wb", compresslevel=9) as file:
            file.write(b"P6\n9000 9000\n255\n")
            for _ in range(24):
                file.write(bytes(2**20))
        assert path.stat().st_size < 2**20
        tracemalloc.start()
        with pytest.raises(PathError, match=r"unpacks to more than 16 MiB.*gunzip im0001.ppm.gz"):
            FilePicture(path).read()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * packed.MOST_BYTES

    def test_a_packed_header_that_claims_too_much_is_refused_before_decoding(self, tmp_path: Path) -> None:
        path = tmp_path / "im0001.ppm.gz"
        path.write_bytes(gzip.compress(b"P6\n9000 9000\n255\n" + bytes(1000)))
        with pytest.raises(PathError, match="is truncated: its header claims 9000x9000 px"):
            FilePicture(path).read()

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is empty"),
            (b"no gzip", "cannot be unpacked"),
            (gzip.compress(b"P5\n4 4\n255\n" + bytes(16))[:-6], "is truncated"),
            (gzip.compress(b"P5\n4 4\n255\n" + bytes(9)), "is truncated"),
            (gzip.compress(b"\x89PNG\r\n\x1a\n" + bytes(99)), "is not a picture that can be read"),
        ],
        ids=["nothing", "another file", "a packed file's start", "a picture's start", "another picture"],
    )
    def test_what_cannot_be_unpacked_is_one_clear_error(
        self, tmp_path: Path, content: bytes, reason: str
    ) -> None:
        path = tmp_path / "im0001.ppm.gz"
        path.write_bytes(content)
        with pytest.raises(PathError, match=reason) as caught:
            FilePicture(path).read()
        assert caught.value.advice


class TestFGADR:
    @pytest.mark.parametrize("inside", ["", "Seg-set"])
    def test_six_lesions_and_grades(self, folders: Any, published: Any, readers: Any, inside: str) -> None:
        dataset = opened(readers, published.fgadr(folders, inside=inside))
        assert dataset.channels == (*LESIONS, "irma", "neovascularisation")
        assert [sample.grade for sample in dataset] == [0, 1, 2, 3, 4]
        assert [sample.group for sample in dataset] == ["1", "1", "2", "3", "3"]
        first, last = dataset.samples[0], dataset.samples[-1]
        assert first.labels["neovascularisation"] is None  # annotated and empty
        np.testing.assert_array_equal(last.label_array("neovascularisation"), folders.mask() > 0)

    @pytest.mark.parametrize(
        ("table", "grades"),
        [
            ("0001_1.png,2,2,4\n0002_1.png,0,3,\n0003_2,1,,\n0004_3.png,0,1,4\n", [2, 0, 1, 1, None]),
            ("image,rater 1,rater 2 ,,\n0001_1.png,2,2,,\n0002_1.png,3,4,,\n", [2, 3, None, None, None]),
            ("0001_1.png,1\n0001_1.png,3\n0001_1.png,3\n", [3, None, None, None, None]),
        ],
        ids=["a column each", "with a header", "a row each"],
    )
    def test_the_grade_of_several_raters_is_their_median(
        self, folders: Any, published: Any, readers: Any, table: str, grades: list[int | None]
    ) -> None:
        dataset = opened(readers, published.fgadr(folders, table))
        assert [sample.grade for sample in dataset] == grades
        assert any("have no grade" in note for note in dataset.notes)

    def test_raters_who_disagree_are_told_by_sample(self, folders: Any, published: Any, readers: Any) -> None:
        root = published.fgadr(folders, "0001_1.png,2,2,4\n0002_1.png,3,3,3\n0003_2.png,0,1,\n")
        found = json.loads(json.dumps(inspect_dataset(root, registry=readers).to_json()))
        assert found["disagreements"] == {"0001_1": [2, 2, 4], "0003_2": [0, 1]}
        assert "raters disagree on 2 photographs (0001_1, 0003_2)" in found["notes"]

    def test_more_than_half_of_the_raters_decide(self) -> None:
        assert [median_grade(given) for given in ([4, 0, 0], [3, 3, 3, 0], [1, 2], [])] == [0, 3, 1, None]

    def test_smoothed_edges_are_cut_however_many_there_are(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        root = published.fgadr(folders)
        edges = folders.mask().copy()
        edges[10:13, 20:40] = 90  # 2 % of the pixels: refused as a mask elsewhere
        edges[10:13, 40:44] = 140
        folders.save(root / "HardExudate_Masks" / "0001_1.png", np.dstack([edges] * 3))
        dataset = opened(readers, root)
        np.testing.assert_array_equal(dataset.samples[0].label_array("hard_exudate"), edges > 127)
        assert any("1 map: grey edges are cut" in note for note in dataset.notes)

    def test_a_photograph_among_the_maps_is_refused(self, folders: Any, published: Any, readers: Any) -> None:
        root = published.fgadr(folders)
        folders.save(root / "IRMA_Masks" / "0002_1.png", folders.photo())
        [line] = problems(readers, root)
        assert line.startswith("IRMA_Masks/0002_1.png: is not a mask")

    def test_without_a_table_grades_are_unknown_and_that_is_said(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        root = published.fgadr(folders)
        (root / "DR_Seg_Grading_Label.csv").unlink()
        dataset = opened(readers, root)
        assert {sample.grade for sample in dataset} == {None}
        assert "there is no table of grades (.csv)" in dataset.notes

    def test_a_bad_grade_is_named_with_its_line(self, folders: Any, published: Any, readers: Any) -> None:
        root = published.fgadr(folders, "0001_1.png,2\n0002_1.png,seven,2\n")
        assert problems(readers, root) == [
            "DR_Seg_Grading_Label.csv line 2: the grade is 'seven'; write 0 to 4, or leave it empty"
        ]


class TestMessidor:
    def test_photographs_in_groups_by_their_own_grades(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        dataset = opened(readers, published.messidor(folders))
        assert (len(dataset), dataset.channels, dataset.fov_rule) == (8, (), "derive")
        assert [sample.group for sample in dataset][:4] == ["R0", "R1", "R2", "R3"]
        assert {sample.grade for sample in dataset} == {None}  # 0 to 3 by lesions: not ICDR
        assert any("they are not ICDR's" in note for note in dataset.notes)
        assert any("Annotation_Base12.xls is not read: save it as CSV" in note for note in dataset.notes)

    def test_pairs_of_eyes_and_adjudicated_grades_of_the_second_set(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        dataset = opened(readers, published.messidor_2(folders))
        assert dataset.reader == "messidor"
        assert [sample.grade for sample in dataset] == [0, 1, 2, 3]
        assert [sample.patient for sample in dataset] == [
            *["20051020_44283_0100_PP"] * 2,
            *["IM000001"] * 2,
        ]

    def test_a_flat_folder_without_tables(self, folders: Any, readers: Any) -> None:
        for number in range(3):
            folders.save(folders.root / "m" / f"20051019_3855{number}_0100_PP.tif", folders.photo())
        dataset = opened(readers, folders.root / "m")
        assert (dataset.reader, len(dataset)) == ("messidor", 3)

    def test_its_photographs_with_maps_are_a_plain_folder(self, folders: Any, readers: Any) -> None:
        for number in range(3):
            name = f"20051019_3855{number}_0100_PP.png"
            folders.save(folders.root / "m" / "images" / name, folders.photo())
            folders.save(folders.root / "m" / "labels" / "vessel" / name, folders.mask())
        assert opened(readers, folders.root / "m").reader == "folder"

    def test_a_table_of_something_else_is_passed_over_and_that_is_said(
        self, folders: Any, published: Any, readers: Any
    ) -> None:
        root = published.messidor(folders)
        (root / "notes.csv").write_text("a,b\n1,2\n")
        assert any("notes.csv is not read" in note for note in opened(readers, root).notes)
