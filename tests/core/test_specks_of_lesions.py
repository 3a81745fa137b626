"""What is removed as a speck: nothing that real eyes have, above all no microaneurysm of a pixel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retina_core.config import DataConfig
from retina_core.data.prepare import prepare
from retina_core.data.readers.idrid import IDRiDReader
from retina_core.maps import remove_specks
from retina_core.training.priors import SPECK_LESIONS, SPECK_LOSS, priors_of, speck_area

AREAS = st.lists(st.integers(1, 400), min_size=1, max_size=300).map(lambda values: np.array(values, np.int64))
DATA = Path(os.environ.get("RETINA_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


@given(AREAS)
@settings(max_examples=40)
def test_of_a_lesion_hardly_any_true_piece_is_a_speck(areas: np.ndarray) -> None:
    speck = speck_area(areas, "haemorrhage")
    assert np.count_nonzero(areas < speck) <= SPECK_LESIONS * len(areas)
    assert speck <= speck_area(areas, "vessel")


@given(AREAS, st.sampled_from(["vessel", "artery", "vein", "optic_disc", "optic_cup", "fovea"]))
@settings(max_examples=40)
def test_of_anatomy_specks_are_what_holds_hardly_anything_of_the_area(
    areas: np.ndarray, channel: str
) -> None:
    ordered = np.sort(areas)
    small = ordered[ordered.cumsum() <= SPECK_LOSS * ordered.sum()]
    assert speck_area(areas, channel) == (small.max() if len(small) else ordered[0] / 2)


def test_nothing_marked_has_no_specks() -> None:
    assert speck_area(np.zeros(0, np.int64), "drusen") == 0


@pytest.mark.skipif(not (DATA / "IDRiD").is_dir(), reason="IDRiD is not there")
def test_lesions_of_real_eyes_stay(tmp_path: Path) -> None:
    """By the area alone, 6 in 100 of these haemorrhages would be removed at this size."""
    folder = next((DATA / "IDRiD").glob("A*"))
    lesions = ("microaneurysm", "haemorrhage")
    dataset = IDRiDReader().read(folder, [], DataConfig.resolve("data", "quick", {"channels": list(lesions)}))
    eyes = [sample for sample in dataset.samples if sample.official == "train"][:12]
    prepared = prepare(eyes, lesions, 256, tmp_path)
    shares = priors_of(prepared, lesions).speck_shares
    for place, lesion in enumerate(lesions):
        speck_px = round(shares[lesion] * 256**2)
        maps = np.asarray(prepared.labels[:, place]) > 85
        kept = np.stack([remove_specks(one, speck_px) for one in maps])
        assert kept.sum() >= 0.999 * maps.sum()
        assert speck_px <= 1
