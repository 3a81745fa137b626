"""One segmenter trained in several ways, which one setting tells apart, and what each finds in the same eyes."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from retina_core.data.sample import Split
from retina_core.evaluation.paper_protocols import protocol_named
from retina_core.evaluation.protocol import training_folder
from retina_core.evaluation.running import SEEDS, at_working_resolution, evaluate
from retina_core.evaluation.scores import Scores
from retina_core.evaluation.tested import read_results
from retina_core.formats.atomic import write_json, write_text
from retina_core.formats.lock import sole_use
from retina_core.registry import Registry
from retina_core.training.options import FitOptions

SCHEMA: Final = 1
MEASURES: Final = ("auc_roc", "auc_pr", "dice")
"""Scores that are compared: of Iqbal and Ali 2018, tables 1 and 2."""
CSV_NAME: Final = "comparison.csv"
JSON_NAME: Final = "comparison.json"
REGIME: Final = "REAL"


@dataclass(frozen=True)
class Found:
    """One score."""

    value: float | None
    low: float | None = None
    """Lower end of the 95 % interval over patients and trainings; None where it is of one training."""
    high: float | None = None


@dataclass(frozen=True)
class ComparedRow:
    """What one way of training finds in one channel."""

    way: str
    """The setting's value; or a reference, ``second observer``."""
    channel: str | None
    seed: int | None
    """None: the mean of all trainings, or a reference."""
    scores: Mapping[str, Found]


@dataclass(frozen=True)
class Comparison:
    """All that was compared."""

    evaluator: str
    setting: str
    protocol: str | None
    rows: tuple[ComparedRow, ...]
    """Way after way, each with its trainings and then their mean; references last."""

    def write(self, folder: Path) -> None:
        """Write ``comparison.json`` and ``comparison.csv``, each whole or not at all."""
        write_json(folder / JSON_NAME, self.to_json())
        write_text(folder / CSV_NAME, self._csv())

    def to_json(self) -> dict[str, Any]:
        """What ``comparison.json`` holds."""
        rows = [
            {
                "way": row.way,
                "channel": row.channel,
                "seed": row.seed,
                "scores": {name: vars(found) for name, found in row.scores.items()},
            }
            for row in self.rows
        ]
        facts = {"evaluator": self.evaluator, "setting": self.setting, "protocol": self.protocol}
        return {"schema": SCHEMA, **facts, "rows": rows}

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            [
                self.setting,
                "channel",
                "seed",
                *(f"{m}{end}" for m in MEASURES for end in ("", "_low", "_high")),
            ]
        )
        for row in self.rows:
            ends = [end for name in MEASURES for end in _ends(row.scores.get(name, Found(None)))]
            cells = ["" if end is None else f"{end:.6f}" for end in ends]
            writer.writerow([row.way, row.channel or "", "mean" if row.seed is None else row.seed, *cells])
        return text.getvalue()


def compare(
    evaluator: str,
    setting: str,
    ways: Sequence[str],
    real: Split,
    out: Path | str,
    *,
    preset: str = "standard",
    settings: Mapping[str, Any] | None = None,
    seeds: int | None = None,
    protocol: str | None = None,
    options: FitOptions | None = None,
    registry: Registry | None = None,
) -> Comparison:
    """Train a segmenter on real eyes with each value of a setting and each seed, and test all of them alike.

    Each value has a folder in ``out``; a training that was finished and tested there is not done again, and one that was
    stopped goes on. ``comparison.json`` and ``comparison.csv`` are written last.

    Args:
        real: the split; a protocol's own where one is named (``paper_protocols.divided``).
        seeds: trainings of each; one in ``quick``, else three.

    Raises:
        RetinaError: as ``evaluate``; a setting that does not fit one of the values is refused before any is trained.
    """
    registry, options, out = registry or Registry.discover(), options or FitOptions(), Path(out)
    spec, chosen = registry.stage(evaluator, "segmenter"), protocol_named(protocol)
    count, smallest = seeds or SEEDS.get(preset, 3), real.train if real.train.phantom else None
    asked = {way: {**(settings or {}), setting: way} for way in ways}
    for own in asked.values():
        worked = at_working_resolution(spec, registry, smallest, own, preset, chosen)
        registry.config_class(spec).resolve(registry.reference(spec), preset, worked)
    rows: list[ComparedRow] = []
    with sole_use(out):
        for way, own in asked.items():
            options.listener.say(f"{spec.name}: {setting}={way}")
            scores = evaluate(
                spec.name,
                None,
                real,
                out / way,
                preset=preset,
                settings=own,
                regimes=(REGIME,),
                seeds=count,
                protocol=protocol,
                options=options,
                registry=registry,
            )
            rows += _rows_of(way, out / way, scores, count)
        comparison = Comparison(spec.name, setting, protocol, (*rows, *_references(scores)) if rows else ())
        comparison.write(out)
    return comparison


def _rows_of(way: str, folder: Path, scores: Scores, seeds: int) -> Iterator[ComparedRow]:
    """Each training's scores over all pixels, and their mean with its interval."""
    for seed in range(seeds):
        for result in read_results(training_folder(folder, REGIME, seed)):
            values = {name: Found(result.pooled.get(name)) for name in MEASURES}
            yield ComparedRow(way, result.channel, seed, values)
    for channel in dict.fromkeys(s.channel for s in scores.scores if s.regime == REGIME):
        found = ((name, scores.find(name, REGIME, channel)) for name in MEASURES)
        yield ComparedRow(
            way, channel, None, {name: Found(one.value, one.low, one.high) for name, one in found if one}
        )


def _references(scores: Scores) -> Iterator[ComparedRow]:
    """Further human observers, who have no probabilities and so no areas."""
    for one in scores.scores:
        if one.name == "dice" and one.reference and one.reference.endswith("observer"):
            yield ComparedRow(one.reference, one.channel, None, {"dice": Found(one.value, one.low, one.high)})


def _ends(found: Found) -> Iterable[float | None]:
    return found.value, found.low, found.high
