from retina_core.testing import LabelGeneratorContract, PairGeneratorContract


class TestDCGAN(LabelGeneratorContract):
    stage = "dcgan"
    settings = {"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8, "latent": 8}


class TestDCGANPairs(PairGeneratorContract):
    stage = "dcgan"
    settings = {"resolution": 32, "width": 4, "max_width": 16, "discriminator_width": 4, "latent": 16}
