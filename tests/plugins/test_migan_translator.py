"""The numbers that MI-GAN's paper prints, its losses by hand, and its noise."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from retina_core.randomness import sample_rngs
from retina_core.stages import Batch
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.processes import Processes
from retina_migan.config import MIGANConfig
from retina_migan.losses import deviation, discriminator_loss, generator_loss
from retina_migan.network import EncoderDecoder, features_at, inner_sizes
from retina_migan.stage import MIGANTranslator

TINY = {
    "resolution": 32,
    "width": 4,
    "max_width": 8,
    "code": 8,
    "code_width": 4,
    "discriminator_width": 4,
    "batch_size": 2,
    "flips": "none",
    "rotation_degrees": 0.0,
    "scale": 0.0,
}


def stage(**settings: Any) -> MIGANTranslator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = MIGANTranslator(MIGANConfig.resolve("migan", "quick", {**TINY, **settings}), ("vessel",))
    made.move_to("cpu")
    return made


def batch(count: int = 2, px: int = 32) -> Batch:
    rng = torch.Generator().manual_seed(1)
    return Batch(
        labels=(torch.rand(count, 1, px, px, generator=rng) > 0.8).float(),
        fov=torch.ones(count, 1, px, px),
        photos=torch.rand(count, 3, px, px, generator=rng),
        present=torch.ones(count, 1, dtype=torch.bool),
        photo_mean=torch.zeros(count, 3, 1, 1),
        photo_std=torch.ones(count, 3, 1, 1),
        grades=torch.full((count,), -1),
    )


class Counted(StepContext):
    """Notes which network steps down what, in which order."""

    def descend(self, name: str, loss: Tensor, *, share: float = 1.0) -> None:
        self.order = [*getattr(self, "order", []), name]
        self.losses = [*getattr(self, "losses", []), float(loss.detach())]
        super().descend(name, loss, share=share)


def context(made: MIGANTranslator, count: int = 2) -> Counted:
    learner = Learner.of(made, Processes())
    return Counted(learner, made.plan(0), 0, sample_rngs(0, count), Augmentation.of(made.config))


@pytest.fixture(scope="module")
def paper() -> MIGANTranslator:
    """At 512 px, of the preset ``paper``; nothing is computed."""
    with torch.device("meta"):
        return MIGANTranslator(MIGANConfig.resolve("migan", "paper"), ("vessel",))


class TestPaper:
    def test_64_features_at_256_px_and_512_from_16_px_inward(self, paper: MIGANTranslator) -> None:
        found = {px: down.norm.num_features for px, down in paper.generator.body.encoder.items()}  # type: ignore[union-attr]
        assert found == {"256": 64, "128": 64, "64": 128, "32": 256, "16": 512, "8": 512}

    def test_the_first_join_has_768_features_and_gives_512_at_16_px(self, paper: MIGANTranslator) -> None:
        body = paper.generator.body
        assert body.code is not None
        assert (body.code.in_features, body.code.out_features) == (400, 8 * 8 * 256)
        assert body.decoder["16"].convolution.weight.shape == (768, 512, 4, 4)  # type: ignore[union-attr]

    def test_odd_numbered_layers_are_not_joined(self, paper: MIGANTranslator) -> None:
        assert paper.generator.body.joined == (32, 128)

    def test_the_discriminator_doubles_from_32_to_512_features(self, paper: MIGANTranslator) -> None:
        found = [layer.norm.num_features for layer in paper.discriminator.layers.values()]  # type: ignore[union-attr]
        assert found == [32, 64, 128, 256, 512]

    def test_every_convolution_is_4_by_4_in_steps_of_two_and_nothing_pools(
        self, paper: MIGANTranslator
    ) -> None:
        modules = [m for network in paper.networks().values() for m in network.modules()]
        kinds = (nn.Conv2d, nn.ConvTranspose2d)
        shapes = {(m.kernel_size, m.stride) for m in modules if isinstance(m, kinds)}
        assert shapes == {((4, 4), (2, 2))}
        assert not any("Pool" in type(m).__name__ for m in modules)

    def test_its_settings_are_the_papers(self, paper: MIGANTranslator) -> None:
        config = paper.config
        assert (config.training_noise, config.painting_noise, config.generator_updates) == (0.001, 1, 2)
        assert (config.learning_rate, config.discriminator_learning_rate) == (2e-4, 2e-4)
        assert (config.l1_weight, config.style_weight) == (10, 10)
        assert (config.content_weight, config.variation_weight, config.segmentation_weight) == (1, 100, 1)

    def test_small_networks_are_allowed_more_variation(self) -> None:
        for preset in ("quick", "standard"):
            assert MIGANConfig.resolve("migan", preset).variation_weight == 10


class TestNetwork:
    @pytest.mark.parametrize("skips", ["even", "all"])
    @pytest.mark.parametrize("px", [16, 32, 64])
    def test_it_gives_back_the_size_that_it_takes(self, px: int, skips: Any) -> None:
        network = EncoderDecoder(
            f_in=2, f_out=3, resolution=px, width=4, max_width=8, skips=skips, code=5, code_width=4
        )
        assert network(torch.zeros(2, 2, px, px), torch.zeros(2, 5)).shape == (2, 3, px, px)

    def test_turned_around_and_without_noise_it_takes_any_multiple(self) -> None:
        network = EncoderDecoder(f_in=3, f_out=1, resolution=32, width=4, max_width=8)
        assert network.size_multiple == 4
        assert network(torch.zeros(1, 3, 20, 44)).shape == (1, 1, 20, 44)

    def test_features_depend_on_a_maps_size_alone(self) -> None:
        assert [features_at(px, 64, 512) for px in (512, 256, 128, 64, 32, 16, 8)] == [
            *(64, 64, 64),
            *(128, 256, 512, 512),
        ]
        assert inner_sizes(256) == inner_sizes(512)[1:]

    def test_other_sizes_are_refused(self) -> None:
        for px in (8, 48):
            with pytest.raises(ValueError, match="power of two from 16 px"):
                inner_sizes(px)


class TestLosses:
    def test_the_games_are_logarithms_of_a_sigmoid(self) -> None:
        """Equations 3 and 4, in the logits 0 and ln 3, whose sigmoids are 1/2 and 3/4."""
        half, most = torch.tensor([0.0]), torch.tensor([math.log(3)])
        assert float(generator_loss(most)) == pytest.approx(-math.log(0.75))
        assert float(discriminator_loss(most, half)) == pytest.approx(-math.log(0.75) - math.log(0.5))

    def test_the_deviation_is_the_mean_absolute_one(self) -> None:
        painted, photo = torch.tensor([[[[0.5, -1.0]]]]), torch.tensor([[[[-0.5, -1.0]]]])
        assert float(deviation(painted, photo)) == 0.5

    def test_a_step_goes_down_the_sum_of_equation_3(self) -> None:
        made = stage(l1_weight=10.0, gan_weight=0.5)
        step = context(made)
        told = made.training_step(batch(), step)
        assert step.losses[1] == pytest.approx(0.5 * float(told["g"]) + 10 * float(told["l1"]), rel=1e-5)


class TestStep:
    def test_the_generator_is_updated_twice_for_each_update_of_the_discriminator(self) -> None:
        made = stage()
        step = context(made)
        told = made.training_step(batch(), step)
        assert step.order == ["generator", "generator", "discriminator"]
        assert set(told) == {"d", "g", "l1"}
        assert not any(value.requires_grad for value in told.values())

    def test_every_weight_learns(self) -> None:
        made = stage()
        before = {
            k: p.detach().clone() for net in made.networks().values() for k, p in net.named_parameters()
        }
        made.training_step(batch(), context(made))
        same = [
            k for net in made.networks().values() for k, p in net.named_parameters() if p.equal(before[k])
        ]
        assert same == []


class TestNoise:
    def painted(self, made: MIGANTranslator, seeds: tuple[int, int]) -> Tensor:
        eyes = batch()
        return torch.cat(
            [made.translate(eyes.labels[:1], eyes.fov[:1], rngs=sample_rngs(seed, 1)) for seed in seeds]
        )

    def test_one_map_gives_many_eyes(self) -> None:
        made = stage(painting_noise=10.0)  # the weights of an untrained network are small
        made.eval_mode()
        one, other = self.painted(made, (0, 1))
        assert float((one - other).abs().mean()) > 1e-4
        again, _ = self.painted(made, (0, 1))
        assert torch.equal(one, again)

    def test_without_noise_a_photograph_is_a_function_of_its_map(self) -> None:
        made = stage(painting_noise=0.0)
        made.eval_mode()
        one, other = self.painted(made, (0, 1))
        assert torch.equal(one, other)

    def test_training_draws_it_with_another_deviation_than_painting(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made, codes = stage(training_noise=0.001), []
        forward = made.generator.forward

        def noted(labels: Tensor, fov: Tensor, code: Tensor, statistics: Tensor | None = None) -> Tensor:
            codes.append(code)
            return forward(labels, fov, code, statistics)

        monkeypatch.setattr(made.generator, "forward", noted)
        made.training_step(batch(), context(made))
        made.eval_mode()
        made.translate(batch().labels, batch().fov, rngs=sample_rngs(0, 2))
        trained, drawn = [code.std().item() for code in codes[:2]], codes[2].std().item()
        assert max(trained) < 0.003
        assert 0.5 < drawn < 2
        assert not torch.equal(codes[0], codes[1]), "each update draws its own"

    def test_many_are_painted_as_few_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made, eyes = stage(), batch(3)
        made.eval_mode()
        whole = made.translate(eyes.labels, eyes.fov, rngs=sample_rngs(0, 3))
        monkeypatch.setattr("retina_migan.stage.TOGETHER_PX", 32)
        parts = made.translate(eyes.labels, eyes.fov, rngs=sample_rngs(0, 3))
        torch.testing.assert_close(whole, parts, atol=1e-5, rtol=0)
