"""What this plugin offers."""

from collections.abc import Sequence

from retina_core.api import StageSpec, hookimpl


@hookimpl
def retina_label_generators() -> Sequence[StageSpec]:
    """Phantoms draw label maps by rules of anatomy."""
    return (
        StageSpec(
            name="phantom",
            role="label-generator",
            target="retina_phantom.stage:PhantomLabels",
            config="retina_phantom.config:PhantomConfig",
            summary="Label maps of artificial eyes of any size, drawn without training: the yardstick",
            api=">=1.0,<2",
        ),
    )
