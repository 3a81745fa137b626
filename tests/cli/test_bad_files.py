"""Files that a command is given and cannot use: one ``Error:`` line and exit status 2, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retina_cli.main import main


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command ends."""
    with pytest.raises(SystemExit) as caught:
        main.main(arguments)
    said = capsys.readouterr()
    assert caught.value.code == 2, said.err
    assert said.err.startswith("Error: ")
    assert len(said.err.splitlines()) == 1, said.err
    assert said.out == ""
    return said.err


GOOD = 'labels = "dcgan"\ntranslator = "pix2pix"\npreset = "quick"\n'
EXPERIMENTS: dict[str, tuple[bytes, str]] = {
    "no TOML": (b"[[[", "is not TOML"),
    "no UTF-8": (b'labels = "\xff"', "is not TOML"),
    "UTF-16": (GOOD.encode("utf-16"), "is not TOML"),
    "depth": (b"a = " + b"[" * 50_000, "is not TOML"),
    "thousands of digits": (b"count = " + b"9" * 10_000, "is not TOML"),
    "size": (b"#" * (2**20 + 1), "is larger than 1 MiB"),
    "a key twice": (b'labels = "dcgan"\nlabels = "x"', "is not TOML"),
    "a number as name": (b"labels = 1", "labels = 1 is not text in quotes"),
    "a truth as number": (GOOD.encode() + b"count = true", "count = True is not a whole number"),
    "a date as number": (GOOD.encode() + b"seed = 2020-01-01", "is not a whole number"),
    "an option of another name": (GOOD.encode() + b"evaluators = 'unet'", "did you mean 'evaluator'"),
    "a table of another name": (GOOD.encode() + b"[lables]\nresolution = 64", "did you mean 'labels'"),
    "a setting of another name": (GOOD.encode() + b"[x.y]\nz = 1", "has no setting 'x'"),
    "a value out of bounds": (
        b'labels = "dcgan"\ntranslator = "pix2pix"\n[data]\ntest_share = 1.5',
        "test_share=1.5",
    ),
    "not a number": (b'labels = "dcgan"\ntranslator = "pix2pix"\n[data]\ntest_share = nan', "test_share=nan"),
    "a path as channel": (
        b'labels = "dcgan"\ntranslator = "pix2pix"\n[data]\nchannels = ["../x"]',
        "channels",
    ),
    "a table as value": (b'labels = "dcgan"\ntranslator = "pix2pix"\n[data.fov]\nx = 1', "fov="),
    "escape sequences": (b'labels = "\\u001b[31m"\ntranslator = "pix2pix"', "no label-generator"),
    "a stage that is a path": (
        b'labels = "../x"\ntranslator = "pix2pix"',
        "no label-generator is called '../x'",
    ),
}


@pytest.mark.parametrize("case", EXPERIMENTS)
def test_an_experiment_that_cannot_be_read_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    content, said = EXPERIMENTS[case]
    (tmp_path / "a.toml").write_bytes(content)
    (tmp_path / "empty").mkdir()
    line = refused(["pipeline", str(tmp_path / "a.toml"), "--data", str(tmp_path / "empty")], capsys)
    assert said in line
    assert "\x1b" not in line
    assert len(line) < 2_000


@pytest.mark.parametrize("what", ["folder", "pipe", "loop", "gone"])
def test_an_experiment_that_is_no_file_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    path = tmp_path / "a.toml"
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "loop":
        path.symlink_to("a.toml")
    assert "a.toml" in refused(["pipeline", str(path)], capsys)


VALUES = st.one_of(
    st.text(max_size=8), st.integers(), st.floats(), st.booleans(), st.lists(st.integers(), max_size=2)
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.dictionaries(
        st.sampled_from(["resolution", "learning_rate", "width", "flips", "nothing"]), VALUES, max_size=3
    )
)
def test_any_settings_of_a_table_are_taken_or_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], told: dict[str, object]
) -> None:
    lines = [f"{key} = {_toml(value)}" for key, value in told.items()]
    (tmp_path / "a.toml").write_text(
        "\n".join([GOOD, "[labels]", 'stage = "dcgan"', *lines]).replace(GOOD, GOOD[17:])
    )
    (tmp_path / "empty").mkdir(exist_ok=True)
    refused(["pipeline", str(tmp_path / "a.toml"), "--data", str(tmp_path / "empty")], capsys)


def _toml(value: object) -> str:
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    return json.dumps(value) if not isinstance(value, str) else json.dumps(value).replace("\x7f", "")


@pytest.mark.parametrize("value", ["[" * 50_000, "[" + "9" * 10_000 + "]", "[NaN]"])
def test_a_list_that_is_none_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    line = refused(
        ["train", "label-generator:dcgan", "--out", str(tmp_path / "out"), "--set", f"data.channels={value}"],
        capsys,
    )
    assert "channels" in line
    assert len(line) < 2_000


def test_names_that_no_system_allows_are_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("x" * 5000, f"{tmp_path}/{'y' * 300}"):
        assert len(refused(["data", "inspect", path], capsys)) < 12_000
        refused(["show", f"{path}/"], capsys)
        refused(
            ["generate", "--labels", path, "--translator", path, "--count", "1", "--out", str(tmp_path)],
            capsys,
        )
        refused(["train", "label-generator:dcgan", "--init", path, "--out", str(tmp_path / "out")], capsys)


@pytest.mark.parametrize("content", ['{"schema": 9}', "[" * 100_000, '{"name": "\\u001b[31m"}', "\ufeff{}"])
def test_show_refuses_a_damaged_card_in_a_process_of_its_own(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "Ordner mit Ü 網膜"
    folder.mkdir()
    (folder / "config.json").write_text(content, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "retina_cli", "show", str(folder)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Error: {folder}: ")
    assert "\x1b" not in line
