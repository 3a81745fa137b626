"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import CommandSpec, StageSpec, hookimpl

PAPER = "Iqbal and Ali 2018, J. Med. Syst. 42:231"


@hookimpl
def retina_image_translators() -> Sequence[StageSpec]:
    """MI-GAN paints a photograph over a label map, in the manner of others where it is asked to."""
    return (
        StageSpec(
            name="migan",
            role="image-translator",
            target="retina_migan.stage:MIGANTranslator",
            config="retina_migan.config:MIGANConfig",
            summary="Encoder-decoder with a noise code, and style transfer from photographs without annotations",
            paper=PAPER,
            api=">=1.0,<2",
        ),
    )


@hookimpl
def retina_segmenters() -> Sequence[StageSpec]:
    """The generator turned around finds label maps in photographs, trained against a critic of them."""
    return (
        StageSpec(
            name="migan",
            role="segmenter",
            target="retina_migan.segmenter:MIGANSegmenter",
            config="retina_migan.segmenter_config:MIGANSegmenterConfig",
            summary="Encoder-decoder that finds label maps, trained against a critic of pixels, patches or pictures",
            paper=PAPER,
            api=">=1.0,<2",
        ),
    )


@hookimpl
def retina_commands() -> Sequence[CommandSpec]:
    """The paper's table 1."""
    return (
        CommandSpec(
            name="compare-critics",
            target="retina_migan.compare:compare_critics",
            summary="Train the segmenter migan against each critic, and compare what they find.",
            api=">=1.0,<2",
        ),
    )
