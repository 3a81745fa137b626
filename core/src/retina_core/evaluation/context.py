"""What an evaluator is given besides the samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    """REAL, SYNTH, MIX(p), FINETUNE: what segmenters are trained on."""
    seeds: int = 3
    """Trainings of each regime; differences between regimes are smaller than between seeds of one."""
