"""MI-GAN's segmenter: its losses by hand, its two updates, absent channels, its table, and its name beside the translator's."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from retina_cli.main import main
from retina_core.data.sample import Split
from retina_core.errors import AmbiguousStageError, InvalidValueError
from retina_core.evaluation import comparing
from retina_core.evaluation.comparing import compare
from retina_core.formats.stage_card import read_card, read_seen
from retina_core.randomness import sample_rngs
from retina_core.registry import Registry
from retina_core.roles import Segmenter
from retina_core.stages import Batch
from retina_core.testing import tiny_eyes
from retina_core.testing.learning import StopAt, StoppedError
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_core.training.processes import Processes
from retina_migan.segmenter import MIGANSegmenter
from retina_migan.segmenter_config import MIGANSegmenterConfig
from retina_migan.segmenter_losses import adversarial_loss, critic_loss, segmentation_loss

TINY: dict[str, Any] = {
    "resolution": 32,
    "patch_px": 16,
    "width": 4,
    "max_width": 8,
    "critic_width": 4,
    "batch_size": 4,
}
LOGITS = [[[[-2.0, 0.0], [1.5, 4.0]], [[0.1, 2.0], [-3.0, 1.0]]]]
LABELS = [[[[0.0, 0.5], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.25]]]]
FOV = [[[[1.0, 0.0], [1.0, 1.0]]]]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def new_stage(critic: str, channels: tuple[str, ...] = ("vessel", "optic_disc")) -> MIGANSegmenter:
    torch.manual_seed(0)
    config = MIGANSegmenterConfig.resolve("migan", "quick", {**TINY, "critic": critic})
    return MIGANSegmenter(config, channels)


def batch(present: bool = True, absent_label: float = 0.0) -> Batch:
    """Four patches whose second channel is ``absent_label`` everywhere."""
    draw = torch.Generator().manual_seed(2)
    labels = torch.rand(4, 2, 16, 16, generator=draw)
    labels[:, 1] = absent_label
    return Batch(
        labels=labels,
        fov=torch.ones(4, 1, 16, 16),
        photos=torch.rand(4, 3, 16, 16, generator=draw),
        present=torch.tensor([[True, present]] * 4),
        photo_mean=torch.full((4, 3, 1, 1), 0.5),
        photo_std=torch.full((4, 3, 1, 1), 0.3),
        grades=torch.full((4,), -1),
    )


def step(stage: MIGANSegmenter, learner: Learner, seen: int, shown: Batch) -> dict[str, Tensor]:
    context = StepContext(learner, stage.plan(seen), seen, sample_rngs(seen, 4), Augmentation())
    return stage.training_step(shown, context)


def test_a_step_goes_down_lambda_times_equation_5_and_equation_6() -> None:
    class Noted(StepContext):
        def descend(self, name: str, loss: Tensor, *, share: float = 1.0) -> None:
            losses[name] = float(loss.detach())
            super().descend(name, loss, share=share)

    losses: dict[str, float] = {}
    stage = new_stage("image")
    stage.config = stage.config.model_copy(update={"segmentation_weight": 7.0})
    context = Noted(Learner.of(stage, Processes()), stage.plan(0), 0, sample_rngs(0, 4), Augmentation())
    told = stage.training_step(batch(), context)
    expected = 7 * float(told["segmentation"]) + float(told["adversarial"])
    assert losses["generator"] == pytest.approx(expected, rel=1e-5)


def weights(stage: MIGANSegmenter, network: str) -> list[Tensor]:
    return [value.detach().clone() for value in stage.networks()[network].parameters()]


def changed(before: list[Tensor], after: list[Tensor]) -> bool:
    return any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize(("present", "count"), [([[1.0, 1.0]], 6), ([[1.0, 0.0]], 3)])
def test_the_segmentation_loss_is_equation_5_over_what_is_known(
    present: list[list[float]], count: int
) -> None:
    p, y = 1 / (1 + np.exp(-np.array(LOGITS))), np.array(LABELS)
    known = np.array(FOV) * np.array(present)[:, :, None, None]
    expected = (known * (-y * np.log(p) - (1 - y) * np.log(1 - p))).sum() / known.sum()
    assert known.sum() == count
    found = segmentation_loss(*(torch.tensor(x, dtype=torch.float64) for x in (LOGITS, LABELS, FOV, present)))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_both_sides_of_the_game_are_equations_4_and_6() -> None:
    real, fake = (
        torch.tensor([0.5, 2.0], dtype=torch.float64),
        torch.tensor([-1.0, 0.25], dtype=torch.float64),
    )

    def d(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    fooled = -(math.log(d(-1.0)) + math.log(d(0.25))) / 2
    caught = -(math.log(d(0.5)) + math.log(d(2.0))) / 2 - (math.log(1 - d(-1.0)) + math.log(1 - d(0.25))) / 2
    assert float(adversarial_loss(fake)) == pytest.approx(fooled, rel=1e-12)
    assert float(critic_loss(real, fake)) == pytest.approx(caught, rel=1e-12)


def test_sure_verdicts_give_finite_losses() -> None:
    sure = torch.tensor([1e4, -1e4])
    assert bool(torch.isfinite(adversarial_loss(sure)))
    assert bool(torch.isfinite(critic_loss(sure, sure)))


@pytest.mark.parametrize("critic", ["pixel", "patch10", "image"])
def test_the_segmenter_learns_twice_for_each_time_that_its_critic_does(critic: str) -> None:
    stage = new_stage(critic)
    learner = Learner.of(stage, Processes())
    for seen, critic_learns in ((0, True), (4, False), (8, True), (12, False)):
        before = {name: weights(stage, name) for name in ("generator", "critic")}
        losses = step(stage, learner, seen, batch())
        assert set(losses) == {"segmentation", "adversarial", "critic"}
        assert changed(before["generator"], weights(stage, "generator"))
        assert changed(before["critic"], weights(stage, "critic")) == critic_learns


def test_without_a_critic_it_is_a_plain_segmenter() -> None:
    stage = new_stage("none")
    assert set(stage.networks()) == set(stage.optimizers()) == {"generator"}
    assert set(step(stage, Learner.of(stage, Processes()), 0, batch())) == {"segmentation"}


@pytest.mark.parametrize("critic", ["none", "patch10"])
def test_an_absent_channel_is_never_trained_on(critic: str) -> None:
    heads = []
    for label in (0.0, 1.0):
        stage = new_stage(critic)
        learner = Learner.of(stage, Processes())
        fresh = stage.generator.head.weight.detach().clone()
        for seen in (0, 4, 8):
            step(stage, learner, seen, batch(present=False, absent_label=label))
        heads.append({key: value.clone() for key, value in stage.generator.state_dict().items()})
        assert torch.equal(stage.generator.head.weight[:, 1], fresh[:, 1])
        assert not torch.equal(stage.generator.head.weight[:, 0], fresh[:, 0])
    assert all(torch.equal(value, heads[1][key]) for key, value in heads[0].items())


def test_a_resolution_that_is_no_power_of_two_is_segmented_and_learnt_from() -> None:
    config = MIGANSegmenterConfig.resolve("migan", "quick", {**TINY, "resolution": 50, "patch_px": 21})
    stage = MIGANSegmenter(config, ("vessel", "optic_disc"))
    stage.eval_mode()
    assert stage.segment(torch.rand(1, 3, 50, 50), torch.ones(1, 1, 50, 50)).shape == (1, 2, 50, 50)
    assert stage.critic is not None
    assert stage.critic(torch.rand(2, 2, 21, 21), torch.rand(2, 3, 21, 21)).shape == (2, 1, 1, 1)


def validated(out: Path, **options: Any) -> Segmenter:
    """A short training, one eye in three of which validates."""
    settings = {**TINY, "seen_images": 24, "checkpoint_every": 8, "average_half_life": 8}
    stage = fit(
        "segmenter:migan",
        tiny_eyes(6),
        out,
        preset="quick",
        settings=settings,
        validation=3,
        options=FitOptions(device="cpu", **options),
    )
    assert isinstance(stage, Segmenter)
    return stage


def test_a_validated_training_that_was_stopped_ends_with_the_same_bytes(tmp_path: Path) -> None:
    validated(tmp_path / "straight")
    with pytest.raises(StoppedError):
        validated(tmp_path / "stopped", listener=StopAt(20))
    validated(tmp_path / "stopped")
    first, second = (read_card(tmp_path / name) for name in ("straight", "stopped"))
    assert first.files["model.safetensors"] == second.files["model.safetensors"]
    assert first.provenance["validation"] == second.provenance["validation"]
    logs = [
        [
            json.loads(line).get("validation_loss")
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
        ]
        for name in ("straight", "stopped")
    ]
    assert logs[0] == logs[1]
    losses = [loss for loss in logs[0] if loss is not None]
    assert len(losses) == 6
    assert first.provenance["validation"]["loss"] == min(losses)
    assert first.provenance["validation"]["eyes"] == 2
    assert read_seen(tmp_path / "straight") == set(tiny_eyes(6).seen())  # those that validate were seen too


def test_validation_is_for_segmenters_alone(tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="segmenters"):
        fit("label-generator:dcgan", tiny_eyes(4), tmp_path, preset="quick", validation=2)


def test_one_name_in_two_roles_is_refused_with_the_choices() -> None:
    registry = Registry.discover()
    with pytest.raises(AmbiguousStageError, match="image-translator:migan or segmenter:migan"):
        registry.stage("migan")
    assert registry.stage("segmenter:migan").target == "retina_migan.segmenter:MIGANSegmenter"
    assert registry.stage("migan", "evaluator").target == "retina_migan.segmenter:MIGANSegmenter"
    assert registry.stage("migan", "image-translator").target == "retina_migan.stage:MIGANTranslator"
    done = CliRunner().invoke(main, ["train", "migan", "--out", "nowhere"])
    assert done.exit_code == 2
    assert "image-translator:migan or segmenter:migan" in done.output


def split() -> Split:
    eyes = tiny_eyes(7)
    return Split(eyes.with_samples(eyes.samples[:4]), eyes.with_samples(eyes.samples[4:]))


def test_the_table_holds_each_training_and_the_means_and_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {
        "preset": "quick",
        "settings": {**TINY, "seen_images": 4},
        "seeds": 2,
        "protocol": "migan",
        "options": FitOptions(device="cpu"),
    }
    once = comparing.evaluate
    calls: list[str] = []

    def stopped(*args: Any, **kwargs: Any) -> Any:
        if calls:
            raise KeyboardInterrupt
        calls.append(args[3].name)
        return once(*args, **kwargs)

    monkeypatch.setattr(comparing, "evaluate", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare("migan", "critic", ("none", "pixel"), split(), tmp_path, **asked)
    written = (tmp_path / "none" / "real-seed1" / "model.safetensors").stat().st_mtime_ns
    assert not (tmp_path / "comparison.csv").exists()

    monkeypatch.setattr(comparing, "evaluate", once)
    found = compare("migan", "critic", ("none", "pixel"), split(), tmp_path, **asked)
    assert (tmp_path / "none" / "real-seed1" / "model.safetensors").stat().st_mtime_ns == written
    assert [(row.way, row.seed) for row in found.rows] == [
        (way, seed) for way in ("none", "pixel") for seed in (0, 1, None)
    ]
    for measure in ("auc_roc", "auc_pr", "dice"):
        trained = [float(row.scores[measure].value or 0) for row in found.rows[:2]]
        assert found.rows[2].scores[measure].value == pytest.approx(np.mean(trained))
        assert found.rows[2].scores[measure].low is not None
    rows = list(csv.DictReader((tmp_path / "comparison.csv").read_text().splitlines()))
    assert [row["seed"] for row in rows] == ["0", "1", "mean"] * 2
    assert float(rows[0]["auc_roc"]) == pytest.approx(found.rows[0].scores["auc_roc"].value, abs=1e-6)
    assert json.loads((tmp_path / "comparison.json").read_text())["protocol"] == "migan"


def test_the_command_prints_the_table(tmp_path: Path) -> None:
    words = [
        "compare-critics",
        "--critics",
        "none",
        "--preset",
        "quick",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "o"),
    ]
    small = {
        **TINY,
        "seen_images": 4,
        "data.phantom_count": 5,
        "data.phantom_px": 48,
        "data.channels": "vessel",
    }
    done = CliRunner().invoke(main, [*words, *(w for k, v in small.items() for w in ("--set", f"{k}={v}"))])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("migan, protocol migan")
    assert lines[1].split() == ["critic", "channel", "training", "AUC-ROC", "AUC-PR", "Dice"]
    assert [line.split()[:3] for line in lines[2:4]] == [
        ["none", "vessel", "seed"],
        ["none", "vessel", "mean"],
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--critics", "none,patch70"], "'patch70' is no critic"),
        (["--critics", "image,none,image"], "'image' is there twice"),
        (["--set", "critic=none"], "choose them with --critics"),
        (["--set", "unet.width=4"], "is not KEY=VALUE"),
        (["--set", "resolution=64"], "80 px"),
    ],
)
def test_a_wrong_comparison_is_refused_before_any_work(tmp_path: Path, words: list[str], said: str) -> None:
    done = CliRunner().invoke(main, ["compare-critics", "--out", str(tmp_path / "o"), *words])
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "o").exists()
