"""What an evaluator is given besides the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retina_core.evaluation.paper_protocols import PaperProtocol
from retina_core.registry import Registry
from retina_core.training.options import FitOptions


@dataclass(frozen=True)
class EvaluationContext:
    """Where an evaluator works, and how."""

    folder: Path
    """The evaluator's own: trainings, per-eye scores and figures go here."""
    registry: Registry
    options: FitOptions
    preset: str = "standard"
    settings: Mapping[str, Any] = field(default_factory=dict)
    regimes: Sequence[str] = ("REAL", "SYNTH")
    """REAL, SYNTH, BOTH, MIX(p), FINETUNE: what segmenters are trained on."""
    seeds: int = 3
    """Trainings of each regime; differences between regimes are smaller than between seeds of one."""
    epochs: int | None = None
    """Length of a training as rounds through its samples, so that more samples mean more steps; None: as many seen
    images as the settings say, the same for each regime."""
    over_all: bool = False
    """Score several channels together too, and compare precision and recall besides what is always compared."""
    trainings: Path | None = None
    """The folder of an evaluation whose segmenters are tested, on other eyes; None: they are trained in ``folder``."""
    protocol: PaperProtocol | None = None
    """What is done as in a paper; None: everything is done as ever."""
