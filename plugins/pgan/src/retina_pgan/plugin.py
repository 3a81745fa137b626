"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import StageSpec, hookimpl


@hookimpl
def retina_label_generators() -> Sequence[StageSpec]:
    """PGAN draws label maps from noise."""
    return (
        StageSpec(
            name="pgan",
            role="label-generator",
            target="retina_pgan.stage:PGANLabels",
            config="retina_pgan.config:PGANConfig",
            summary="Progressively grown GAN for label maps of 8 to 1024 px, for a handful of samples too",
            paper="Karras et al. 2018, arXiv 1710.10196; Andreini et al. 2019, arXiv 1907.12296",
            api=">=1.0,<2",
            starter="retina_pgan:starter",
        ),
    )
