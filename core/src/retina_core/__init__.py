"""The core of ``retina``: roles, plugins, data, training, formats and metrics.

Public names are imported when they are first used (PEP 562), so that reading plugins imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retina_core.annotation.running import annotate as annotate
    from retina_core.config import DataConfig as DataConfig
    from retina_core.data.opening import open_dataset as open_dataset
    from retina_core.data.prepare import prepare as prepare
    from retina_core.evaluation.running import evaluate as evaluate
    from retina_core.evaluation.scores import Scores as Scores
    from retina_core.formats.stage_folder import load_stage as load_stage
    from retina_core.generation import generate as generate
    from retina_core.learning_curve import LearningCurveRequest as LearningCurveRequest
    from retina_core.learning_curve import run_learning_curve as run_learning_curve
    from retina_core.pipeline import run_pipeline as run_pipeline
    from retina_core.randomness import sample_rngs as sample_rngs
    from retina_core.registry import Registry as Registry
    from retina_core.roles import Evaluator as Evaluator
    from retina_core.roles import ImageTranslator as ImageTranslator
    from retina_core.roles import LabelGenerator as LabelGenerator
    from retina_core.roles import PairGenerator as PairGenerator
    from retina_core.roles import Segmenter as Segmenter
    from retina_core.run_plan import PipelineRequest as PipelineRequest
    from retina_core.specs import API_VERSION as API_VERSION
    from retina_core.sweep import SweepRequest as SweepRequest
    from retina_core.sweep import run_sweep as run_sweep
    from retina_core.training.fit import fit as fit
    from retina_core.training.options import FitOptions as FitOptions
    from retina_core.transfer import TransferRequest as TransferRequest
    from retina_core.transfer import run_transfer as run_transfer

_HOMES = {
    "API_VERSION": "retina_core.specs",
    "DataConfig": "retina_core.config",
    "Evaluator": "retina_core.roles",
    "FitOptions": "retina_core.training.options",
    "ImageTranslator": "retina_core.roles",
    "LabelGenerator": "retina_core.roles",
    "LearningCurveRequest": "retina_core.learning_curve",
    "PairGenerator": "retina_core.roles",
    "PipelineRequest": "retina_core.run_plan",
    "Registry": "retina_core.registry",
    "Scores": "retina_core.evaluation.scores",
    "Segmenter": "retina_core.roles",
    "SweepRequest": "retina_core.sweep",
    "TransferRequest": "retina_core.transfer",
    "annotate": "retina_core.annotation.running",
    "evaluate": "retina_core.evaluation.running",
    "fit": "retina_core.training.fit",
    "generate": "retina_core.generation",
    "load_stage": "retina_core.formats.stage_folder",
    "open_dataset": "retina_core.data.opening",
    "prepare": "retina_core.data.prepare",
    "run_learning_curve": "retina_core.learning_curve",
    "run_pipeline": "retina_core.pipeline",
    "run_sweep": "retina_core.sweep",
    "run_transfer": "retina_core.transfer",
    "sample_rngs": "retina_core.randomness",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name, from its home."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
