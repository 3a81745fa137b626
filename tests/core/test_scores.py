"""scores.json and figures.json: exactly what programs read, and nothing half believed."""

import json

import pytest

from retina_core.errors import RunFolderError
from retina_core.evaluation.figures import (
    Bar,
    Bars,
    Curves,
    Gallery,
    Histogram,
    NearestMaps,
    NearestPair,
    Note,
    Picture,
    Series,
    Table,
    read_figures,
    write_figures,
)
from retina_core.evaluation.scores import Score, Scores

SCORES = Scores(
    "unet",
    (
        Score("dice", "REAL", "vessel", 0.81, 0.79, 0.83, 3),
        Score("dice", "MIX(50)", "vessel", 0.8, seeds=3),
        Score("dice", None, "vessel", 0.798, seeds=0, reference="second observer"),
        Score("recall", "SYNTH", "microaneurysm", None),
        Score("kl", None, None, 0.2, seeds=0, better="lower"),
    ),
)

FIGURES = (
    Curves("Training", "seen images", "loss", (0, 1, 2), (Series("d", (1, None, 0.5)),), "a caption"),
    Histogram("Greys", "grey", (0, 1, 2), (Series("real", (0.5, 0.5)),)),
    Bars("Dice", "Dice", (Bar("REAL", 0.8, 0.7, 0.9), Bar("SYNTH", None))),
    Gallery("Worst eyes", (Picture("eye 1", photo="evaluation/unet/1.png", real=True),)),
    NearestMaps("Nearest", (NearestPair("synthetic/labels/vessel/0.png", "labels/1.png", 0.4),), (0.5, 0.6)),
    Table("Eyes", ("eye", "dice"), (("1", 0.8), ("2", None))),
    Note("Eight eyes are few."),
)


def test_scores_have_the_documented_keys():
    value = SCORES.to_json()
    assert list(value) == ["schema", "evaluator", "scores"]
    assert value["schema"] == 1
    assert value["scores"][0] == {
        "name": "dice", "regime": "REAL", "channel": "vessel", "value": 0.81, "low": 0.79, "high": 0.83,
        "seeds": 3, "better": "higher", "reference": None,
    }  # fmt: skip


def test_scores_come_back_as_they_were(tmp_path):
    path = tmp_path / "unet" / "scores.json"
    SCORES.write(path)
    assert Scores.read(path) == SCORES
    assert Scores.from_json(json.loads(path.read_text())) == SCORES


def test_find_leaves_out_yardsticks():
    assert SCORES.find("dice", "REAL", "vessel") is SCORES.scores[0]
    assert SCORES.find("dice", None, "vessel") is None
    assert SCORES.find("kl") is SCORES.scores[4]


@pytest.mark.parametrize("regime", ["real", "MIX", "MIX(0)", "MIX(100)", "MIX(5.5)", "SYNTH "])
def test_an_unknown_regime_is_refused(regime):
    with pytest.raises(ValueError, match="regime"):
        Score("dice", regime, None, 0.5)


def test_names_are_in_lower_case():
    with pytest.raises(ValueError, match="lower case"):
        Score("Dice", "REAL", None, 0.5)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "\ud800", '{"schema": 2, "evaluator": "u", "scores": []}', '{"schema": 1}',
        '{"schema": 1, "evaluator": "u", "scores": [{"name": "dice"}]}',
        '{"schema": 1, "evaluator": "u", "scores": [{"name": "dice", "regime": "X", "channel": null}]}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_its_name(tmp_path, text):
    path = tmp_path / "scores.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunFolderError, match=r"scores\.json"):
        Scores.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RunFolderError):
        Scores.read(tmp_path / "scores.json")


def test_a_score_that_is_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Scores("unet", (Score("dice", "REAL", None, float("nan")),)).write(tmp_path / "scores.json")
    assert not list(tmp_path.iterdir())


def test_figures_of_every_kind_come_back_as_they_were(tmp_path):
    write_figures(FIGURES, tmp_path / "figures.json")
    assert read_figures(tmp_path / "figures.json") == FIGURES


@pytest.mark.parametrize("figures", ['[{"kind": "hologram"}]', '[{"kind": "note"}]', "3"])
def test_a_figure_of_an_unknown_kind_is_refused(tmp_path, figures):
    (tmp_path / "figures.json").write_text(f'{{"schema": 1, "figures": {figures}}}')
    with pytest.raises(RunFolderError, match=r"figures\.json"):
        read_figures(tmp_path / "figures.json")
