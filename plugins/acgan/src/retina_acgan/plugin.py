"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import StageSpec, hookimpl


@hookimpl
def retina_label_generators() -> Sequence[StageSpec]:
    """ACGAN draws label maps of an asked grade from noise."""
    return (
        StageSpec(
            name="acgan",
            role="label-generator",
            target="retina_acgan.stage:ACGANLabels",
            config="retina_acgan.config:ACGANConfig",
            summary="Auxiliary classifier GAN for lesion maps of an asked grade of diabetic retinopathy",
            paper="Odena et al. 2017, arXiv 1610.09585; Son et al. 2021",
            api=">=1.0,<2",
            starter="retina_acgan:starter",
        ),
    )
