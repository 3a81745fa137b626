"""Whatever can be wrong with the files is found at once, each on a line that names file and remedy."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from retina_core.config import DataConfig
from retina_core.data.opening import open_dataset
from retina_core.data.readers.metadata import read_metadata
from retina_core.errors import DatasetError


def problems(readers: Any, root: Path, **settings: Any) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        open_dataset(root, registry=readers, config=DataConfig(**settings))
    assert str(root) in str(caught.value)
    assert "mend or leave out these files and run again" in str(caught.value)
    return list(caught.value.problems)


Break = Callable[[Path, Any], object]


def _unlink(name: str) -> Break:
    return lambda root, folders: (root / name).unlink()


def _save(name: str, picture: Callable[[Any], np.ndarray]) -> Break:
    return lambda root, folders: folders.save(root / name, picture(folders))


def _text(name: str, text: str = "no picture") -> Break:
    return lambda root, folders: (root / name).write_text(text)


def _cut(root: Path, folders: Any) -> None:
    path = root / "Image_01L.jpg"
    path.write_bytes(path.read_bytes()[:900])


def _copy(root: Path, folders: Any) -> None:
    (root / "Image_02R.jpg").write_bytes((root / "Image_01L.jpg").read_bytes())


GREYS = (np.arange(64 * 56) % 40 * 6).astype(np.uint8).reshape(56, 64)

CHASE: dict[str, tuple[Break, str, str]] = {
    "a photograph without a label": (
        _unlink("Image_01L_1stHO.png"),
        "Image_01L.jpg: has no label",
        "leave the",
    ),
    "a label without a photograph": (
        _unlink("Image_01L.jpg"),
        "Image_01L_1stHO.png: a label without a",
        "add the",
    ),
    "a label of another size": (
        _save("Image_01L_1stHO.png", lambda f: f.mask(56, 64)),
        "Image_01L_1stHO.png: is 56x64, not 64x56 px like Image_01L.jpg",
        "scale it",
    ),
    "a truncated photograph": (_cut, "Image_01L.jpg: is truncated", ""),
    "a text file named .png": (_text("Image_01L_1stHO.png"), "Image_01L_1stHO.png: is not a picture", ""),
    "an empty file": (_text("Image_01L.jpg", ""), "Image_01L.jpg: is empty", ""),
    "a mask with 40 grey values": (
        _save("Image_01L_1stHO.png", lambda f: GREYS),
        "Image_01L_1stHO.png: is not a mask: it holds 40 values",
        "",
    ),
    "the second observer's too": (
        _save("Image_01L_2ndHO.png", lambda f: f.mask(8, 8)),
        "Image_01L_2ndHO.png: is 8x8",
        "scale it",
    ),
    "a black photograph": (
        _save("Image_01L.jpg", lambda f: f.photo() * 0),
        "Image_01L.jpg: no field of view can be found in it",
        "leave it out",
    ),
    "a duplicate": (_copy, "Image_02R.jpg: the same photograph as Image_01L.jpg", "leave one out"),
}


@pytest.mark.parametrize("case", CHASE)
def test_what_is_wrong_names_the_file_and_what_to_do(folders: Any, readers: Any, case: str) -> None:
    root = folders.chase()
    spoil, line, advice = CHASE[case]
    spoil(root, folders)
    found = problems(readers, root)
    assert len([text for text in found if line in text]) == 1
    assert all(advice in text for text in found if line in text)
    assert len(found) <= 2


def test_everything_is_reported_at_once(folders: Any, readers: Any) -> None:
    root = folders.chase(patients=(1, 2, 3, 11))
    (root / "Image_01L_1stHO.png").unlink()
    (root / "Image_02L.jpg").write_text("x")
    (root / "Image_03L_1stHO.png").write_text("x")
    folders.save(root / "Image_11R_1stHO.png", GREYS)
    lines = problems(readers, root)
    assert {line.split(":")[0] for line in lines} == {
        "Image_01L.jpg",
        "Image_02L.jpg",
        "Image_03L_1stHO.png",
        "Image_11R_1stHO.png",
    }


def test_a_label_of_an_unreadable_photograph_is_still_looked_at(folders: Any, readers: Any) -> None:
    root = folders.chase()
    (root / "Image_01L.jpg").write_text("x")
    (root / "Image_01L_1stHO.png").write_text("x")
    assert len(problems(readers, root)) == 2


def test_a_channel_that_is_empty_everywhere(folders: Any, readers: Any) -> None:
    root = folders.plain(channels=("cell", "wall"))
    for path in (root / "labels" / "wall").iterdir():
        folders.save(path, folders.mask() * 0)
    [line] = problems(readers, root)
    assert line.startswith(
        "wall: nothing is marked in this channel in any sample; choose others with --set data.channels"
    )
    assert open_dataset(root, registry=readers, config=DataConfig(channels=("cell",))).channels == ("cell",)


def test_hrf_without_a_field_of_view(folders: Any, readers: Any) -> None:
    root = folders.hrf()
    (root / "mask" / "01_h_mask.tif").unlink()
    (root / "images" / "02_dr.JPG").unlink()
    lines = problems(readers, root)
    assert "images/01_h.jpg: has no field of view; add mask/01_h_mask.tif" in lines
    assert any(line.startswith("manual1/02_dr.tif: a label without a photograph") for line in lines)


def test_an_empty_field_of_view(folders: Any, readers: Any) -> None:
    root = folders.hrf()
    folders.save(root / "mask" / "01_h_mask.tif", folders.mask() * 0)
    assert problems(readers, root) == [
        "mask/01_h_mask.tif: the field of view is empty; mark what the camera filled"
    ]


def test_a_folder_without_photographs(tmp_path: Path, readers: Any) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    [line] = problems(readers, tmp_path)
    assert "no photograph" in line


def test_maps_beside_the_channels(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.save(root / "labels" / "0.png", folders.mask())
    assert problems(readers, root) == [
        "labels/0.png: lies beside the channels' folders; move it into labels/<channel>/"
    ]


def test_two_photographs_of_one_name(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.save(root / "images" / "0.tif", folders.photo())
    assert any(
        "images/0.tif: differs from images/0.png in its ending only" in line
        for line in problems(readers, root)
    )


ROWS: dict[str, tuple[dict[str, object], str]] = {
    "outside": ({"file_name": "../../etc/passwd.png"}, "points outside the folder"),
    "absolute": ({"file_name": "/etc/passwd.png"}, "points outside the folder"),
    "on Windows": ({"file_name": "C:\\eyes\\a.png"}, "points outside the folder"),
    "with backslashes": (
        {"file_name": "images/0.png", "cell_file_name": "..\\a.png"},
        "points outside the folder",
    ),
    "a label outside": (
        {"file_name": "images/0.png", "cell_file_name": "../a.png"},
        "points outside the folder",
    ),
    "a fov outside": ({"file_name": "images/0.png", "fov_file_name": "/a.png"}, "points outside the folder"),
    "no path": ({"file_name": 7}, "is no path"),
    "a zero byte": ({"file_name": "images/\0.png"}, "cannot be printed"),
    "no name": ({"grade": 1}, "names no photograph"),
    "a grade": ({"file_name": "images/0.png", "grade": 5}, "write 0 to 4"),
    "a true grade": ({"file_name": "images/0.png", "grade": True}, "write 0 to 4"),
    "a missing file": ({"file_name": "images/9.png"}, "images/9.png is not there"),
    "a missing label": (
        {"file_name": "images/0.png", "cell_file_name": "labels/cell/x.png"},
        "x.png: is not there",
    ),
}


@pytest.mark.parametrize("case", ROWS)
def test_rows_of_the_table(folders: Any, readers: Any, case: str) -> None:
    root = folders.plain()
    row, said = ROWS[case]
    others = [{"file_name": f"images/{number}.png"} for number in range(1, 5)]
    folders.write_table(root, [row, *others])
    assert any(said in line for line in problems(readers, root))


def test_a_row_twice_and_a_photograph_in_none(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.write_table(root, [{"file_name": f"images/{number}.png"} for number in (0, 1, 2, 3, 3)])
    lines = problems(readers, root)
    assert any(
        "metadata.jsonl line 5: names images/3.png again, after metadata.jsonl line 4" in line
        for line in lines
    )
    assert any("images/4.png: stands in no row" in line for line in lines)


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"file_name": ' + "[" * 100_000, '{"grade": ' + "9" * 10_000 + "}"]
)
def test_lines_that_are_no_rows(folders: Any, readers: Any, text: str) -> None:
    root = folders.plain()
    (root / "metadata.jsonl").write_text(text)
    assert any(line.startswith("metadata.jsonl line 1: ") for line in problems(readers, root))


def test_a_table_that_is_no_text(folders: Any, readers: Any) -> None:
    root = folders.plain()
    (root / "metadata.csv").write_bytes(b"file_name\n\xff\xfe\0")
    assert any(line.startswith("metadata.csv: cannot be read") for line in problems(readers, root))


@given(st.binary(max_size=200), st.sampled_from(["metadata.jsonl", "metadata.csv"]))
def test_any_table_gives_rows_or_lines(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("table")
    (folder / name).write_bytes(content)
    found: list[str] = []
    rows = read_metadata(folder, found)
    assert rows is not None
    assert all(".." not in Path(row.photo).parts and not Path(row.photo).is_absolute() for row in rows)


def test_one_bad_file_among_very_many_is_found(folders: Any, readers: Any) -> None:
    root = folders.root / "many"
    count = 500
    for number in range(count):
        picture = np.full((2, 3), number % 250, dtype=np.uint8)
        picture[0] = [number // 250, 1, 2]
        folders.save(root / "images" / f"{number}.bmp", picture)
        folders.save(root / "masks" / f"{number}.bmp", np.eye(2, 3, dtype=np.uint8) * 255)
    (root / "masks" / "321.bmp").write_bytes(b"BM")
    folders.write_table(root, [{"file_name": f"images/{number}.bmp"} for number in range(count)])
    begin = time.process_time()
    [line] = problems(readers, root)
    assert line.startswith("masks/321.bmp: ")
    assert time.process_time() - begin < 10


def test_a_palette_mask_with_inverted_indices(folders: Any, readers: Any) -> None:
    root = folders.plain()
    marked = folders.mask() > 0
    image = Image.fromarray((~marked).astype(np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(root / "labels" / "cell" / "0.png")
    dataset = open_dataset(root, registry=readers)
    np.testing.assert_array_equal(dataset.samples[0].label_array("cell"), marked)
