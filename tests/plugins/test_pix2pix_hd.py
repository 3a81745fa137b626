"""pix2pixHD's networks, losses and phases, each held against the paper's numbers or a second way to work them out."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retina_core.errors import InvalidValueError, UnknownKeyError, UnknownPresetError
from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.stages import Batch, Stage
from retina_core.testing import tiny_eyes
from retina_core.testing.learning import StopAt, StoppedError
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions
from retina_core.training.processes import Processes
from retina_pix2pix.config import HD_DEFAULTS, HD_PRESETS, Pix2PixConfig
from retina_pix2pix.losses import feature_distance
from retina_pix2pix.network_hd import HDGenerator, MultiScaleDiscriminator, PatchJudge, halved
from retina_pix2pix.stage import Pix2PixTranslator

TINY: dict[str, Any] = {
    "variant": "hd",
    "resolution": 32,
    "width": 4,
    "max_width": 8,
    "downsamplings": 2,
    "blocks": 1,
    "local_blocks": 1,
    "discriminator_width": 4,
    "seen_images": 40,
    "batch_size": 4,
    "checkpoint_every": 4,
    "preview_every": 4,
    "global_share": 0.5,
    "enhancer_share": 0.2,
}
"""Steps 1 to 5 are the global generator's alone, 6 and 7 the enhancer's, 8 to 10 both's."""
PAPER: dict[str, Any] = {"width": 64, "max_width": 1024, "downsamplings": 4, "blocks": 9, "local_blocks": 3}
GOLDEN = (-0.50546, -0.52984, -0.50887, -0.07779, -0.0598, 0.06467)
"""Mean colours, and one pixel's."""
SIZES = (64, 128, 256, 512)
UPSAMPLINGS = ("resize", "transposed")


def generator(**settings: Any) -> HDGenerator:
    torch.manual_seed(1)
    small = {"width": 4, "max_width": 8, "downsamplings": 4, "blocks": 1, "local_blocks": 1}
    return HDGenerator(channels=2, **{**small, **settings})


def judges(resolution: int = 64, scales: int = 3) -> MultiScaleDiscriminator:
    torch.manual_seed(2)
    return MultiScaleDiscriminator(
        channels=2, resolution=resolution, scales=scales, receptive_field=70, width=4
    )


def maps(resolution: int = 64, count: int = 2) -> tuple[Tensor, Tensor]:
    """Labels (b 2 h w) and a round field of view (b 1 h w)."""
    draw = torch.Generator().manual_seed(5)
    labels = (torch.rand(count, 2, resolution, resolution, generator=draw) > 0.8).float()
    rows, columns = torch.meshgrid(torch.arange(resolution), torch.arange(resolution), indexing="ij")
    disc = (rows - resolution / 2).hypot(columns - resolution / 2) < 0.4 * resolution
    fov = disc.float().expand(count, 1, resolution, resolution)
    return labels * fov, fov


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def released_generator(f_in: int, *, width: int = 64, downsamplings: int = 4, blocks: int = 9) -> int:
    """Weights of the released code's global generator, biases included."""
    widths = [width << step for step in range(downsamplings + 1)]
    pairs = list(pairwise(widths))
    down = sum(9 * a * b + b for a, b in pairs)
    up = sum(9 * a * b + a for a, b in pairs)
    residual = 2 * blocks * (9 * widths[-1] * widths[-1] + widths[-1])
    return 49 * f_in * width + width + down + residual + up + 49 * width * 3 + 3


class TestGenerator:
    def test_it_has_the_weights_of_the_released_one_but_for_biases_that_norms_take_away(self) -> None:
        with torch.device("meta"):
            network = HDGenerator(channels=1, **PAPER)
        # For Cityscapes, of 36 input channels, the released code prints 182,546,755.
        assert released_generator(36) == 182_546_755
        biases = 64 + (128 + 256 + 512 + 1024) + 18 * 1024 + (512 + 256 + 128 + 64)
        assert weights(network.overall) == released_generator(2) - biases == 182_418_755
        # front, down, three blocks, up, head
        local = 49 * 2 * 32 + 9 * 32 * 64 + 6 * 9 * 64**2 + 9 * 64 * 32 + 49 * 32 * 3 + 3
        assert weights(network.local) == local == 265_891

    def test_transposed_convolutions_cost_no_more(self) -> None:
        with torch.device("meta"):
            one, other = (HDGenerator(channels=1, **PAPER, upsampling=way) for way in UPSAMPLINGS)  # type: ignore[arg-type]
        assert weights(one) == weights(other)

    @pytest.mark.parametrize("resolution", SIZES)
    @pytest.mark.parametrize("upsampling", UPSAMPLINGS)
    def test_a_photograph_has_the_size_of_its_map(self, resolution: int, upsampling: str) -> None:
        labels, fov = maps(resolution, count=1)
        network = generator(upsampling=upsampling)
        with torch.no_grad():
            photo, enlarged = network(labels, fov), network.paint_enlarged(labels, fov)
            small = network.paint_small(halved(labels), halved(fov))
        assert photo.shape == enlarged.shape == (1, 3, resolution, resolution)
        assert small.shape == (1, 3, resolution // 2, resolution // 2)
        outside = (1 - fov).bool().expand_as(photo)
        for picture in (photo, enlarged):
            assert picture.dtype == torch.float32
            assert -1 <= float(picture.min()) < float(picture.max()) <= 1
            assert bool((picture[outside] == -1).all())

    def test_golden_photograph(self) -> None:
        """Guards the network against silent change."""
        photo = generator()(*maps(count=1)).detach()
        found = torch.cat([photo.mean((0, 2, 3)), photo[0, :, 32, 30]])
        torch.testing.assert_close(found, torch.tensor(GOLDEN), atol=1e-4, rtol=0)

    def test_the_enhancer_starts_from_the_global_generators_last_features(self) -> None:
        network, (labels, fov) = generator(), maps()
        taken: list[Tensor] = []
        network.local.blocks[0].register_forward_pre_hook(lambda _m, args: taken.append(args[0]))
        network(labels, fov)
        x = torch.cat([labels, fov], 1) * 2 - 1
        known = network.overall.features(F.interpolate(x, scale_factor=0.5, mode="area"))
        torch.testing.assert_close(taken[0], network.local.down(x) + known)

    def test_a_residual_block_adds_to_what_it_gets(self) -> None:
        block = generator().overall.blocks[0]
        with torch.no_grad():
            for weight in block.parameters():
                weight.zero_()
        x = torch.randn(1, 8, 6, 6)
        assert torch.equal(block(x, None), x)

    def test_gradients_of_one_photograph_in_channels_last_are_those_of_double_precision(self) -> None:
        """torch's own instance norm gives others on the CPU, without an error (``retina_core.norms``)."""
        labels, fov = maps(count=1)
        found = []
        for dtype, layout in (
            (torch.float32, torch.channels_last),
            (torch.float64, torch.contiguous_format),
        ):
            network = generator().to(dtype=dtype, memory_format=layout)  # type: ignore[call-overload]
            network(labels.to(dtype), fov.to(dtype)).square().mean().backward()
            found.append(
                {name: w.grad.double() for name, w in network.named_parameters() if w.grad is not None}
            )
        for name, wanted in found[1].items():
            assert float((found[0][name] - wanted).norm()) < 1e-3 * float(wanted.norm()), name

    def test_a_resting_global_generator_collects_no_gradients(self) -> None:
        network, (labels, fov) = generator(), maps()
        network(labels, fov, overall_learns=False).sum().backward()
        assert all(weight.grad is None for weight in network.overall.parameters())
        assert all(weight.grad is not None for weight in network.local.parameters())

    def test_both_learn_but_the_head_that_is_not_used(self) -> None:
        network, (labels, fov) = generator(), maps()
        network(labels, fov).sum().backward()
        idle = {name for name, weight in network.named_parameters() if weight.grad is None}
        assert idle == {"overall.head.weight", "overall.head.bias"}

    def test_without_dropout_the_map_alone_decides(self) -> None:
        network, (labels, fov) = generator(), maps()
        one, other = (network(labels, fov, sample_rngs(seed, 2)) for seed in (3, 4))
        assert torch.equal(one, other)

    def test_dropout_is_what_the_generators_draw(self) -> None:
        network, (labels, fov) = generator(dropout=0.5, downsamplings=2), maps()
        one, again, other = (network(labels, fov, sample_rngs(seed, 2)) for seed in (3, 3, 4))
        assert torch.equal(one, again)
        assert not torch.allclose(one, other, atol=1e-4)


class TestDiscriminators:
    def test_each_judges_a_size_of_its_own(self) -> None:
        network, (labels, fov) = judges(), maps()
        photo = torch.rand(2, 3, 64, 64)
        x = torch.cat([labels * 2 - 1, fov * 2 - 1, photo], 1)
        found = network(labels, fov, photo)
        assert len(found) == 3
        for judge, features in zip(network.judges, found, strict=True):
            for mine, theirs in zip(judge(x), features, strict=True):
                torch.testing.assert_close(mine, theirs)
            x = F.interpolate(x, scale_factor=0.5, mode="area")

    def test_for_a_small_photograph_the_first_waits_and_the_others_see_what_they_always_see(self) -> None:
        network, (labels, fov) = judges(), maps()
        photo = torch.rand(2, 3, 64, 64)
        whole = network(labels, fov, photo)
        small = network(halved(labels), halved(fov), halved(photo))
        assert len(small) == 2
        for one, other in zip(whole[1:], small, strict=True):
            torch.testing.assert_close(one[-1], other[-1])

    def test_a_judge_has_the_weights_of_the_released_one_but_for_biases_that_norms_take_away(self) -> None:
        steps = [(5, 64), (64, 128), (128, 256), (256, 512), (512, 1)]
        released = sum(16 * a * b + b for a, b in steps)
        assert weights(PatchJudge(5, 3, 64)) == released - (128 + 256 + 512)

    @pytest.mark.parametrize(("field", "strided"), [(16, 1), (70, 3)])
    def test_a_logit_sees_exactly_its_patch(self, field: int, strided: int) -> None:
        judge = PatchJudge(1, strided, 4).double()
        for layer in judge.layers:
            if isinstance(layer, nn.Sequential) and isinstance(layer[1], nn.InstanceNorm2d):
                layer[1] = nn.Identity()  # its mean is over the whole photograph, a constant
        x = torch.randn(1, 1, 160, 160, dtype=torch.float64, requires_grad=True)
        logits = judge(x)[-1]
        logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2].backward()
        assert x.grad is not None
        seen = x.grad[0, 0] != 0
        assert (int(seen.any(1).sum()), int(seen.any(0).sum())) == (field, field)

    @pytest.mark.parametrize("resolution", [32, 64, 256])
    def test_every_size_has_logits(self, resolution: int) -> None:
        found = judges(resolution, scales=4)(*maps(resolution, 1), torch.zeros(1, 3, resolution, resolution))
        assert [features[-1].shape[1] for features in found] == [1, 1, 1, 1]
        assert all(bool(torch.isfinite(f).all()) and f.dtype == torch.float32 for fs in found for f in fs)


def test_feature_distance_is_the_mean_over_judges_of_the_sum_over_layers() -> None:
    real = [[torch.tensor([1.0, 3.0]), torch.tensor([0.0]), torch.tensor([9.0])]] * 2
    fake = [[torch.tensor([2.0, 3.0]), torch.tensor([4.0]), torch.tensor([0.0])], real[0]]
    # Of the first judge .5 and 4, of the second 0; logits, last, do not count.
    assert float(feature_distance(real, fake)) == pytest.approx((0.5 + 4) / 2)


class TestConfig:
    @pytest.mark.parametrize("preset", HD_PRESETS)
    def test_every_preset_of_hd_is_valid_and_leaves_nothing_to_the_other_variants(self, preset: str) -> None:
        config = Pix2PixConfig.resolve("pix2pix", preset, {"variant": "hd"}).model_dump()
        assert config.items() >= {**HD_DEFAULTS, **HD_PRESETS[preset]}.items()
        assert HD_PRESETS[preset].keys() >= Pix2PixConfig.presets[preset].keys()
        assert HD_PRESETS.keys() == Pix2PixConfig.presets.keys()

    def test_the_paper_preset_holds_the_papers_numbers(self) -> None:
        config = Pix2PixConfig.resolve("pix2pix", "paper", {"variant": "hd"})
        numbers = {
            **PAPER,
            "batch_size": 1,
            "learning_rate": 2e-4,
            "discriminator_learning_rate": 2e-4,
            "beta1": 0.5,
            "discriminator_width": 64,
            "discriminators": 3,
            "feature_weight": 10.0,
            "gan_loss": "least_squares",
            "l1_weight": 0.0,
            "dropout": 0.0,
        }
        assert config.model_dump().items() >= numbers.items()

    def test_every_number_of_hd_is_shown(self) -> None:
        shown = {row.name: row.meaning for row in Pix2PixConfig.describe()}
        for preset, values in {"default": HD_DEFAULTS, **HD_PRESETS}.items():
            for name, value in values.items():
                assert f"{preset} {value}" in shown[name].partition("; hd: ")[2]

    def test_what_is_set_stands_above_hds_own_numbers(self) -> None:
        config = Pix2PixConfig.resolve("pix2pix", "quick", {"variant": "hd", "l1_weight": "3", "width": 8})
        assert (config.l1_weight, config.width, config.gan_loss) == (3.0, 8, "least_squares")

    def test_a_config_without_variant_is_pix2pixs_own(self) -> None:
        config = Pix2PixConfig.resolve("pix2pix", "paper")
        assert (config.variant, config.dropout, config.l1_weight, config.max_width) == (
            "unet",
            0.5,
            100.0,
            512,
        )

    def test_config_json_brings_the_same_config_back(self) -> None:
        config = Pix2PixConfig.resolve("pix2pix", "quick", {**TINY, "l1_weight": 100.0})
        assert Pix2PixConfig.restore("pix2pix", json.loads(config.model_dump_json())) == config

    @pytest.mark.parametrize(
        ("settings", "key", "reason"),
        [
            ({"blocks": 4}, "blocks", "variant=hd alone"),
            ({"variant": "unet", "feature_weight": 1}, "feature_weight", "variant=hd alone"),
            ({"variant": "hd", "receptive_field": "image"}, "receptive_field", "16 or 70"),
            ({"variant": "hd", "resolution": 32, "downsamplings": 4}, "downsamplings", "at most 3"),
            ({"variant": "hd", "resolution": 128, "downsamplings": 6}, "downsamplings", "at most 5"),
            ({"variant": "hd", "global_share": 0.96}, "enhancer_share", "both learn"),
            ({"variant": "hq"}, "variant", "'unet' or 'hd'"),
        ],
    )
    def test_what_cannot_be_is_refused_by_name(self, settings: dict[str, Any], key: str, reason: str) -> None:
        with pytest.raises(InvalidValueError, match=f"pix2pix: {key}=.*{reason}"):
            Pix2PixConfig.resolve("pix2pix", "quick", settings)

    def test_the_deepest_that_is_allowed_paints(self) -> None:
        config = Pix2PixConfig.resolve("pix2pix", "quick", {**TINY, "downsamplings": 3})
        stage = Pix2PixTranslator(config, ("vessel", "optic_disc"))
        assert stage.translate(*maps(32), rngs=sample_rngs(0, 2)).shape == (2, 3, 32, 32)

    def test_unknown_names_are_refused_as_ever(self) -> None:
        with pytest.raises(UnknownPresetError):
            Pix2PixConfig.resolve("pix2pix", "fast", {"variant": "hd"})
        with pytest.raises(UnknownKeyError):
            Pix2PixConfig.resolve("pix2pix", "quick", {"variant": "hd", "block": 2})


class TestPlan:
    def stage(self, **settings: Any) -> Pix2PixTranslator:
        config = Pix2PixConfig.resolve("pix2pix", "quick", {**TINY, **settings})
        return Pix2PixTranslator(config, ("vessel",))

    def test_first_the_global_generator_then_the_enhancer_then_both(self) -> None:
        stage = self.stage()
        learning = [stage.plan(seen).trainable for seen in (0, 19, 20, 27, 28, 39)]
        judges = "discriminator."
        overall, local = ("generator.overall.", judges), ("generator.local.", judges)
        assert learning == [overall, overall, local, local, ("",), ("",)]

    def test_prefixes_are_those_of_weights(self) -> None:
        stage = self.stage()
        names = [f"{n}.{k}" for n, network in stage.networks().items() for k, _ in network.named_parameters()]
        for seen in (0, 20, 28):
            for prefix in stage.plan(seen).trainable:
                assert any(name.startswith(prefix) for name in names)

    def test_rates_fall_towards_the_end_of_each_phase(self) -> None:
        stage = self.stage(rate_decay=0.5, learning_rate=1e-3, global_share=0.5)
        rates = [stage.plan(seen).learning_rates["generator"] for seen in (0, 10, 15, 20, 30, 35)]
        assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 1e-3, 1e-3, 5e-4])

    @pytest.mark.parametrize("share", [0.0, 0.5])
    def test_every_share_may_be_nothing(self, share: float) -> None:
        stage = self.stage(global_share=share, enhancer_share=0.0)
        small = [stage.plan(seen).trainable != ("",) for seen in (0, 19, 20, 39)]
        assert small == [share > 0, share > 0, False, False]


class TestTraining:
    @pytest.fixture(autouse=True)
    def _own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))

    def train(self, folder: Path, listener: StopAt | None = None, **settings: Any) -> Pix2PixTranslator:
        options = FitOptions(device="cpu", precision="fp32", listener=listener or StopAt(10**9))
        stage = fit(
            "pix2pix", tiny_eyes(), folder, preset="quick", settings={**TINY, **settings}, options=options
        )
        assert isinstance(stage, Pix2PixTranslator)
        return stage

    def test_a_stop_in_any_stretch_and_a_resume_end_as_without(self, tmp_path: Path) -> None:
        straight = state(self.train(tmp_path / "straight"))
        for seen in (8, 16, 20, 24, 32):  # inside the first, before and after the change, inside each other
            with pytest.raises(StoppedError):
                self.train(tmp_path / "stopped", StopAt(seen))
        resumed = state(self.train(tmp_path / "stopped"))
        assert resumed.keys() == straight.keys()
        assert all(torch.equal(value, straight[key]) for key, value in resumed.items())

    def test_killed_in_both_phases_it_ends_as_without(self, tmp_path: Path) -> None:
        straight = state(self.train(tmp_path / "straight"))
        script = tmp_path / "train.py"
        script.write_text(KILLED.format(settings=TINY))
        for seen in (12, 32):
            command = [sys.executable, str(script), str(tmp_path / "killed"), str(seen)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == -9, done.stderr[-2000:]
        resumed = state(self.train(tmp_path / "killed"))
        assert all(torch.equal(value, straight[key]) for key, value in resumed.items())

    @pytest.mark.parametrize(
        ("seen", "moving"),
        [
            (0, {"overall", "judges.1", "judges.2"}),
            (20, {"local", "judges.0", "judges.1", "judges.2"}),
            (28, {"overall", "local", "judges.0", "judges.1", "judges.2"}),
        ],
    )
    def test_who_rests_does_not_move(self, seen: int, moving: set[str]) -> None:
        torch.manual_seed(0)
        stage = Pix2PixTranslator(Pix2PixConfig.resolve("pix2pix", "quick", TINY), ("vessel", "optic_disc"))
        learner = Learner.of(stage, Processes.join(torch.device("cpu")))
        before = {key: value.clone() for key, value in state(stage).items()}
        labels, fov = maps(32, 4)
        rest = {"present": torch.ones(4, 2, dtype=torch.bool), "grades": torch.zeros(4, dtype=torch.int64)}
        photos = {"photos": fov.repeat(1, 3, 1, 1), "photo_mean": torch.zeros(1), "photo_std": torch.ones(1)}
        context = StepContext(learner, stage.plan(seen), seen, sample_rngs(0, 4), Augmentation())
        losses = stage.training_step(Batch(labels=labels, fov=fov, **rest, **photos), context)
        assert losses.keys() == {"d", "g", "features", "l1"}
        assert not any(loss.requires_grad for loss in losses.values())
        moved = {key for key, value in state(stage).items() if not torch.equal(value, before[key])}
        parts = ("overall", "local", "judges.0", "judges.1", "judges.2")
        assert {part for part in parts if any(f".{part}." in key for key in moved)} == moving

    def test_previews_show_first_the_small_photograph_enlarged_then_the_large_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown: list[tuple[bool, tuple[int, ...]]] = []
        preview = Pix2PixTranslator.preview

        def watched(self: Pix2PixTranslator, batch: Batch, rngs: Any) -> Tensor:
            pictures = preview(self, batch, rngs)
            shown.append((self.small, tuple(pictures.shape)))
            assert 0 <= float(pictures.min()) < float(pictures.max()) <= 1
            return pictures

        monkeypatch.setattr(Pix2PixTranslator, "preview", watched)
        with pytest.raises(StoppedError):
            self.train(tmp_path / "stage", StopAt(24))
        stage = self.train(tmp_path / "stage")
        both = 2 * 32  # the map beside its photograph
        assert {shape for _, shape in shown} == {(16, 3, 32, both)}
        small = [small for small, _ in shown]
        assert small == sorted(small, reverse=True)
        assert set(small) == {True, False}
        assert len(list((tmp_path / "stage" / "previews").glob("*.png"))) == 10
        assert not stage.small

    def test_a_finished_folder_paints_at_full_size_as_the_enhancer_does(self, tmp_path: Path) -> None:
        self.train(tmp_path / "stage")
        stage = load_stage(tmp_path / "stage", device="cpu")
        assert isinstance(stage, Pix2PixTranslator)
        assert isinstance(stage.generator, HDGenerator)
        labels, fov = maps(32)
        photos = stage.translate(labels[:, :1], fov, rngs=sample_rngs(0, 2))
        wanted = torch.cat([stage.generator(labels[i : i + 1, :1], fov[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(photos, (wanted + 1) / 2)

    def test_the_whole_is_painted_better_for_having_learned(self, tmp_path: Path) -> None:
        """Thirty times as many steps bring the photographs much nearer to the real ones."""
        rows = []
        for images in (8, 240):
            folder = tmp_path / str(images)
            self.train(folder, seen_images=images, l1_weight=100.0, learning_rate=2e-3, preview_every=images)
            rows.append(json.loads((folder / "log.jsonl").read_text().splitlines()[-1]))
        assert rows[1]["l1"] < rows[0]["l1"] / 2


def state(stage: Stage) -> dict[str, Tensor]:
    return {f"{name}.{k}": v for name, net in stage.networks().items() for k, v in net.state_dict().items()}


KILLED = """
import os, signal, sys
from retina_core.testing import tiny_eyes
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions

class Kill:
    def say(self, line): pass
    def progress(self, progress):
        if progress.done >= int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

options = FitOptions(device="cpu", precision="fp32", listener=Kill())
fit("pix2pix", tiny_eyes(), sys.argv[1], preset="quick", settings={settings!r}, options=options)
"""
