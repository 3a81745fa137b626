"""What is known of label channels by their names."""

from typing import Final

TREES: Final = frozenset({"vessel", "artery", "vein"})
"""Channels of lines that branch: they have a centreline, and must hold together."""
