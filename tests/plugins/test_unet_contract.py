from retina_core.testing import EvaluatorContract, SegmenterContract

TINY = {"resolution": 32, "patch_px": 16, "width": 4, "depth": 2}


class TestUNet(SegmenterContract):
    stage = "unet"
    settings = TINY


class TestUNetEvaluator(EvaluatorContract):
    evaluator = "unet"
    settings = {**TINY, "seen_images": 8, "batch_size": 4}
