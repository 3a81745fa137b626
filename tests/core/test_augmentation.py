import torch

from retina_core.randomness import sample_rngs
from retina_core.training.augmentation import Augmentation


def disc(count: int = 4, side: int = 48) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A fov disc, a random blob map, and a photograph that shows the map itself in each colour."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    fov = (
        ((rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (0.4 * side) ** 2)
        .float()
        .expand(count, 1, -1, -1)
    )
    coarse = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear") * fov
    return labels, fov, labels.expand(-1, 3, -1, -1).clone()


ALL = Augmentation(
    flips="both", quarter_turns=True, rotation_degrees=20, scale=0.2, shift=0.1, elastic=3.0, colour=0.0
)


def test_labels_fov_and_photographs_move_alike() -> None:
    labels, fov, photos = ALL(*disc(), sample_rngs(0, 4))
    for colour in range(3):
        torch.testing.assert_close(photos[:, colour], labels[:, 0], atol=1e-6, rtol=0)
    assert float((labels * (1 - fov)).abs().max()) == 0
    assert set(fov.unique().tolist()) == {0.0, 1.0}


def test_something_does_move() -> None:
    before, after = disc()[0], ALL(*disc(), sample_rngs(0, 4))[0]
    assert all(float((before[i] - after[i]).abs().mean()) > 0.01 for i in range(4))


def test_the_same_generators_move_alike_in_any_batch() -> None:
    whole = ALL(*disc(), sample_rngs(3, 4))[0]
    part = ALL(*(x[2:3] for x in disc()), sample_rngs(3, 1, start=2))[0]
    torch.testing.assert_close(whole[2], part[0], atol=1e-6, rtol=0)


def test_flips_and_turns_lose_nothing() -> None:
    exact = Augmentation(flips="both", quarter_turns=True)
    before, after = disc()[0], exact(*disc(), sample_rngs(1, 4))[0]
    torch.testing.assert_close(
        before.flatten(1).sort(1).values, after.flatten(1).sort(1).values, atol=0, rtol=0
    )


def test_nothing_asked_nothing_changed() -> None:
    labels, fov, photos = disc()
    after = Augmentation()(labels, fov, photos, sample_rngs(0, 4))
    assert torch.equal(after[0], labels)
    assert torch.equal(after[2], photos * fov)


def test_a_rotation_turns_about_the_centre() -> None:
    turned = Augmentation(rotation_degrees=180)(*disc(), sample_rngs(0, 4))[1]
    torch.testing.assert_close(turned.mean((1, 2, 3)), disc()[1].mean((1, 2, 3)), atol=0.01, rtol=0)


def test_colour_changes_photographs_and_not_labels() -> None:
    labels, fov, photos = disc()
    after = Augmentation(colour=0.3)(labels, fov, photos, sample_rngs(0, 4))
    assert torch.equal(after[0], labels)
    assert not torch.equal(after[2], photos)
    assert float((after[2] * (1 - fov)).abs().max()) == 0
    assert 0 <= float(after[2].min()) <= float(after[2].max()) <= 1
