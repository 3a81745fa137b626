"""The scale of diabetic retinopathy."""

from typing import Final

GRADES: Final = (0, 1, 2, 3, 4)
"""None, mild, moderate, severe, proliferative: the International Clinical Diabetic Retinopathy scale (Wilkinson et al. 2003)."""
