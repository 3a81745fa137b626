from retina_core.testing import LabelGeneratorContract


class TestPGAN(LabelGeneratorContract):
    """It grows twice, and is stopped in the middle of fading in."""

    stage = "pgan"
    settings = {
        "resolution": 32,
        "first_px": 8,
        "growth_share": 0.7,
        "largest_batch": 4,
        "width": 4,
        "max_width": 8,
        "latent": 8,
    }
