"""What a run folder holds, as far as it has come; what is missing or damaged is noted, not fatal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retina_core.errors import PathError, RetinaError, RunFolderError
from retina_core.evaluation.figures import Figure, read_figures
from retina_core.evaluation.scores import Scores
from retina_core.formats.sample_set import read_rows
from retina_core.formats.strict_json import load_json
from retina_core.training.log import read_log

Facts = Mapping[str, Any]
LogRows = Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Evaluation:
    """What one evaluator left."""

    name: str
    scores: Scores | None
    figures: tuple[Figure, ...]
    logs: Mapping[str, LogRows]
    """Training (``real-seed0``, ...) -> its log."""


@dataclass(frozen=True)
class RunContents:
    """A run folder, read."""

    folder: Path
    run: Facts
    facts: Facts
    """``data.json``; empty where it is missing."""
    logs: Mapping[str, LogRows]
    """``labels`` and ``translator``, or ``pairs`` -> the training's log."""
    pairs: Sequence[Facts]
    """Rows of ``metadata.jsonl``."""
    evaluations: tuple[Evaluation, ...]
    problems: tuple[str, ...]
    """What could not be read, a sentence each."""


def read_run(folder: Path) -> RunContents:
    """Read a run folder.

    Raises:
        PathError: there is no such folder, or no ``run.json`` in it.
        RunFolderError: ``run.json`` is damaged.
    """
    if not (folder / "run.json").is_file():
        reason = "holds no run.json" if folder.is_dir() else "there is no such folder"
        raise PathError(folder, reason, "give the folder of a run, as retina pipeline prints it")
    run = _facts(folder / "run.json")
    if run is None:
        raise RunFolderError(folder, "run.json is damaged", "run the pipeline again with another --out")
    problems: list[str] = []
    facts = _facts(folder / "data.json")
    if facts is None:
        problems.append("data.json is missing or damaged, so the data cannot be described.")
    return RunContents(
        folder,
        run,
        facts or {},
        {stage: _log(folder / stage / "log.jsonl") for stage in made_by(run)},
        _pairs(folder / "synthetic", problems),
        tuple(_evaluation(path, problems) for path in sorted(folder.glob("evaluation/*/"))),
        tuple(problems),
    )


def made_by(run: Facts) -> tuple[str, ...]:
    """The folders of the stages that a run's pairs were made by, which are their prefixes too."""
    return ("pairs",) if section(run, "request").get("pairs") else ("labels", "translator")


def section(facts: Facts, key: str) -> Facts:
    """A table inside a table; empty where it is missing or is none."""
    value = facts.get(key)
    return value if isinstance(value, Mapping) else {}


def entries(facts: Facts, key: str) -> list[Any]:
    """A list inside a table; empty where it is missing or is none."""
    value = facts.get(key)
    return list(value) if isinstance(value, (list, tuple)) else []


def inside(folder: Path, relative: object) -> Path | None:
    """The path of a file that lies in the folder; None for one that is missing, or tries to lie elsewhere."""
    if not isinstance(relative, str) or "\0" in relative:
        return None
    path = (folder / relative).resolve()
    return path if path.is_relative_to(folder.resolve()) and path.is_file() else None


def _facts(path: Path) -> Facts | None:
    try:
        value = load_json(path)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _log(path: Path) -> LogRows:
    """Rows that are numbers throughout."""
    try:
        rows = read_log(path)
    except (OSError, ValueError):
        return ()
    return [{k: v for k, v in row.items() if isinstance(v, (int, float))} for row in rows]


def _pairs(folder: Path, problems: list[str]) -> Sequence[Facts]:
    try:
        return read_rows(folder)
    except (RetinaError, OSError, ValueError):
        problems.append("The synthetic set is missing or not complete.")
        return ()


def _evaluation(folder: Path, problems: list[str]) -> Evaluation:
    scores: Scores | None = None
    figures: tuple[Figure, ...] = ()
    try:
        scores = Scores.read(folder / "scores.json")
        if (folder / "figures.json").exists():
            figures = read_figures(folder / "figures.json")
    except RetinaError as error:
        problems.append(f"Evaluation {folder.name}: {_shortened(str(error), folder)}")
    logs = {path.parent.name: rows for path in sorted(folder.glob("*/log.jsonl")) if (rows := _log(path))}
    return Evaluation(folder.name, scores, figures, logs)


def _shortened(text: str, folder: Path) -> str:
    """A report is passed on: it names files of the run, not where on this machine the run lies."""
    return text.replace(f"{folder}/", "")[:300]
