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


@hookimpl
def retina_pair_generators() -> Sequence[StageSpec]:
    """DCGAN draws label maps and photographs together: SynthMed's single GAN, which its two stages are compared with."""
    return (
        StageSpec(
            name="dcgan",
            role="pair-generator",
            target="retina_dcgan.stage:DCGANPairs",
            config="retina_dcgan.config:DCGANPairsConfig",
            summary="One GAN for label maps and photographs together, SynthMed's point of comparison",
            paper="Radford et al. 2016, arXiv 1511.06434; Guibas et al. 2017, arXiv 1709.01872",
            api=">=1.0,<2",
        ),
    )
