"""The evaluators of the core that a run adds by itself (no torch)."""

from typing import Final

LIKENESS: Final = "likeness"
"""Are pairs like real ones, and no copies? In every run."""
GRADES: Final = "grades"
"""Do grades show? Where there are some."""
ADDED: Final = (LIKENESS, GRADES)
"""They can be set without being named."""
