"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import StageSpec, hookimpl


@hookimpl
def retina_image_translators() -> Sequence[StageSpec]:
    """pix2pix paints a photograph over a label map."""
    return (
        StageSpec(
            name="pix2pix",
            role="image-translator",
            target="retina_pix2pix.stage:Pix2PixTranslator",
            config="retina_pix2pix.config:Pix2PixConfig",
            summary="Conditional GAN from label maps and field of view to photographs, as SynthMed's second stage",
            paper="Isola et al. 2017, arXiv 1611.07004; Costa et al. 2017, arXiv 1701.08974; hd: Wang et al. 2018, arXiv 1711.11585",
            api=">=1.0,<2",
        ),
    )
