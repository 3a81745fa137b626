"""Several data sets as one, and samples that are left out by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retina_core.config import DataConfig
from retina_core.data.excluding import read_exclusions
from retina_core.data.inspect import inspect_dataset
from retina_core.data.opening import open_dataset
from retina_core.errors import DatasetError, InvalidValueError, PathError
from retina_core.formats.stage_card import write_seen
from retina_core.run_plan import PipelineRequest
from retina_core.training.lessons import learnable
from retina_core.training.seen import signatures_of


def listed(root: Path, text: str) -> DataConfig:
    """Settings that leave out what a list names."""
    path = root / "out.txt"
    path.write_text(text, encoding="utf-8")
    return DataConfig(exclude=str(path))


def test_several_data_sets_are_one(folders: Any, readers: Any) -> None:
    sources = [folders.chase(), folders.hrf(), folders.plain(channels=("vessel", "cell"))]
    whole = open_dataset(sources, registry=readers)
    assert (len(whole), whole.channels) == (8 + 6 + 5, ("vessel",))
    assert len({one.id for one in whole}) == len(whole)
    assert {one.id for one in whole} >= {"CHASE_DB1-Image_01L", "HRF-01_dr", "cells-0"}
    assert {one.patient for one in whole} >= {"CHASE_DB1-01", "HRF-01_dr"}
    assert [(one.name, one.samples) for one in whole.origins] == [("CHASE_DB1", 8), ("HRF", 6), ("cells", 5)]
    assert all(name in whole.citation for name in ("CHASE_DB1: Fraz", "HRF: Budai"))
    assert whole.licence.count("CC BY 4.0") == 2


def test_each_data_set_keeps_its_own_split(folders: Any, readers: Any) -> None:
    chase, hrf = folders.chase(), folders.hrf()
    whole = open_dataset([chase, hrf], registry=readers).split(seed=4)
    alone = open_dataset(hrf, registry=readers).split(seed=4)
    expected = {f"CHASE_DB1-Image_{eye}" for eye in ("11L", "11R", "12L", "12R")}
    assert {one.id for one in whole.test} == expected | {f"HRF-{one.id}" for one in alone.test}


def test_an_absent_channel_stays_absent(folders: Any, readers: Any) -> None:
    sources = [folders.chase(), folders.plain(channels=("cell",))]
    whole = open_dataset(sources, registry=readers)
    assert whole.channels == ("vessel", "cell")
    assert {tuple(one.labels) for one in whole} == {("vessel",), ("cell",)}
    assert len(learnable(whole, masks=True)) == len(whole)
    assert len(learnable(whole, masks=False)) == 0
    chosen = open_dataset(sources, registry=readers, config=DataConfig(channels=("vessel",)))
    assert len(learnable(chosen, masks=True)) == len(learnable(chosen, masks=False)) == 8


def test_data_sets_of_one_name_are_told_apart(folders: Any, readers: Any) -> None:
    first, second = folders.plain(name="a/eyes"), folders.plain(name="b/eyes")
    whole = open_dataset([first, second], registry=readers)
    assert {one.origin for one in whole} == {"eyes", "eyes-2"}
    assert len({one.id for one in whole}) == 10


def test_the_same_photograph_in_two_data_sets_is_a_twin(folders: Any, readers: Any) -> None:
    first, second = folders.plain(name="first"), folders.plain(name="second")
    (second / "images" / "3.png").write_bytes((first / "images" / "1.png").read_bytes())
    folders.write_table(
        first, [{"file_name": f"images/{n}.png", "split": "train" if n < 3 else "test"} for n in range(5)]
    )
    folders.write_table(
        second, [{"file_name": f"images/{n}.png", "split": "test" if n > 2 else "train"} for n in range(5)]
    )
    whole = open_dataset([first, second], registry=readers)
    assert whole.twins == (("first-1", "second-3"),)
    split = whole.split()
    assert split.left_out == ("first-1",)
    assert "second-3" in {one.id for one in split.test}


def test_a_problem_names_the_whole_path(folders: Any, readers: Any) -> None:
    first, second = folders.plain(name="first"), folders.plain(name="second")
    (second / "images" / "3.png").write_text("x")
    (first / "labels" / "cell" / "2.png").unlink()
    found = inspect_dataset([first, second], registry=readers)
    assert found.source == f"{first} + {second}"
    assert [line.split(":")[0] for line in found.problems] == [
        f"{first}/images/2.png",
        str(second / "images" / "3.png"),
    ]
    assert [one["name"] for one in found.to_json()["sets"]] == ["first", "second"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sources", "reader", "said"),
    [
        (["phantom", "chase"], None, "retina data phantom"),
        (["chase", "chase"], None, "named twice"),
        (["chase", "hrf"], ("chase_db1", "hrf", "folder"), "one for each"),
        ([], None, "name a folder"),
    ],
)
def test_what_cannot_be_combined_is_refused(
    folders: Any, readers: Any, sources: list[str], reader: Any, said: str
) -> None:
    places = {"chase": folders.chase(), "hrf": folders.hrf(), "phantom": "phantom"}
    with pytest.raises(InvalidValueError, match=said):
        open_dataset([places[one] for one in sources], reader=reader, registry=readers)


def test_photographs_beside_synthetic_pairs_have_signatures(folders: Any, readers: Any) -> None:
    real, pairs = folders.plain(name="real"), folders.plain(name="pairs")
    write_seen(pairs, ["a" * 64])
    whole = open_dataset([real, pairs], registry=readers)
    assert set(signatures_of([whole])) == {one.fingerprint for one in whole if one.origin == "real"}
    assert signatures_of([open_dataset(pairs, registry=readers)]) == {}


def test_a_reader_for_each(folders: Any, readers: Any) -> None:
    whole = open_dataset([folders.chase(), folders.hrf()], reader=("chase_db1", "hrf"), registry=readers)
    assert [one.reader for one in whole.origins] == ["chase_db1", "hrf"]


def test_listed_samples_are_left_out(folders: Any, readers: Any) -> None:
    config = listed(folders.root, "# they disagree\nImage_01L\n\n Image_11R  # blurred\nImage_01L\n")
    eyes = open_dataset(folders.chase(), registry=readers, config=config)
    assert len(eyes) == 6
    assert eyes.excluded == ("Image_01L", "Image_11R")
    assert not {"Image_01L", "Image_11R"} & {one.id for one in eyes}


def test_a_bad_file_that_is_left_out_does_no_harm(folders: Any, readers: Any) -> None:
    root = folders.plain()
    (root / "images" / "3.png").write_text("x")
    assert len(open_dataset(root, registry=readers, config=listed(folders.root, "3"))) == 4


def test_of_combined_sets_the_own_id_will_do(folders: Any, readers: Any) -> None:
    sources = [folders.chase(), folders.plain(name="first"), folders.plain(name="second")]
    eyes = open_dataset(sources, registry=readers, config=listed(folders.root, "Image_02R\nfirst-3"))
    assert eyes.excluded == ("CHASE_DB1-Image_02R", "first-3")
    with pytest.raises(InvalidValueError, match="write first-3 or second-3"):
        open_dataset(sources, registry=readers, config=listed(folders.root, "3"))


def test_an_unknown_id_is_one_clear_error(folders: Any, readers: Any) -> None:
    with pytest.raises(
        InvalidValueError, match=r"no sample is called 'Image_1L'; did you mean 'Image_\d\dL'\?"
    ):
        open_dataset(folders.chase(), registry=readers, config=listed(folders.root, "Image_1L"))


def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name, said in (("none", "is not there"), ("", "is a folder"), ("bytes", "no UTF-8")):
        with pytest.raises(PathError, match=said):
            read_exclusions(tmp_path / name)


def test_another_list_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    request = PipelineRequest("dcgan", "pix2pix", data="x", settings={"data": {"exclude": str(path)}})
    digests = []
    for text in ("a\nb\n", "b # again\na\n", "a\n"):
        path.write_text(text)
        digests.append((request.digest, request.folder))
    assert digests[0] == digests[1] != digests[2]
    assert request.facts()["settings"]["data"]["exclude"] == ["a"]
    assert request.settings["data"]["exclude"] == str(path)


def test_several_folders_name_a_run(tmp_path: Path) -> None:
    request = PipelineRequest("dcgan", "pix2pix", data=("x/CHASE_DB1", "y/HRF"))
    assert request.folder.name.startswith("dcgan-pix2pix-chase_db1+hrf-")
    assert request.facts()["data"] == ["x/CHASE_DB1", "y/HRF"]


def test_nothing_left_is_told(folders: Any, readers: Any) -> None:
    with pytest.raises(DatasetError):
        open_dataset(folders.plain(count=1), registry=readers, config=listed(folders.root, "0"))


def test_levels_are_taken_where_a_channel_is_annotated() -> None:
    """An absent channel's zeros would halve its share."""
    from retina_core.training.feed import Feed

    class Prepared:
        channels = ("vessel",)
        labels = np.stack([np.full((1, 2, 2), 100, np.uint8), np.zeros((1, 2, 2), np.uint8)])
        fov = np.full((2, 1, 2, 2), 255, np.uint8)
        present = np.array([[True], [False]])

    values = Feed._coverage(Prepared(), 0)  # type: ignore[arg-type]
    assert values.tolist() == pytest.approx([100 / 255] * 4)
