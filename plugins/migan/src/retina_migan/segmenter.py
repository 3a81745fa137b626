"""MI-GAN in the role of a segmenter: the generator turned around, and a critic of what it finds.

Iqbal and Ali 2018, J. Med. Syst. 42:231, "Segmentation technique". Its generator turned around takes no noise code here:
equation 5 has none (equation 6 writes one), and what is found in a photograph should not be drawn by lot. A sigmoid for each
channel in place of tanh, since equation 5 takes the logarithm of what comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from retina_core.optimizers import fused_adam
from retina_core.roles import Segmenter
from retina_core.stages import Batch, LearningStage, Phase
from retina_core.tiling import in_tiles, over_turns
from retina_core.training.feed import photo_statistics
from retina_core.training.previews import label_picture, side_by_side
from retina_migan.critics import Critic, layers_of
from retina_migan.network import EncoderDecoder
from retina_migan.segmenter_config import MIGANSegmenterConfig
from retina_migan.segmenter_losses import adversarial_loss, critic_loss, segmentation_loss

if TYPE_CHECKING:
    from retina_core.training.context import StepContext


class MIGANSegmenter(LearningStage, Segmenter):
    """Label probabilities of photographs by an encoder-decoder that learnt to convince a critic."""

    name: ClassVar[str] = "migan"
    averaged: ClassVar[tuple[str, ...]] = ("generator",)
    masks_absent: ClassVar[bool] = True
    previews: ClassVar[int] = 4
    config: MIGANSegmenterConfig

    def __init__(self, config: MIGANSegmenterConfig, channels: Sequence[str]) -> None:
        super().__init__(config, channels)
        self.generator = EncoderDecoder(
            f_in=self.image_channels,
            f_out=len(self.channels),
            resolution=1 << (config.resolution.bit_length() - 1),  # the power of two that it holds
            width=config.width,
            max_width=config.max_width,
            skips=config.skips,
        )
        self.critic = self._new_critic() if config.critic != "none" else None
        self._critic_lost = torch.zeros(())

    def networks(self) -> dict[str, nn.Module]:
        """The segmenter, and its critic where it has one."""
        judged: dict[str, nn.Module] = {"critic": self.critic} if self.critic else {}
        return {"generator": self.generator, **judged}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """Adam for each."""
        config = self.config
        rates = (config.learning_rate, config.discriminator_learning_rate)
        return {
            name: fused_adam(network, rate, (config.beta1, config.beta2))
            for (name, network), rate in zip(self.networks().items(), rates, strict=False)
        }

    def plan(self, seen_images: int) -> Phase:
        """One phase, of patches or whole photographs."""
        phase = super().plan(seen_images)
        return Phase(phase.resolution, phase.batch_size, phase.learning_rates, patch_px=self.config.patch_px)

    def channel_dims(self) -> Mapping[str, int]:
        """The layers that give a logit for each channel, and that look at one."""
        dims = {"generator.head.weight": 1, "generator.head.bias": 0}
        return {**dims, "critic.convolutions.0.weight": 1} if self.critic else dims

    def training_step(self, batch: Batch, context: StepContext) -> dict[str, Tensor]:
        """Update both on photographs (b c h w) and soft labels (b k h w); return detached losses."""
        labels, fov, photos = context.augment(batch)
        shown = _normalised(photos, fov, batch.photo_mean, batch.photo_std)
        logits = self._logits(shown)  # b k h w

        present = batch.present.float()
        entropy = segmentation_loss(logits, labels, fov, present)
        loss, scalars = self.config.segmentation_weight * entropy, {"segmentation": entropy.detach()}

        if self.critic is not None:
            # A channel that was not annotated is black in both, so that the critic cannot tell maps by it.
            known = fov * present[:, :, None, None]  # b k h w
            found, drawn = logits.sigmoid() * known, labels * known
            if context.seen_images // context.phase.batch_size % self.config.generator_updates == 0:
                self._descend_critic(context, shown, drawn, found.detach())
            fooled = adversarial_loss(self.critic(found, shown).float())
            loss = loss + fooled
            scalars |= {"adversarial": fooled.detach(), "critic": self._critic_lost}

        context.descend("generator", loss)
        return scalars

    def _descend_critic(self, context: StepContext, shown: Tensor, drawn: Tensor, found: Tensor) -> None:
        if self.critic is not None:
            lost = critic_loss(self.critic(drawn, shown).float(), self.critic(found, shown).float())
            context.descend("critic", lost)
            self._critic_lost = lost.detach()

    def rehearse(self, batch: Batch, context: StepContext) -> None:
        """One pass of the averaged network, for its batch statistics."""
        _, fov, photos = context.augment(batch)
        self._logits(_normalised(photos, fov, batch.photo_mean, batch.photo_std))

    @torch.no_grad()
    def segment(self, photos: Tensor, fov: Tensor) -> Tensor:
        """Probabilities (b k h w), 0 outside the fov; photographs larger than ``resolution`` in tiles."""
        return self._segment(photos.to(self.device), fov.to(self.device), turns=self.config.test_turns)

    def probabilities(self, photos: Tensor, fov: Tensor) -> Tensor:
        """As ``segment``, once and with gradients to the photographs."""
        return self._segment(photos, fov, turns=False)

    def features(self, photos: Tensor) -> list[Tensor]:
        """The encoder's maps, fine ones first; each photograph is normalised where it is not black, as in training."""
        fov = (photos.amax(dim=1, keepdim=True) > 0).to(photos.dtype)  # b 1 h w
        return self.generator.encode(self._padded(_normalised(photos, fov, *photo_statistics(photos, fov))))

    def preview(self, batch: Batch, rngs: Sequence[torch.Generator]) -> Tensor:
        """Annotated maps beside those found; the photographs themselves are not shown."""
        found = self._segment(batch.photos, batch.fov, turns=False)
        return side_by_side(label_picture(batch.labels), label_picture(found))

    def extra_state(self) -> dict[str, Any]:
        """What the critic lost last, which the steps between its updates log."""
        return {"critic": self._critic_lost} if self.critic else {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        if self.critic:
            self._critic_lost = state["critic"].to(self.device)

    def _new_critic(self) -> Critic:
        config = self.config
        layers = layers_of(config.critic, config.shown_px, config.critic_width)
        return Critic(len(self.channels) + self.image_channels, layers)

    def _segment(self, photos: Tensor, fov: Tensor, *, turns: bool) -> Tensor:
        x = _normalised(photos, fov, *photo_statistics(photos, fov))

        def tiled(whole: Tensor) -> Tensor:
            return in_tiles(
                lambda tile: self._logits(tile).sigmoid(),
                whole,
                self.config.resolution,
                self.generator.size_multiple,
            )

        return (over_turns(tiled, x) if turns else tiled(x)) * fov

    def _logits(self, shown: Tensor) -> Tensor:
        """Of photographs of any size (b c h w): (b k h w)."""
        height, width = shown.shape[-2:]
        found: Tensor = self.generator(self._padded(shown))
        return found[..., :height, :width].float()

    def _padded(self, shown: Tensor) -> Tensor:
        """With black to the right and below, so that the sides can be halved as often as the network does."""
        multiple = self.generator.size_multiple
        height, width = (-side % multiple for side in shown.shape[-2:])
        return F.pad(shown, (0, width, 0, height)) if width or height else shown


def _normalised(photos: Tensor, fov: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Photographs as z-scores of their own channels, 0 outside the fov ("z-score for each channel")."""
    return ((photos - mean) / std * fov).contiguous(memory_format=torch.channels_last)
