"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import StageSpec, hookimpl


@hookimpl
def retina_label_generators() -> Sequence[StageSpec]:
    """DCGAN draws label maps from noise."""
    return (
        StageSpec(
            name="dcgan",
            role="label-generator",
            target="retina_dcgan.stage:DCGANLabels",
            config="retina_dcgan.config:DCGANConfig",
            summary="Deep convolutional GAN for label maps of 32 to 512 px, as SynthMed's first stage",
            paper="Radford et al. 2016, arXiv 1511.06434; Guibas et al. 2017, arXiv 1709.01872",
            api=">=1.0,<2",
        ),
    )
