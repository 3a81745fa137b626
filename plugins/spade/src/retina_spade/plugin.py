"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import StageSpec, hookimpl


@hookimpl
def retina_image_translators() -> Sequence[StageSpec]:
    """SPADE paints a photograph over a label map, in as many manners as its style encoder has learnt."""
    return (
        StageSpec(
            name="spade",
            role="image-translator",
            target="retina_spade.stage:SPADETranslator",
            config="retina_spade.config:SPADEConfig",
            summary="Conditional GAN whose every norm is set by the label map, with a style encoder for variety",
            paper="Park et al. 2019, arXiv 1903.07291; Son et al. 2021",
            api=">=1.0,<2",
            starter="retina_spade:starter",
        ),
    )
