"""What the core asks of a segmenter and of an evaluator, with the critic that the paper found best."""

from retina_core.testing import EvaluatorContract, SegmenterContract

TINY = {"resolution": 32, "patch_px": 16, "width": 4, "max_width": 8, "critic_width": 4}


class TestMIGANSegmenter(SegmenterContract):
    stage = "migan"
    settings = TINY


class TestMIGANEvaluator(EvaluatorContract):
    evaluator = "migan"
    settings = {**TINY, "seen_images": 8, "batch_size": 4}
