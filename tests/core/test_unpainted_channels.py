"""A pair's labels are what its photograph shows: a channel that the translator does not paint is none of them."""

from __future__ import annotations

from pathlib import Path

import graded_stages as tiny

from retina_core import FitOptions, generate, open_dataset
from retina_core.formats.sample_set import read_rows


class Told:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, progress: object) -> None:
        pass


def test_what_is_drawn_and_not_painted_is_no_label_and_that_is_said(tmp_path: Path) -> None:
    labels = tiny.saved(tmp_path / "labels", tiny.Plain)  # an optic disc and haemorrhages
    translator = tiny.saved(tmp_path / "translator", tiny.Copyist, ("haemorrhage",))
    told = Told()
    options = FitOptions(device="cpu", listener=told)
    pairs = generate(
        labels, translator, count=3, out=tmp_path / "pairs", options=options, registry=tiny.registry()
    )
    assert {path.name for path in (pairs / "labels").iterdir()} == {"haemorrhage"}
    assert not any("optic_disc_file_name" in row for row in read_rows(pairs))
    assert open_dataset(pairs, reader="folder").channels == ("haemorrhage",)
    said = "optic_disc: drawn, but copyist does not paint it; left out of the pairs"
    assert any(said in line for line in told.lines)
    card = (pairs / "README.md").read_text()
    assert said in card
    assert "| channels | haemorrhage |" in card


def test_where_all_is_painted_nothing_is_left_out(tmp_path: Path) -> None:
    labels = tiny.saved(tmp_path / "labels", tiny.Plain)
    translator = tiny.saved(tmp_path / "translator", tiny.Copyist, ("haemorrhage", "optic_disc"))
    pairs = generate(
        labels,
        translator,
        count=2,
        out=tmp_path / "pairs",
        options=FitOptions(device="cpu"),
        registry=tiny.registry(),
    )
    assert {path.name for path in (pairs / "labels").iterdir()} == {"optic_disc", "haemorrhage"}
    assert "left out" not in (pairs / "README.md").read_text()
