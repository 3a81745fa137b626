"""``retina annotate`` as a user runs it, with a segmenter that was trained for a second."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from retina_cli.main import main
from retina_core import evaluate, open_dataset
from retina_core.errors import DatasetError
from retina_core.formats.phantom_set import write_phantom_set
from retina_core.training.options import FitOptions

TINY_UNET = ("resolution=32", "patch_px=16", "width=4", "depth=2", "seen_images=32", "batch_size=4")
TINY_GRADER = ("grader.resolution=32", "grader.width=4", "grader.seen_images=32", "grader.batch_size=8")
PAGE = Path(__file__).parents[2] / "docs/reference/formats.md"


def sets(settings: Sequence[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def retina(*words: object, status: int = 0) -> Result:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == status, (done.output, done.exception)
    return done


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with graded phantoms of which some lost their grade and their vessels, and a segmenter of vessels."""
    folder = tmp_path_factory.mktemp("work")
    os.environ["RETINA_CACHE"] = str(folder / "cache")
    write_phantom_set(folder / "eyes", 10, 48, seed=3, grades=(0, 3))
    table = folder / "eyes" / "metadata.jsonl"
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    for row in rows[7:]:
        del row["grade"], row["vessel_file_name"], row["phantom"]
        (folder / "eyes" / "labels" / "vessel" / Path(row["file_name"]).name).unlink()
    for place, row in enumerate(rows):
        row |= {"split": "test" if place in {0, 1, 9} else "train"}
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = sets([*TINY_UNET, "data.channels=vessel"])
    retina("train", "unet", "--data", folder / "eyes", "--out", folder / "unet", "--device", "cpu", *told)
    return folder


@pytest.fixture(autouse=True)
def _cache(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(work / "cache"))


def test_maps_and_grades_are_filled_in_at_once(work: Path) -> None:
    asked = ("annotate", work / "eyes", "--segmenter", work / "unet", "--grades", "--out", work / "both")
    done = retina(*asked, "--device", "cpu", *sets(TINY_GRADER))
    lines = done.stdout.splitlines()
    assert re.fullmatch(
        r"vessel: 3 weak maps, by unet [\d.]+, threshold 0\.\d{3}, the best on \d .*", lines[0]
    )
    assert re.fullmatch(r"grade: 3 weak grades, by grader [\d.]+: .*", lines[1])
    assert re.fullmatch(
        r"grade: accuracy .*, quadratic kappa .*, on 2 graded photographs of the test part", lines[2]
    )
    assert lines[3] == str(work / "both")
    weak = {sample.id: sample.weak for sample in open_dataset(work / "both")}
    assert {name for name, said in weak.items() if said == ("vessel", "grade")} == {
        "000007", "000008", "000009"
    }  # fmt: skip
    assert all(not said for name, said in weak.items() if name < "000007")
    again = retina(*asked, "--device", "cpu", "--json", *sets(TINY_GRADER))
    told = json.loads(again.stdout)
    assert told["filled"]["vessel"]["count"] == told["filled"]["grade"]["count"] == 3
    assert "images" not in again.stderr, "nothing is trained again"


def test_inspect_says_what_is_weak_and_from_where(work: Path) -> None:
    plain = work / "plain"
    shutil.copytree(work / "eyes" / "images", plain)
    asked = ("--segmenter", work / "unet", "--channels", "vessel", "--threshold", "0.3")
    retina("annotate", plain, *asked, "--out", work / "weak", "--device", "cpu")
    found = json.loads(retina("data", "inspect", work / "weak", "--json").stdout)
    ((stage, count),) = found["counts"]["weak"]["vessel"].items()
    assert (stage.split()[0], count) == ("unet", 10)
    assert "vessel: 10 weak, by unet" in retina("data", "inspect", work / "weak").stdout
    keys = PAGE.read_text(encoding="utf-8").split("<!-- keys of annotation.json -->")[1].split("\n\n")[1]
    written = json.loads((work / "weak" / "annotation.json").read_text())
    assert set(re.findall(r"^\| `(\w+)` \|", keys, flags=re.M)) == set(written)
    with pytest.raises(DatasetError, match="only weak maps of vessel"):
        evaluate(
            "unet",
            None,
            open_dataset(work / "weak").split(),
            work / "evaluation",
            regimes=["REAL"],
            options=FitOptions(device="cpu"),
        )
    assert not (work / "evaluation").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            (),
            "Error: annotate: nothing is to be filled in; give --segmenter DIR, --grades, or both; see: retina",
        ),
        (("--segmenter", "eyes"), "holds no trained stage"),
        (("--segmenter", "unet", "--channels", "arteryy"), "needs the channel(s) arteryy"),
        (("--segmenter", "unet", "--threshold", "2"), "write a number between 0 and 1"),
        (("--grades", "--set", "grader.widht=4"), "grader has no setting 'widht'; did you mean 'width'?"),
        (("--segmenter", "unet", "--set", "unet.width=4"), "--set has no setting 'unet'"),
    ],
)
def test_wrong_requests_are_one_line(
    words: tuple[str, ...], said: str, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    done = retina("annotate", "eyes", "--out", "wrong", *words, status=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert not (work / "wrong").exists()
