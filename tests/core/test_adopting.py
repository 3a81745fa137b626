"""Weights of another stage's folder: layers are matched by name, label channels by theirs, and the rest stays fresh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from retina_core.config import GANConfig, setting
from retina_core.errors import StageFolderError
from retina_core.formats.adopting import adopt_weights, adopted_config, followed
from retina_core.formats.stage_folder import save_stage, weights_of
from retina_core.registry import Row
from retina_core.roles import LabelGenerator
from retina_core.stages import LearningStage

ROW = Row("label-generator", "growing", "growing", "retina-growing", "0.1", "", "", "ok", "")
EYE = ("vessel", "optic_disc")


class GrowingConfig(GANConfig):
    width: int = setting(4, "features", ge=1)
    architecture: ClassVar[tuple[str, ...]] = ("width",)


class Growing(LearningStage, LabelGenerator):
    """Blocks by their size in px, a layer that draws channels, and one that sees channels, fov and colours."""

    name: ClassVar[str] = "growing"
    config: GrowingConfig
    told_px = 0

    def __init__(self, config: GrowingConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        width, sizes = config.width, [8 * 2**i for i in range(8) if 8 * 2**i <= config.resolution]
        blocks = nn.ModuleDict({str(px): nn.Conv2d(width, width, 1) for px in sizes})
        self.generator = nn.ModuleDict({"blocks": blocks, "head": nn.Conv2d(width, len(channels), 1)})
        self.judge = nn.utils.parametrizations.spectral_norm(nn.Conv2d(len(channels) + 4, width, 1))

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "judge": self.judge}

    def channel_dims(self) -> Mapping[str, int]:
        return {
            "generator.head.weight": 0,
            "generator.head.bias": 0,
            "judge.parametrizations.weight.original": 1,
        }

    def adopted(self, resolution: int) -> None:
        self.told_px = resolution

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        raise NotImplementedError

    def training_step(self, batch: Any, context: Any) -> dict[str, torch.Tensor]:
        raise NotImplementedError

    def preview(self, batch: Any, rngs: Any) -> torch.Tensor:
        raise NotImplementedError

    def sample(self, rngs: Any, *, grades: Any = None) -> torch.Tensor:
        raise NotImplementedError


def new_stage(channels: Sequence[str] = EYE, seed: int = 0, **settings: Any) -> Growing:
    torch.manual_seed(seed)
    return Growing(GrowingConfig(**{"resolution": 16, **settings}), channels)


def saved(stage: Growing, folder: Path) -> dict[str, torch.Tensor]:
    """The stage in a folder; its weights."""
    save_stage(stage, folder, plugin=ROW, seen=[], provenance={})
    return {key: value.clone() for key, value in weights_of(stage).items()}


def copied(stage: Growing) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in weights_of(stage).items()}


HEAD, BIAS, JUDGE = "generator.head.weight", "generator.head.bias", "judge.parametrizations.weight.original"


def test_channels_are_taken_by_name_whatever_their_order(tmp_path: Path) -> None:
    theirs = saved(new_stage(("vessel", "optic_disc", "fovea")), tmp_path)
    stage = new_stage(("fovea", "vessel"), seed=1)
    told = adopt_weights(stage, tmp_path).told("there")
    mine = weights_of(stage)
    assert torch.equal(mine[HEAD], theirs[HEAD][[2, 0]])
    assert torch.equal(mine[BIAS], theirs[BIAS][[2, 0]])
    assert torch.equal(
        mine[JUDGE], theirs[JUDGE][:, [2, 0, 3, 4, 5, 6]]
    )  # fov and colours stay in their order
    assert told == "all weights of there"


def test_the_same_number_of_other_channels_is_not_mistaken_for_the_same_channels(tmp_path: Path) -> None:
    theirs = saved(new_stage(("vessel", "optic_disc")), tmp_path)
    stage = new_stage(("optic_disc", "vessel"), seed=1)
    adopt_weights(stage, tmp_path)
    assert torch.equal(weights_of(stage)[HEAD], theirs[HEAD][[1, 0]])


def test_a_channel_that_the_folder_lacks_stays_fresh_and_is_named(tmp_path: Path) -> None:
    theirs = saved(new_stage(), tmp_path)
    stage = new_stage(("vessel", "haemorrhage", "optic_disc"), seed=1)
    before = copied(stage)
    told = adopt_weights(stage, tmp_path).told("there")
    mine = weights_of(stage)
    assert torch.equal(mine[HEAD][[0, 2]], theirs[HEAD])
    assert torch.equal(mine[HEAD][1], before[HEAD][1])
    assert torch.equal(mine[JUDGE][:, [0, 2, 3, 4, 5, 6]], theirs[JUDGE])
    assert torch.equal(mine[JUDGE][:, 1], before[JUDGE][:, 1])
    assert told == "there: vessel, optic_disc taken, haemorrhage fresh"


def test_no_channel_in_common_leaves_what_draws_them_fresh(tmp_path: Path) -> None:
    theirs = saved(new_stage(), tmp_path)
    stage = new_stage(("cell",), seed=1)
    before = copied(stage)
    told = adopt_weights(stage, tmp_path).told("there")
    assert torch.equal(weights_of(stage)[HEAD], before[HEAD])
    assert torch.equal(weights_of(stage)[JUDGE][:, 1:], theirs[JUDGE][:, 2:])
    assert told == "there: cell fresh; fresh: generator.head"


def test_another_resolution_is_told_and_its_own_blocks_stay_fresh(tmp_path: Path) -> None:
    theirs = saved(new_stage(), tmp_path)
    stage = new_stage(seed=1, resolution=64)
    adoption = adopt_weights(stage, tmp_path)
    assert (
        adoption.told("there")
        == "there: 16 px there, 64 px here; fresh: generator.blocks.32, generator.blocks.64"
    )
    assert torch.equal(weights_of(stage)["generator.blocks.16.weight"], theirs["generator.blocks.16.weight"])
    assert stage.told_px == 16


def test_many_fresh_layers_are_counted_rather_than_named(tmp_path: Path) -> None:
    saved(new_stage(), tmp_path)
    told = adopt_weights(new_stage(seed=1, resolution=1024), tmp_path).told("there")
    assert told.endswith("generator.blocks.256 and 2 more layers")


def test_a_network_of_another_width_stays_fresh_as_a_whole(tmp_path: Path) -> None:
    saved(new_stage(), tmp_path)
    stage = new_stage(seed=1)
    stage.judge = nn.Conv2d(6, 9, 1)
    assert adopt_weights(stage, tmp_path).fresh == ("judge",)


def test_half_precision_is_taken_as_it_is(tmp_path: Path) -> None:
    halves = new_stage()
    halves.generator.half()
    theirs = saved(halves, tmp_path)
    stage = new_stage(seed=1)
    adopt_weights(stage, tmp_path)
    assert weights_of(stage)[HEAD].dtype == torch.float32
    assert torch.equal(weights_of(stage)[HEAD], theirs[HEAD].float())


def test_nothing_is_changed_where_a_channel_holds_what_is_no_number(tmp_path: Path) -> None:
    broken = new_stage()
    with torch.no_grad():
        weights_of(broken)[BIAS][1] = float("nan")
    saved(broken, tmp_path)
    stage = new_stage(("vessel",), seed=1)
    before = copied(stage)
    with pytest.raises(StageFolderError, match=r"generator\.head\.bias holds values that are not finite"):
        adopt_weights(stage, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in weights_of(stage).items())


class TestSettings:
    def test_what_shapes_the_networks_is_as_in_the_folder(self, tmp_path: Path) -> None:
        saved(new_stage(width=6, learning_rate=0.5), tmp_path)
        config = adopted_config(GrowingConfig, "growing", "quick", {"seen_images": 7}, tmp_path)
        assert isinstance(config, GrowingConfig)
        plain = GrowingConfig.resolve("growing", "quick", {"seen_images": 7})
        assert (config.width, config.seen_images, config.learning_rate) == (6, 7, plain.learning_rate)
        assert followed(config, plain) == ["width 6"]

    def test_what_is_asked_for_goes_before_the_folder(self, tmp_path: Path) -> None:
        saved(new_stage(width=6), tmp_path)
        config = adopted_config(GrowingConfig, "growing", "quick", {"width": "5"}, tmp_path)
        assert config == GrowingConfig.resolve("growing", "quick", {"width": 5})

    def test_without_a_folder_it_is_the_preset(self) -> None:
        assert adopted_config(GrowingConfig, "growing", "quick", None, None) == GrowingConfig()
