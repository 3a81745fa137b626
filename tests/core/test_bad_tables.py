"""Tables, names and splits as they come: each works, or is refused on lines that name file and remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retina_core.config import DataConfig
from retina_core.data.opening import open_dataset
from retina_core.data.readers.metadata import LONGEST_LINE
from retina_core.errors import DatasetError, InvalidValueError, RetinaError
from retina_core.names import channel_name, is_visible, shown


def problems(readers: Any, root: Path) -> list[str]:
    with pytest.raises(DatasetError) as caught:
        open_dataset(root, registry=readers)
    assert "\n  " in str(caught.value)
    return list(caught.value.problems)


def rows(count: int = 5) -> list[dict[str, object]]:
    return [{"file_name": f"images/{number}.png", "grade": number % 5} for number in range(count)]


def write_csv(root: Path, *lines: str, encoding: str = "utf-8", joint: str = "\n") -> None:
    (root / "metadata.csv").write_bytes(joint.join([*lines, ""]).encode(encoding))


LINES = [
    "file_name,grade,patient",
    *(f"images/{number}.png,{number},Müller {number % 2}" for number in range(5)),
]


@pytest.mark.parametrize("joint", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_of_any_editor_is_read(folders: Any, readers: Any, encoding: str, joint: str) -> None:
    root = folders.plain()
    write_csv(root, *LINES, encoding=encoding, joint=joint)
    samples = open_dataset(root, registry=readers).samples
    assert [sample.grade for sample in samples] == [0, 1, 2, 3, 4]
    assert {sample.patient for sample in samples} == {"Müller 0", "Müller 1"}


def test_empty_columns_at_the_end_are_left_out(folders: Any, readers: Any) -> None:
    root = folders.plain()
    write_csv(root, *(f"{line},,," for line in LINES))
    assert open_dataset(root, registry=readers).samples[1].grade == 1


TABLES: dict[str, tuple[list[str], str]] = {
    "two columns of a name": (
        ["file_name,grade,grade", "images/0.png,1,2"],
        "two columns 'grade': leave one out",
    ),
    "semicolons": (["file_name;grade", "images/0.png;1"], "has no column file_name, but 'file_name;grade'"),
    "no header": (["images/0.png,1"], "has no column file_name"),
    "nothing": ([""], "has no column file_name, but 'none'"),
    "a cell too many": (["file_name,grade", "images/0.png,1,2"], "line 2: has 3 cells under 2 columns"),
    "an open quote": (["file_name,patient", 'images/0.png,"x', "images/1.png,y"], "unexpected end of data"),
    "a long line": (
        ["file_name,patient", f"images/0.png,{'x' * LONGEST_LINE}"],
        "more than 1,000,000 letters",
    ),
    "a long cell": (["file_name,patient", f"images/0.png,{'x' * 200_000}"], "field larger than field limit"),
    "a split of another name": (
        ["file_name,split", "images/0.png,val"],
        "split is 'val'; write train or test",
    ),
    "escape sequences": (["file_name,patient", "images/0.png,\x1b[31m"], "write one line of text"),
    "a grade in words": (["file_name,grade", "images/0.png,mild"], "write 0 to 4"),
}


@pytest.mark.parametrize("case", TABLES)
def test_a_table_that_cannot_be_relied_on_is_refused(folders: Any, readers: Any, case: str) -> None:
    root = folders.plain()
    lines, said = TABLES[case]
    write_csv(root, *lines)
    found = problems(readers, root)
    assert any(said in line for line in found), found
    assert all(is_visible(line) for line in found)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_a_table_in_another_encoding_is_refused(folders: Any, readers: Any, encoding: str) -> None:
    root = folders.plain()
    write_csv(root, *LINES, encoding=encoding)
    assert any("save it as UTF-8 text" in line for line in problems(readers, root))


ROWS = {
    "a key twice": '{"file_name": "images/0.png", "grade": 1, "grade": 2}',
    "not a number": '{"file_name": "images/0.png", "patient": NaN}',
    "infinity": '{"file_name": "images/0.png", "grade": -Infinity}',
    "a large number": '{"file_name": "images/0.png", "patient": 1' + "0" * 5000 + "}",
    "depth": '{"file_name": "images/0.png", "patient": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "depth of objects": '{"a":' * 100_000,
    "one line of 10 MB": '{"file_name": "' + "x" * 10_000_000 + '"}',
    "half a surrogate pair": '{"file_name": "images/\\ud800.png"}',
    "an object as patient": '{"file_name": "images/0.png", "patient": {"a": 1}}',
    "a truth as patient": '{"file_name": "images/0.png", "patient": true}',
    "a list as path": '{"file_name": ["images/0.png"]}',
    "a path of 5,000 letters": '{"file_name": "images/0.png", "cell_file_name": "' + "x" * 5000 + '.png"}',
    "a list": "[1, 2]",
    "text": '"images/0.png"',
}


@pytest.mark.parametrize("case", ROWS)
def test_a_row_that_cannot_be_relied_on_is_refused(folders: Any, readers: Any, case: str) -> None:
    root = folders.plain()
    others = "".join(json.dumps(row) + "\n" for row in rows()[1:])
    (root / "metadata.jsonl").write_text(f"{ROWS[case]}\n{others}", encoding="utf-8")
    found = problems(readers, root)
    assert found
    assert all(len(line) < 6_000 for line in found)


def test_two_tables_are_refused(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.write_table(root, rows())
    write_csv(root, *LINES)
    assert problems(readers, root) == ["metadata.csv: lies beside metadata.jsonl; leave one of them out"]


OUTSIDE = [
    "../secret/0.png",
    "/etc/0.png",
    "images/../../secret/0.png",
    "C:\\0.png",
    "\\\\host\\0.png",
    "//host/0.png",
]


@pytest.mark.parametrize("column", ["file_name", "cell_file_name", "fov_file_name"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_row_that_points_out_of_its_folder_is_refused(
    folders: Any, readers: Any, kind: str, column: str
) -> None:
    root = folders.plain(len(OUTSIDE))
    folders.save(root.parent / "secret" / "0.png", folders.photo())
    told = [{"file_name": f"images/{n}.png", column: path} for n, path in enumerate(OUTSIDE)]
    if kind == "jsonl":
        folders.write_table(root, told)
    else:
        columns = list(dict.fromkeys(["file_name", column]))
        write_csv(root, ",".join(columns), *(",".join(row[name] for name in columns) for row in told))
    found = [
        line for line in problems(readers, root) if "points outside the folder; move the file into it" in line
    ]
    assert len(found) == len(OUTSIDE)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
@pytest.mark.parametrize("place", ["images/0.png", "labels/cell/0.png", "images", "labels/cell"])
def test_a_row_whose_file_is_a_link_out_of_the_folder_is_refused(
    folders: Any, readers: Any, place: str, kind: str
) -> None:
    root = folders.plain()
    away = root.parent / "away"
    away.mkdir()
    (root / place).rename(away / "it")
    (root / place).symlink_to(away / "it")
    told = [{"file_name": f"images/{n}.png", "cell_file_name": f"labels/cell/{n}.png"} for n in range(5)]
    if kind == "jsonl":
        folders.write_table(root, told)
    else:
        write_csv(root, "file_name,cell_file_name", *(",".join(row.values()) for row in told))
    found = problems(readers, root)
    assert len(
        [line for line in found if line.startswith("metadata.") and "is a link out of the folder" in line]
    ) == (5 if place in {"images", "labels/cell"} else 1)


def test_a_link_that_stays_in_the_folder_and_one_that_no_table_names_are_followed(
    folders: Any, readers: Any
) -> None:
    root = folders.plain()
    (root / "store").mkdir()
    (root / "images/0.png").rename(root / "store/0.png")
    (root / "images/0.png").symlink_to("../store/0.png")
    folders.write_table(root, rows())
    assert len(open_dataset(root, registry=readers)) == 5
    (root / "metadata.jsonl").unlink()
    (root / "images/1.png").rename(root.parent / "1.png")
    (root / "images/1.png").symlink_to(root.parent / "1.png")
    assert len(open_dataset(root, registry=readers)) == 5


NAME = "Auge links – Łódź 網膜 é ñ"


@pytest.mark.parametrize("stored", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("table", ["jsonl", "none"])
def test_names_of_any_letters_meet_however_their_accents_are_stored(
    folders: Any, readers: Any, stored: Any, written: Any, table: str
) -> None:
    on_disk, told = unicodedata.normalize(stored, NAME), unicodedata.normalize(written, NAME)
    root = folders.plain(3, channels=(f"Gefäß {on_disk}",), name=f"Ordner {on_disk}")
    channel = root / "labels" / f"Gefäß {on_disk}"
    (root / "images/0.png").rename(root / "images" / f"{on_disk}.png")
    (channel / "0.png").rename(channel / f"{told if table == 'none' else on_disk}.png")
    if table == "jsonl":
        rest = [{"file_name": f"images/{n}.png"} for n in (1, 2)]
        label = f"labels/Gefäß {told}/{told}.png"
        row = {"file_name": f"images/{told}.png", f"Gefäß {told}_file_name": label, "patient": told}
        folders.write_table(root, [row, *rest])
    config = DataConfig.model_validate({"channels": f"Gefäß {told}"})
    dataset = open_dataset(root, registry=readers, config=config)
    assert dataset.channels == (unicodedata.normalize("NFC", f"Gefäß {NAME}"),)
    [sample] = [sample for sample in dataset if sample.id not in {"1", "2"}]
    assert sample.id == unicodedata.normalize("NFC", NAME)
    assert sample.label_array(dataset.channels[0]).any()


def test_two_names_of_the_same_letters_are_refused(folders: Any, readers: Any) -> None:
    root = folders.plain()
    for form in ("NFC", "NFD"):
        folders.save(root / "images" / f"{unicodedata.normalize(form, 'é')}.png", folders.photo())
    assert any(
        "in how its accents are stored only; leave one out" in line for line in problems(readers, root)
    )


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "a\udcffb", "a\u2028b"])
def test_a_name_that_cannot_be_printed_is_refused_and_shown_escaped(
    folders: Any, readers: Any, name: str
) -> None:
    root = folders.plain()
    (root / "images/0.png").rename(root / "images" / f"{name}.png")
    (root / "labels/cell/0.png").rename(root / "labels/cell" / f"{name}.png")
    [line] = problems(readers, root)
    assert line == f"images/{shown(name)}.png: its name holds characters that cannot be printed; rename it"
    assert is_visible(line)


@pytest.mark.parametrize("name", ["../cell", "fov", "-x", "a:b", "aux", "x" * 65, "a\nb", ". ", "a,b"])
def test_a_channel_whose_name_could_be_no_folder_is_refused(folders: Any, readers: Any, name: str) -> None:
    root = folders.plain()
    folders.write_table(root, [{**row, f"{name}_file_name": "labels/cell/0.png"} for row in rows()])
    if name == "fov":
        return  # that column is the field of view
    assert any("cannot be a channel's name" in line or "be used" in line for line in problems(readers, root))


@pytest.mark.parametrize("value", ["../x", "vessel,vessel", "a:b", "x" * 65])
def test_a_channel_is_refused_where_it_is_asked_for(value: str) -> None:
    with pytest.raises(InvalidValueError, match="channels"):
        DataConfig.resolve("data", "quick", {"channels": value})


@given(st.text(max_size=80))
def test_a_channel_name_is_a_folder_of_that_name_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    try:
        found = channel_name(name)
    except ValueError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert is_visible(refused)
        return
    assert unicodedata.is_normalized("NFC", found)
    assert channel_name(found) == found
    assert Path(found).parts == (found,)
    folder = tmp_path_factory.mktemp("channel")
    (folder / found).mkdir()
    assert os.listdir(folder) == [found]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(
                ["file_name", "cell_file_name", "fov_file_name", "x_file_name", "grade", "split", "patient"]
            )
            | st.text(max_size=12),
            st.sampled_from(
                ["images/0.png", "labels/cell/0.png", "0.png", "..", "/", "train", 1, 4.0, -1, None, True]
            )
            | st.text(max_size=12)
            | st.integers()
            | st.floats(allow_nan=True),
            max_size=5,
        ),
        max_size=4,
    )
)
def test_any_rows_give_samples_or_lines(
    tmp_path_factory: pytest.TempPathFactory, readers: Any, told: Any
) -> None:
    from PIL import Image

    root = tmp_path_factory.mktemp("rows")
    for place in ("images", "labels/cell"):
        (root / place).mkdir(parents=True)
        Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(root / place / "0.png")
    text = "".join(json.dumps(row) + "\n" for row in told)
    (root / "metadata.jsonl").write_text(text, encoding="utf-8")
    try:
        dataset = open_dataset(root, registry=readers)
    except DatasetError:
        return
    for sample in dataset:
        for source in (sample.photo, *filter(None, sample.labels.values())):
            assert Path(source.path).resolve().is_relative_to(root.resolve())  # type: ignore[attr-defined]


CONFIG_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.lists(st.text(max_size=5), max_size=3),
    st.just(10**400), st.just({"a": 1}), st.sampled_from(["256", "1e999", "nan", "full", "a,b", " vessel , disc "]),
)  # fmt: skip


@given(st.dictionaries(st.sampled_from([*DataConfig.model_fields, "fvo"]), CONFIG_VALUES, max_size=4))
def test_any_settings_give_a_config_or_one_error(told: dict[str, object]) -> None:
    try:
        config = DataConfig.resolve("data", "quick", told)
    except RetinaError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert len(refused) < 1_000
        assert "\n" not in refused
        return
    assert 0 < config.test_share < 1


def test_more_channels_than_a_stage_learns_are_refused_before_training(folders: Any, readers: Any) -> None:
    names = [f"c{number}" for number in range(65)]
    root = folders.plain(2, channels=names)
    assert problems(readers, root) == [
        "labels: 65 channels are more than the 64 that a stage learns; choose some with --set data.channels=NAME,..."
    ]
    config = DataConfig(channels=("c1", "c64"))
    assert open_dataset(root, registry=readers, config=config).channels == ("c1", "c64")


def test_a_split_that_leaves_nothing_says_so(folders: Any, readers: Any) -> None:
    root = folders.plain()
    for part, left in (("test", "0 samples to train on and 5 to test on"), ("train", "")):
        folders.write_table(root, [{**row, "split": part} for row in rows()])
        dataset = open_dataset(root, registry=readers)
        if not left:
            assert len(dataset.split().test) == 1  # all are for training: the split is ours
            continue
        with pytest.raises(DatasetError, match=left) as caught:
            dataset.split()
        assert "mark some as train and some as test" in str(caught.value)


def test_one_patient_cannot_be_split(folders: Any, readers: Any) -> None:
    root = folders.plain()
    folders.write_table(root, [{**row, "patient": "one"} for row in rows()])
    with pytest.raises(DatasetError, match="of at least two patients"):
        open_dataset(root, registry=readers).split()


def test_a_channel_that_is_marked_in_the_test_part_only_is_refused(folders: Any, readers: Any) -> None:
    root = folders.plain()
    for number in range(4):
        folders.save(root / f"labels/cell/{number}.png", folders.mask() * 0)
    folders.write_table(
        root, [{**row, "split": "test" if n == 4 else "train"} for n, row in enumerate(rows())]
    )
    with pytest.raises(DatasetError, match="cell: nothing is marked in this channel in the training part"):
        open_dataset(root, registry=readers).split()


def test_all_labels_empty_is_a_line_for_each_channel(folders: Any, readers: Any) -> None:
    root = folders.plain(channels=("cell", "wall"))
    for path in (root / "labels").rglob("*.png"):
        folders.save(path, folders.mask() * 0)
    lines = problems(readers, root)
    assert [line.partition(":")[0] for line in lines] == ["cell", "wall"]


def test_marks_outside_of_the_field_of_view_are_none(folders: Any, readers: Any) -> None:
    root = folders.plain()
    for number in range(5):
        fov = np.zeros((56, 64), np.uint8)
        fov[:20] = 255  # the label is below
        folders.save(root / "fov" / f"{number}.png", fov)
    [line] = problems(readers, root)
    assert line.startswith("cell: nothing is marked in this channel in any sample")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["data", "inspect"], ["train", "label-generator:dcgan", "--preset", "quick", "--data"]]
)
def test_the_command_gives_one_error_and_no_traceback(folders: Any, arguments: list[str]) -> None:
    root = folders.plain(name="Ordner mit Ümlauten 網膜")
    (root / "images/0.png").rename(root / "images/a\x1b[31m.png")
    (root / "metadata.jsonl").write_text("[" * 200_000)
    out = ["--out", str(root.parent / "out")] if arguments[0] == "train" else []
    done = subprocess.run(
        [sys.executable, "-m", "retina_cli", *arguments, str(root), *out],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("  ")]
    assert sum(line.startswith("Error: ") for line in errors) == 1
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "Ordner mit Ümlauten 網膜" in done.stderr
