from retina_core.testing import ImageTranslatorContract

TINY = {
    "resolution": 32,
    "width": 4,
    "max_width": 8,
    "code": 8,
    "code_width": 4,
    "discriminator_width": 4,
    "preview_every": 12,  # 16 photographs each, and 16 rehearsals before
}


class TestMIGANTranslator(ImageTranslatorContract):
    stage = "migan"
    settings = TINY
