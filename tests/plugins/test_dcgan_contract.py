from retina_core.testing import LabelGeneratorContract


class TestDCGAN(LabelGeneratorContract):
    stage = "dcgan"
    settings = {"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8, "latent": 8}
