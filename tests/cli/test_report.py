"""report.html: one file that loads nothing, tells what a run has made, and shows no real photograph unasked."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retina_cli.report import write_report
from retina_cli.report.charts import groups
from retina_cli.report.words import counted, duration, number, signed
from retina_core.errors import PathError, RunFolderError
from retina_core.evaluation.figures import (
    Bar,
    Bars,
    BarSeries,
    Curves,
    Gallery,
    Groups,
    Histogram,
    NearestMaps,
    NearestPair,
    Note,
    Picture,
    Series,
    Table,
    write_figures,
)
from retina_core.evaluation.scores import Score, Scores

NASTY = "<script>alert('$x$')</script>"
SIZE = 48


def picture(path: Path, seed: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (SIZE, SIZE, 3) if mode == "RGB" else (SIZE, SIZE)
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(noise if mode == "RGB" else np.where(noise > 200, 255, 0).astype(np.uint8)).save(path)


def write_lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def make_pairs(run: Path, count: int = 30) -> None:
    rows = []
    for index in range(count):
        name = f"{index:06d}.png"
        row: dict[str, object] = {"file_name": f"images/{name}", "index": index, "grade": None}
        picture(run / f"synthetic/images/{name}", index)
        for folder, key in (("labels/vessel", "vessel"), ("labels/optic_disc", "optic_disc"), ("fov", "fov")):
            picture(run / f"synthetic/{folder}/{name}", index, "L")
            row[f"{key}_file_name"] = f"{folder}/{name}"
        rows.append(row)
    write_lines(run / "synthetic/metadata.jsonl", rows)


def make_evaluations(run: Path) -> None:
    Scores(
        "unet",
        (
            Score("dice", "REAL", "vessel", 0.811, 0.79, 0.83, 3),
            Score("dice", "SYNTH", "vessel", 0.7634, 0.74, 0.78, 3),
            Score("auc_roc", "SYNTH", "vessel", None, seeds=3),
            Score("dice_difference", "SYNTH", "vessel", -0.0476, -0.06, -0.03, 3, "higher", "REAL"),
            Score("dice", None, "vessel", 0.798, seeds=0, reference="second observer"),
            Score("dice", None, "vessel", 0.921, seeds=0, reference="ceiling at 256 px"),
        ),
    ).write(run / "evaluation/unet/scores.json")
    write_lines(
        run / "evaluation/unet/real-seed0/log.jsonl", [{"seen_images": 8, "loss": 1.0}, {"seen_images": 16}]
    )
    Scores("likeness", (Score("kl", None, None, 0.1342, seeds=0, better="lower"),)).write(
        run / "evaluation/likeness/scores.json"
    )
    for index in range(4):
        picture(run / f"evaluation/likeness/{index}.png", index, "L")
    picture(run / "evaluation/likeness/real.png", 99)
    base = "evaluation/likeness"
    figures = (
        Histogram(f"Greys {NASTY}", "grey", (0.0, 1.0, 2.0), (Series(NASTY, (0.5, 0.5)),), "KL 0.1342 nats"),
        NearestMaps("Nearest maps", (NearestPair(f"{base}/0.png", f"{base}/1.png", 0.42),), (0.5, 0.6)),
        Curves("Curve", "x", "y", (0.0, 1.0), (Series("a", (None, 1.0)),)),
        Bars("Bars", "Dice", (Bar("A", 0.5, 0.4, 0.6), Bar("B", None))),
        Gallery(
            "Worst eyes",
            (Picture("eye 7", photo=f"{base}/real.png", real=True), Picture("map", f"{base}/2.png")),
        ),
        Table("Per eye", ("eye", "dice"), ((NASTY, 0.5), ("b", None))),
        Note("Mind the gap."),
    )
    write_figures(figures, run / "evaluation/likeness/figures.json")


def make_run(run: Path, *, phantom: bool = False) -> Path:
    samples = [{"id": f"eye{i}", "patient": f"{i // 2}", "fingerprint": str(i)} for i in range(28)]
    facts = {
        "schema": 1, "name": NASTY, "reader": "folder", "phantom": phantom, "channels": ["vessel", "optic_disc"],
        "train": samples[:20], "test": samples[20:], "citation": "https://example.org/paper", "licence": "CC0",
        "notes": ["derived fov"],
    }  # fmt: skip
    state = {
        "schema": 1, "seed": 3, "versions": {"torch": "2.13"}, "device": "cpu", "precision": "bf16",
        "request": {
            "labels": "dcgan", "translator": "pix2pix", "evaluators": ["unet"], "data": "/home/somebody/secret/cells",
            "reader": "folder", "preset": "quick", "settings": {"labels": {"resolution": 64}},
        },
        "configs": {"labels": {"resolution": 64, "flips": True, "seen_images": 100}, "data": {}},
        "steps": {"labels": {"status": "done", "wall_seconds": 75.0}},
    }  # fmt: skip
    run.mkdir(parents=True, exist_ok=True)
    (run / "data.json").write_text(json.dumps(facts))
    (run / "run.json").write_text(json.dumps(state))
    for stage in ("labels", "translator"):
        rows = [
            {"seen_images": 8 * i, "d": 1 / (i + 1), "g": i / 9, "r1": len(stage)}
            for i in range(800 + len(stage))
        ]
        write_lines(run / stage / "log.jsonl", rows)
    make_pairs(run)
    make_evaluations(run)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def page(run):
    return write_report(run).read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Every tag with its attributes, and what is not closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def test_the_report_loads_nothing(page):
    tags = Tags(page)
    assert tags.open == []
    for name, attrs in tags.found:
        for key in ("src", "href", "xlink:href", "srcset", "action", "poster"):
            value = attrs.get(key) or ""
            assert not value or value.startswith(("data:", "#")), (name, value)
    assert not re.search(r"url\(\s*['\"]?(?!#)|@import|<script|<iframe|<object|xmlns", page)
    assert "default-src 'none'" in page


def test_names_are_escaped_everywhere(page):
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(") >= 4


def test_all_sections_are_there(page):
    for heading in ("Synthetic pairs", "Scores", "Training curves", "How it was made", "Settings"):
        assert f">{heading}<" in page
    for said in (
        "20 real photographs",
        "eight eyes of four patients",
        "1 min",
        "torch 2.13",
        "derived fov",
        "eye27",
    ):
        assert said in page
    assert "24 of 30 pairs" in page
    assert len(re.findall(r'alt="Photograph, No\.', page)) == 24


def test_scores_stand_beside_their_yardsticks(page):
    for said in ("0.811", "0.790 to 0.830", "0.763", "SYNTH − REAL", "−0.048", "second observer", "0.798"):
        assert said in page
    assert "At 256 px no segmenter can pass Dice 0.921 for vessel" in page
    assert "real photographs serve better here" in page
    assert "Eight test eyes of four patients are few" in page


def test_figures_of_every_kind_are_drawn(page):
    for said in ("KL 0.1342 nats", "Nearest maps", "0.50 to 0.60", "Per eye", "Mind the gap.", "Worst eyes"):
        assert said in page
    assert page.count("<svg") == 2 + 2 + 3 + 1 + 1  # two stages' charts, figures, Dice, a segmenter's loss
    assert "var(--series-1)" in page
    assert "#a1000" not in page


@pytest.mark.parametrize(
    "names", [[str(eyes) for eyes in range(1, 11)], [f"SET_{n} → SET_9" for n in range(9)]]
)
def test_each_group_of_a_chart_has_its_name_and_none_lies_over_another(names):
    bars = tuple(Bar(name, 0.5, 0.4, 0.6) for name in names)
    svg = str(groups(Groups("Dice", "", "Dice", (BarSeries("REAL", bars),), "")))
    found = re.findall(r'<text[^>]*? x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]+)</text>', svg)
    places = {name: (float(x), float(y)) for x, y, name in found}
    assert set(names) <= set(places)
    width = 4.5 * max(map(len, names))  # points, of letters of 9
    for (x, y), (other_x, other_y) in pairwise(places[name] for name in names):
        assert abs(x - other_x) > width or abs(y - other_y) > 9


def test_charts_do_not_share_names(page):
    clips = re.findall(r'<clipPath id="([^"]+)"', page)
    assert len(set(clips)) == len(clips) > 4


def test_no_real_photograph_unless_asked(run, page):
    assert "No real photograph is inside." in page
    assert "one real photograph left out" in page or "1 real photograph left out" in page
    assert "eye 7" not in page
    assert "Nearest training label map" not in page
    asked = write_report(run, with_real=True).read_text(encoding="utf-8")
    assert "This report shows real photographs." in asked
    assert "eye 7" in asked
    assert "Nearest training label map" in asked
    assert "cannot be opened" in asked  # the data is not there any more


def test_real_training_samples_are_shown_when_asked(tmp_path):
    folder = make_run(tmp_path / "run", phantom=True)
    from retina_core import open_dataset
    from retina_core.config import DataConfig

    settings = DataConfig(phantom_count=6, phantom_px=48)
    dataset = open_dataset("phantom", config=settings)
    state, facts = (
        json.loads((folder / "run.json").read_text()),
        json.loads((folder / "data.json").read_text()),
    )
    state["request"] |= {"data": "phantom", "reader": None}
    state["configs"]["data"] = settings.model_dump(mode="json")
    split = dataset.split(0, settings.test_share)
    facts["train"] = [{"id": s.id, "patient": s.patient, "fingerprint": s.identity} for s in split.train]
    (folder / "run.json").write_text(json.dumps(state))
    (folder / "data.json").write_text(json.dumps(facts))
    page = write_report(folder, with_real=True).read_text(encoding="utf-8")
    assert all(f"Photograph, {sample.id}" in page for sample in split.train)
    assert not any(f"Photograph, {sample.id}" in page for sample in split.test)


def test_photographs_without_a_map_are_not_counted_as_learnt_from_or_tested_on(tmp_path):
    folder = make_run(tmp_path / "run")
    facts = json.loads((folder / "data.json").read_text())
    for part, count in (("train", 15), ("test", 3)):
        for sample in facts[part][:count]:
            sample["annotated"] = False
    tested = len(facts["test"]) - 3
    (folder / "data.json").write_text(json.dumps(facts))
    said = write_report(folder).read_text(encoding="utf-8")
    assert re.search(r"Both learnt from five real photographs of .{,200} \(15 more have no label map\)", said)
    assert f"{counted(tested, 'eye')} of" in said
    assert "(3 more have no label map) were held out for testing" in said


def test_a_label_generator_that_learns_nothing_is_said_to_draw_by_rules(tmp_path, page):
    assert "from noise" in page
    assert "Both learnt from 20 real photographs" in page
    folder = make_run(tmp_path / "run")
    state = json.loads((folder / "run.json").read_text())
    state["request"]["labels"], state["configs"]["labels"] = "phantom", {"resolution": 256}
    (folder / "run.json").write_text(json.dumps(state))
    said = write_report(folder).read_text(encoding="utf-8")
    assert "phantom drew label maps (vessel and optic disc) by rules" in said
    assert "pix2pix learnt from 20 real photographs" in said


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        (("the starter of retina-dcgan 0.1.0",), ", beginning with starters, which saw phantoms; "),
        (
            ("the starter of retina-dcgan 0.1.0", "runs/old/translator"),
            ", beginning with what was learnt before; ",
        ),
        ((), " real photographs of "),
    ],
)
def test_what_a_training_began_with_is_said_and_no_folder(tmp_path, origins, said):
    folder = make_run(tmp_path / "run")
    state = json.loads((folder / "run.json").read_text())
    names = ("labels", "translator")
    state["starts"] = {name: {"from": None, "trained": True, "files": {}} for name in names}
    for name, origin in zip(names, origins, strict=False):
        state["starts"][name]["from"] = origin
    (folder / "run.json").write_text(json.dumps(state))
    page = write_report(folder).read_text(encoding="utf-8")
    assert said in page
    assert ("beginning with" in page) == bool(origins)
    assert "runs/old" not in page


def test_phantoms_are_called_phantoms(tmp_path):
    page = write_report(make_run(tmp_path / "run", phantom=True)).read_text(encoding="utf-8")
    assert "Nearest training label map" in page
    assert "nothing here shows a real eye" in page
    assert "20 phantom eyes" in page
    assert "trained on the phantom training photographs" in page
    assert "the real photographs" not in page


def test_a_report_does_not_say_where_it_was_made(page, run):
    assert "somebody" not in page
    assert str(run.parent) not in page


def test_the_report_stays_small(run):
    assert write_report(run).stat().st_size < 6_000_000


def test_the_same_run_gives_the_same_report(run):
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_a_run_that_has_just_begun_is_reported(tmp_path):
    (tmp_path / "run.json").write_text(
        '{"schema": 1, "request": {"labels": "dcgan", "translator": "pix2pix"}}'
    )
    page = write_report(tmp_path).read_text(encoding="utf-8")
    Tags(page)
    for said in ("data.json is missing", "No pairs have been made", "No evaluation", "No log", "No step"):
        assert said in page


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("evaluation/unet/scores.json", b"{", "is damaged"),
        ("evaluation/likeness/figures.json", b'{"schema": 1, "figures": [{"kind": "hologram"}]}', "is damaged"),
        ("synthetic/metadata.jsonl", None, "missing or not complete"),
        ("data.json", b"[1]", "missing or damaged"),
        ("synthetic/images/000000.png", b"no picture", "Label map, No. 0"),
        ("synthetic/labels/vessel/000000.png", b"", "Photograph, No. 0"),
        ("labels/log.jsonl", b"\xff\xfe\n", "No log was written"),
        ("labels/log.jsonl", b'{"seen_images": "x", "d": []}\n{"seen_images": 1, "d": NaN}\n', "Training curves"),
    ],
)  # fmt: skip
def test_what_is_missing_or_damaged_is_said(tmp_path, name, damage, said):
    folder = make_run(tmp_path / "run")
    (folder / name).unlink()
    if damage is not None:
        (folder / name).write_bytes(damage)
    page = write_report(folder).read_text(encoding="utf-8")
    Tags(page)
    assert said in page
    assert str(tmp_path) not in page


def test_strange_values_do_not_stop_the_report(tmp_path):
    folder = make_run(tmp_path / "run")
    state = {
        "request": [1],
        "configs": {"labels": 3},
        "steps": {"labels": None, "x": {"wall_seconds": "long"}},
    }
    (folder / "run.json").write_text(json.dumps(state))
    (folder / "data.json").write_text(
        json.dumps({"train": 3, "test": ["a", None], "channels": [1, None], "notes": {}})
    )
    Tags(write_report(folder).read_text(encoding="utf-8"))


def test_pictures_outside_the_run_are_not_taken(tmp_path):
    folder = make_run(tmp_path / "run")
    picture(tmp_path / "private.png", 5)
    row = {"file_name": "../../private.png", "index": 0, "vessel_file_name": "/etc/hostname"}
    write_lines(folder / "synthetic/metadata.jsonl", [row])
    write_figures(
        [Gallery("Mine", (Picture("stolen", photo="../private.png"),))],
        folder / "evaluation/likeness/figures.json",
    )
    page = write_report(folder).read_text(encoding="utf-8")
    assert page.count("cannot be shown") == 2
    assert "data:image/jpeg" not in page


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(PathError, match="holds no run"):
        write_report(tmp_path)
    with pytest.raises(PathError, match="no such folder"):
        write_report(tmp_path / "nowhere")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match="damaged"):
        write_report(tmp_path)


def test_numbers_are_said_as_a_reader_would():
    assert [number(v) for v in (0.81234, 0.0, 7, 2e-5, -0.5, None, float("nan"))] == [
        "0.812", "0.000", "7", "2.00e−05", "−0.500", "–", "–",
    ]  # fmt: skip
    assert [signed(v) for v in (0.01, -0.01, -2e-5, 0.0, None)] == [
        "+0.010",
        "−0.010",
        "−0.000",
        "0.000",
        "–",
    ]
    assert [duration(v) for v in (4.21, 42, 200, 7500, "x")] == ["4.2 s", "42 s", "3 min", "2 h 05 min", "–"]
    assert [counted(n, "eye") for n in (0, 1, 8, 40)] == ["no eyes", "one eye", "eight eyes", "40 eyes"]
