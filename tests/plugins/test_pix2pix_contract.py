from retina_core.testing import ImageTranslatorContract


class TestPix2Pix(ImageTranslatorContract):
    stage = "pix2pix"
    settings = {"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8}
