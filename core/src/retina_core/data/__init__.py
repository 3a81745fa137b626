"""Data sets: found by their layout, checked, split, cropped to the field of view and cached (no torch)."""
