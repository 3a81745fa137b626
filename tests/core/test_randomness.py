import torch
from hypothesis import given
from hypothesis import strategies as st

from retina_core.randomness import SampleDropout, normal, sample_rngs, sample_seed


@given(seed=st.integers(0, 2**63), start=st.integers(0, 2**31))
def test_no_two_samples_of_a_run_share_a_seed(seed: int, start: int) -> None:
    seeds = [sample_seed(seed, "labels", index) for index in range(start, start + 500)]
    assert len(set(seeds)) == 500
    assert all(0 <= value < 2**32 for value in seeds)


def test_seeds_differ_by_run_stream_and_attempt() -> None:
    seeds = {
        sample_seed(run, stream, 5, attempt) for run in (0, 1, 2**32) for stream in "ab" for attempt in (0, 1)
    }
    assert len(seeds) == 12


def test_a_row_depends_on_its_own_generator_alone() -> None:
    together = normal(sample_rngs(7, 6), 4, 3)
    assert torch.equal(together[4], normal(sample_rngs(7, 1, start=4), 4, 3)[0])


def test_dropout_keeps_the_mean_and_drops_the_share() -> None:
    x = torch.ones(4, 8, 32, 32)
    dropped = SampleDropout(0.25)(x, sample_rngs(0, 4))
    assert abs(float((dropped == 0).float().mean()) - 0.25) < 0.01
    assert abs(float(dropped.mean()) - 1) < 0.02


def test_dropout_without_generators_changes_nothing() -> None:
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(SampleDropout(0.5)(x, None), x)
