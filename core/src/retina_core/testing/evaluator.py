"""What an evaluator promises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from retina_core.errors import LeakError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.running import make_evaluator
from retina_core.evaluation.scores import Scores
from retina_core.registry import Registry
from retina_core.testing.eyes import tiny_eyes
from retina_core.training.options import FitOptions


class EvaluatorContract:
    """Subclass with ``evaluator`` and a tiny ``settings``."""

    evaluator: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    channels: ClassVar[tuple[str, ...]] = ("vessel",)

    @pytest.fixture(autouse=True)
    def _own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))

    def evaluate(self, folder: Path) -> Scores:
        """Tiny eyes stand in for synthetic pairs and real photographs; none is on both sides."""
        eyes = tiny_eyes(9, channels=self.channels)
        synthetic, train, test = (eyes.with_samples(eyes.samples[i : i + 3]) for i in (0, 3, 6))
        registry = Registry.discover()
        context = EvaluationContext(
            folder, registry, FitOptions(device="cpu"), "quick", self.settings, seeds=1
        )
        spec = registry.stage(self.evaluator, "evaluator")
        return make_evaluator(spec, registry, "quick", self.settings).evaluate(
            synthetic, train, test, context
        )

    def test_scores_are_written_as_they_are_given(self, tmp_path: Path) -> None:
        scores = self.evaluate(tmp_path / "evaluation")
        assert scores.evaluator == self.evaluator
        assert scores.scores
        assert Scores.read(tmp_path / "evaluation" / "scores.json") == scores
        assert json.loads((tmp_path / "evaluation" / "scores.json").read_text())["schema"] == 1

    def test_same_data_same_scores(self, tmp_path: Path) -> None:
        assert self.evaluate(tmp_path / "one") == self.evaluate(tmp_path / "two")

    def test_a_test_photograph_that_was_seen_is_refused(self, tmp_path: Path) -> None:
        eyes = tiny_eyes(4, channels=self.channels)
        registry = Registry.discover()
        context = EvaluationContext(
            tmp_path, registry, FitOptions(device="cpu"), "quick", self.settings, seeds=1
        )
        evaluator = make_evaluator(
            registry.stage(self.evaluator, "evaluator"), registry, "quick", self.settings
        )
        with pytest.raises(LeakError, match="eye0"):
            evaluator.evaluate(eyes, eyes, eyes, context)
