from retina_core.testing import LabelGeneratorContract


class TestACGAN(LabelGeneratorContract):
    """It is trained at two sizes, and is stopped at the second."""

    stage = "acgan"
    settings = {"resolution": 32, "first_px": 16, "width": 4, "max_width": 8, "latent": 8}
