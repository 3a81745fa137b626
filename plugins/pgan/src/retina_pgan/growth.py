"""When a stage grows: a function of its config and the images seen, and of nothing else.

Karras et al. 2018, arXiv 1710.10196, appendix A.1: phases of equal length take turns, in which the layers of the next
size are faded in, and in which all layers then learn together; the rest of the training is for the full size.
"""

from __future__ import annotations

from retina_pgan.config import PGANConfig
from retina_pgan.network import Growth


def growth_at(config: PGANConfig, seen_images: int, *, adopted_px: int = 0) -> Growth:
    """How far a stage has grown once it saw so many images; weights of ``adopted_px`` spare it the way up to there."""
    last = config.resolution
    first = min(max(config.first_px, adopted_px), last)
    doublings = (last // first).bit_length() - 1
    # Steady at the first size, then fade and steady at each further one; the last steady phase is the rest.
    phase_images = config.growth_share * config.seen_images / max(2 * doublings, 1)
    if not doublings or seen_images >= 2 * doublings * phase_images:
        return Growth(last)
    phase, into = divmod(seen_images, phase_images)
    px = first << (int(phase) + 1) // 2
    return Growth(px, into / phase_images if int(phase) % 2 else 1.0)


def batch_size_at(config: PGANConfig, px: int) -> int:
    """Maps in one step at a size: twice as many at each coarser one, up to ``largest_batch``."""
    return max(min(config.batch_size * (config.resolution // px), config.largest_batch), config.batch_size)
