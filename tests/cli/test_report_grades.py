"""The report of grades: charts of groups and confusions, and lesions that can be told apart in small pictures."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retina_cli.console import print_scores
from retina_cli.report import write_report
from retina_cli.report.pictures import COLOURS, SIDE_PX, embedded_planes, stacked
from retina_cli.report.score_tables import measures
from retina_core.evaluation.figures import Bar, BarSeries, Confusion, Groups, Note, write_figures
from retina_core.evaluation.scores import Score, Scores

SCORES = Scores(
    "grades",
    (
        Score("grade_accuracy", None, None, 0.75, 0.6, 0.9),
        Score("grade_accuracy", None, None, 0.8, 0.5, 0.95, reference="real held-out maps"),
        Score("grade_accuracy", None, None, 0.25, seeds=0, reference="chance"),
        Score("grade_accuracy_difference", None, None, -0.05, -0.3, 0.2, reference="real held-out maps"),
        Score("grade_recall", None, None, 0.123, grade=3),
        Score("lesions", None, "hard_exudate", 41.5, 30.0, 50.0, seeds=0, grade=3),
    ),
)
FIGURES = (
    Note("Taken for their own."),
    Confusion("Generated <maps>", "asked for", "taken for", ("0", "3"), ((7, 1), (0, 1234)), "8 eyes"),
    Groups(
        "Number: hard exudate",
        "grade",
        "pieces per eye",
        (
            BarSeries("generated", (Bar("0", 0.0, 0.0, 0.0), Bar("3", 41.5, 30.0, 50.0))),
            BarSeries("real", (Bar("0", None), Bar("3", 38.0, 20.0, 60.0))),
        ),
    ),
)


@pytest.fixture
def page(tmp_path: Path) -> str:
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "request": {}}))
    SCORES.write(tmp_path / "evaluation/grades/scores.json")
    write_figures(FIGURES, tmp_path / "evaluation/grades/figures.json")
    return write_report(tmp_path).read_text(encoding="utf-8")


def test_groups_and_confusions_are_drawn_in_the_colours_of_the_page(page: str) -> None:
    charts = page.split('<figure class="chart">')[1:]
    confusion, groups = charts[0].split("</figure>")[0], charts[1].split("</figure>")[0]
    assert all(word in confusion for word in ("asked for", "taken for", "1,234", "8 eyes", "&lt;maps&gt;"))
    assert all(word in groups for word in ("generated", "real", "pieces per eye", "grade"))
    assert "var(--series-2)" in groups
    assert "#a100" not in page


def test_scores_of_single_grades_stay_out_of_the_table_of_measures(page: str) -> None:
    table = measures(SCORES)
    assert table is not None
    assert table.columns == ("value", "value − real held-out maps", "real held-out maps", "chance")
    assert [name for name, _ in table.rows] == ["Taken for their grade (share)"]
    assert "0.123" not in page


def test_scores_in_the_terminal_name_their_grade(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores(SCORES)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["score", "trained", "on", "channel", "grade", "value", "95", "%", "reference"]
    assert lines[-1].split()[:3] == ["lesions", "hard_exudate", "3"]
    print_scores(Scores("likeness", (Score("kl", None, None, 1.0),)))
    assert "grade" not in capsys.readouterr().out


def shown(planes: dict[str, np.ndarray]) -> np.ndarray:
    address = embedded_planes(planes, None)
    assert address is not None
    with Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("side", [SIDE_PX, 3 * SIDE_PX])
def test_a_lesion_is_seen_in_its_own_colour_whatever_the_size_and_whatever_else_is_there(side: int) -> None:
    names = list(COLOURS)
    planes = {name: np.zeros((side, side), np.bool_) for name in names}
    planes["vessel"][: side // 3] = True
    lesion, scale = 6, side // SIDE_PX
    for place, name in enumerate(names):
        left = (10 + 20 * place) * scale
        planes[name][200 * scale : 200 * scale + lesion, left : left + lesion] = True
    picture = shown(planes)
    for place, name in enumerate(names):
        spot = picture[200, 10 + 20 * place]
        nearest = min(names, key=lambda one: np.abs(np.array(COLOURS[one]) - spot).sum())
        assert nearest == name


def test_lesions_lie_on_vessels_and_vessels_on_the_disc() -> None:
    assert stacked(("microaneurysm", "drusen", "vessel", "haemorrhage", "optic_disc")) == [
        "optic_disc", "vessel", "drusen", "haemorrhage", "microaneurysm",
    ]  # fmt: skip
    square = np.ones((8, 8), np.bool_)
    spot = np.zeros_like(square)
    spot[2:4, 2:4] = True
    picture = shown({"microaneurysm": spot, "vessel": square, "optic_disc": square})
    assert tuple(picture[2, 2]) == COLOURS["microaneurysm"]
    assert tuple(picture[6, 6]) == COLOURS["vessel"]
