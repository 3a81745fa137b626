from retina_core.testing import ImageTranslatorContract


class TestPix2Pix(ImageTranslatorContract):
    stage = "pix2pix"
    settings = {"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8}


class TestPix2PixHD(ImageTranslatorContract):
    """Images 0 to 11 for the global generator alone, 12 to 15 for the enhancer, then both."""

    stage = "pix2pix"
    settings = {
        "variant": "hd",
        "resolution": 32,
        "width": 4,
        "max_width": 8,
        "downsamplings": 2,
        "blocks": 1,
        "local_blocks": 1,
        "discriminator_width": 4,
        "enhancer_share": 0.2,
        "dropout": 0.3,
    }
