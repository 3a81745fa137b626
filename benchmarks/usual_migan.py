"""MI-GAN's translator as it is usually written: Iqbal and Ali 2018, J. Med. Syst. 42:231.

The same networks and losses as ours, float32, default layout, eager, Adam one tensor at a time. Each update makes a
generator pass of its own, the discriminator's too, and lets the generator's update compute the discriminator's gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor
from usual import Step, usual_network

from retina_core.stages import Batch
from retina_migan.losses import deviation, discriminator_loss, generator_loss
from retina_migan.stage import MIGANTranslator


def migan_step(stage: MIGANTranslator, batch: Batch) -> Step:
    """MI-GAN's step, without styles and without features of a borrowed network."""
    config, betas = stage.config, (stage.config.beta1, stage.config.beta2)
    generator, discriminator = usual_network(stage.generator), usual_network(stage.discriminator)
    g_adam = torch.optim.Adam(generator.parameters(), config.learning_rate, betas)
    d_adam = torch.optim.Adam(discriminator.parameters(), config.discriminator_learning_rate, betas)
    labels, fov, real = batch.labels, batch.fov, batch.photos * 2 - 1

    def paint() -> Tensor:
        painted: Tensor = generator(labels, fov, torch.randn(len(batch), config.code) * config.training_noise)
        return painted

    def step() -> None:
        for _ in range(config.generator_updates):
            fake = paint()
            loss = config.gan_weight * generator_loss(discriminator(labels, fov, fake))
            g_adam.zero_grad()
            (loss + config.l1_weight * deviation(fake, real)).backward()
            g_adam.step()

        with torch.no_grad():
            fake = paint()
        d_adam.zero_grad()
        discriminator_loss(discriminator(labels, fov, real), discriminator(labels, fov, fake)).backward()
        d_adam.step()

    return step
