"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import StageSpec, hookimpl


@hookimpl
def retina_segmenters() -> Sequence[StageSpec]:
    """U-Net finds label maps in photographs; through the core it is an evaluator too."""
    return (
        StageSpec(
            name="unet",
            role="segmenter",
            target="retina_unet.stage:UNetSegmenter",
            config="retina_unet.config:UNetConfig",
            summary="U-Net trained with cross-entropy and Dice, on patches or whole photographs",
            paper="Ronneberger et al. 2015, arXiv 1505.04597",
            api=">=1.0,<2",
        ),
    )
