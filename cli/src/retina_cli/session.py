"""What one call of ``retina`` works with."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retina_core.registry import Registry


class Session:
    """The plugins of this call, read when first needed; click hands it along as its context's object."""

    @cached_property
    def registry(self) -> Registry:
        """What is installed, with the command's own names kept from plugins."""
        from retina_cli.main import COMMANDS
        from retina_core.registry import Registry

        return Registry.discover(reserved_commands=COMMANDS)
