from retina_core.testing import PairGeneratorContract


class TestDCGANPairs(PairGeneratorContract):
    stage = "dcgan"
    settings = {"resolution": 32, "width": 4, "max_width": 16, "discriminator_width": 4, "latent": 16}
