"""``--grade``, ``--filter`` and ``--vessels`` as they are written, on a command line and in an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from retina_cli.ending import refused_words
from retina_cli.experiment import read_experiment
from retina_cli.main import main
from retina_cli.report.run_folder import RunContents
from retina_cli.report.score_tables import measures
from retina_core.errors import PathError, UnknownKeyError
from retina_core.evaluation.scores import Score, Scores


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the core is asked for; it does nothing then."""
    found: dict[str, Any] = {}

    def generate(*stages: Path, **values: Any) -> None:
        found.update(values)

    def run_pipeline(request: Any, **_: Any) -> None:
        found.update(vars(request))
        raise click.exceptions.Exit(0)

    monkeypatch.setattr("retina_core.generate", generate)
    monkeypatch.setattr("retina_core.run_pipeline", run_pipeline)
    return found


GENERATE = ["generate", "--labels", "a", "--translator", "b", "--count", "3", "--out", "c"]
PIPELINE = ["pipeline", "--labels", "dcgan", "--translator", "pix2pix", "--evaluator", "none"]


@pytest.mark.parametrize("command", [GENERATE, PIPELINE], ids=["generate", "pipeline"])
def test_options_reach_the_core_as_they_are_written(command: list[str], asked: dict[str, Any]) -> None:
    more = [
        "--grade",
        "uniform",
        "--unseen-grade",
        "--filter",
        "anatomy",
        "--filter",
        "mine",
        "--vessels",
        "d",
    ]
    done = CliRunner().invoke(main, [*command, *more])
    assert done.exit_code == 0, done.output
    assert (asked["grade"], asked["unseen_grade"]) == ("uniform", True)
    assert (asked["filters"], str(asked["vessels"])) == (("anatomy", "mine"), "d")


@pytest.mark.parametrize("command", [GENERATE, PIPELINE], ids=["generate", "pipeline"])
def test_without_options_nothing_is_asked_and_none_switches_filters_off(
    command: list[str], asked: dict[str, Any]
) -> None:
    assert CliRunner().invoke(main, command).exit_code == 0
    assert [asked[key] for key in ("grade", "unseen_grade", "filters", "vessels")] == [
        None,
        False,
        None,
        None,
    ]
    assert CliRunner().invoke(main, [*command, "--filter", "none"]).exit_code == 0
    assert asked["filters"] == ()
    done = CliRunner().invoke(main, [*command, "--filter", "none", "--filter", "anatomy"])
    assert done.exit_code == 2
    assert "none stands alone" in done.stderr


def test_an_experiment_holds_the_same(tmp_path: Path, asked: dict[str, Any]) -> None:
    file = tmp_path / "experiment.toml"
    stages = 'labels = "dcgan"\ntranslator = "pix2pix"\nevaluator = "none"\n'
    file.write_text(stages + 'grade = 3\nunseen_grade = true\nfilter = "none"\nvessels = "runs/chase"\n')
    assert CliRunner().invoke(main, ["pipeline", str(file)]).exit_code == 0
    assert (asked["grade"], asked["unseen_grade"], asked["filters"]) == ("3", True, ())
    assert asked["vessels"] == "runs/chase"
    assert CliRunner().invoke(main, ["pipeline", str(file), "--grade", "as-data"]).exit_code == 0
    assert asked["grade"] == "as-data"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("grade = true", "grade = True is not a whole number, or text in quotes"),
        ("grade = 2.5", "grade = 2.5 is not a whole number"),
        ("unseen_grade = 1", "unseen_grade = 1 is not true or false"),
        ("filter = 3", "filter = 3 is not text in quotes, or a list of them"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_file(line: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "experiment.toml"
    file.write_text(line + "\n")
    with pytest.raises(PathError, match=said):
        read_experiment(file)


def test_an_option_that_is_misspelt_is_answered_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "experiment.toml"
    file.write_text("grades = 3\n")
    with pytest.raises(UnknownKeyError, match="did you mean 'grade'"):
        read_experiment(file)


def run_with(rows: list[dict[str, Any]]) -> RunContents:
    return RunContents(Path("run"), {}, {}, {}, rows, (), ())


def test_a_pipeline_s_end_says_what_the_filters_refused() -> None:
    fine = {"optic_disc_file_name": "x.png", "attempt": 0, "refused": []}
    again = {**fine, "attempt": 1, "refused": ["anatomy: no optic_disc"]}
    lost = {**fine, "attempt": 0, "refused": ["anatomy: no optic_disc"]}
    said = refused_words(run_with([fine, fine, again, lost]))
    assert said == "filters refused 50.0 % of first draws, and 25.0 % of those that are kept"
    assert refused_words(run_with([])) == refused_words(run_with([{**fine, "filters": []}])) == ""


def test_shares_that_were_refused_are_a_table_of_their_own_in_the_report() -> None:
    kl = Score("kl", None, None, 0.1, seeds=0, better="lower")
    refused = [Score(f"refused_first{end}", None, None, 0.5, seeds=0) for end in ("", "_by_mine")]
    table = measures(Scores("likeness", (kl, *refused)))
    assert table
    assert len(table.rows) == 1
