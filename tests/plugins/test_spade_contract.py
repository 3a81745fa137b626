from retina_core.testing import ImageTranslatorContract

TINY = {
    "resolution": 32,
    "width": 4,
    "width_px": 32,
    "max_width": 8,
    "hidden": 4,
    "discriminator_width": 4,
    "latent": 4,
    "style_width": 4,
    "style_px": 16,
    "preview_every": 12,  # 16 photographs each, and with batch norm 16 rehearsals before
}


class TestSPADE(ImageTranslatorContract):
    stage = "spade"
    settings = TINY
