"""What phantoms with diabetic retinopathy promise: the definitions of the grades, and an eye that stays the same."""

import hashlib
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from retina_core.phantom import CHANNELS, GRADES, LESIONS, PHANTOM_VERSION, phantom_eye, phantom_labels
from retina_core.phantom.disease import draw_disease
from retina_core.phantom.eye import EyeModel, eye_model
from retina_core.phantom.flow import fibre_heading
from retina_core.phantom.lesions import Disease, dealt_grade
from retina_core.phantom.streams import stream

SEED = 2024
EYES = range(12)
SPOTS = LESIONS[:4]

ARITHMETIC = "39eaa1a4741f3893ce617dec40cec3830879260c2a2151f07ab6341e2b894eca"
"""Of ``arithmetic`` where the digests below were taken."""

DIGESTS = {
    (20170, 0, 128): {
        "photo": "e1bf8887ac349900ed6e94109dadd8c312a58ae66be4eb5c4541d6340ba153b8",
        "fov": "516be741d1039afab5037f2c83df97a3ea02b6cd245d5279174485e3f44dd75b",
        "vessel": "24c30cdf12e3d4aa9cbca8c61f6c1d9d8083c635b16c0cef23a1602001797287",
        "optic_disc": "4d8cca074e3aeb37ac798df384e92753edcae6dd10fbed6f371701da7daa4be9",
    },
    (20171, 4, 128): {
        "photo": "34969496218b4993d84d1a3359a750b8e2bf351cc08a2cff0767682744bf2f8e",
        "fov": "ad2f9d1f3fad4d263c5b7e819e05078c2010fefb3d3dc2110a0064e34953fe52",
        "vessel": "979d8b264c991eaffd437a2968ac13725a6e9c305ddcb4620c854e859211db8f",
        "optic_disc": "6c8561df10be24a0c28b314e5e17587090ad9da17cbf272b2be0d03b6eab485d",
    },
    (20172, 7, 128): {
        "photo": "2a81d77afaed1415a54ab66fa4d576334068f6070aaee0b0ccbe479a97005c03",
        "fov": "28510c094d820e5bcd226fb4fd8008eebcf3ae35dddc97c08d4136119758899f",
        "vessel": "056fbf96279dc3dd4f8ded10210e9988a0cdc11615056491c1da16546ef3d08e",
        "optic_disc": "fa27d0a12fab9674c9dd1c297b6b0483861afaa5299644480195e8671982d0c0",
    },
    (2024, 1, 97): {
        "photo": "16dfe842e02d98a31514fbbbe5f80f1e31d202ea2939ec4f29f185093099f9ca",
        "fov": "30f318f5d504c31af0ceec059be12d2b486580c1ade38abfdb81b3dd96c27f16",
        "vessel": "5b0f6225db1157d20b12be003295385b2649b8b1b547cf62ac8cc8c04742c07d",
        "optic_disc": "b1a97d6714d57ee3937ab903e07c60f89905b448af17287458f615e6342ea52f",
    },
    (20170, 3, 256): {
        "photo": "c2d8eaefbf3e51183ac4a4363a0042cf896169401095daf59639d2d69f24a7af",
        "fov": "01f230bacc56254ad526a05ccc90a98848acf877ffd07d7271a89a35b562b613",
        "vessel": "98f5336642ad36ad42e3ffc6bf407109b1e81ba07962531d9078f535f1255578",
        "optic_disc": "02e18c1e19f4cdf7f09263f585f2bb454d415bcb5e31c679bcca410af1c693bd",
    },
}
"""SHA-256 of phantoms before they had any lesions, by seed, index and size."""

LABEL_DIGESTS = {
    "vessel": "b0c7dc00dc08655a8b208e2dd7239d1e059c511b40311e275e25cd33daba0a9a",
    "optic_disc": "0b707dc7cad859d86d61821cc48ad417cc1fbda14e5f1d1ab214e8f98876fff5",
    "artery": "d0be00dc1fd75474eef27bd808e4a6eeb4c55159dddb85f724346adc383d6b97",
    "fovea": "28cec712462298c3768ca8f875dfd3f0890c66d38fa7610c9afc268c79ee3594",
}
"""The same of ``phantom_labels(20173, 11, 128)``."""


def digest(array: NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def arithmetic() -> str:
    """What this machine and its numpy make of functions whose last bit is nobody's promise."""
    parts = []
    for kind in (np.float32, np.float64):
        x: NDArray[Any] = np.linspace(-4, 4, 4096).astype(kind)
        square = x.reshape(64, 64)
        parts += [np.exp(x), np.tanh(x), np.sin(x), np.cos(x), np.log1p(np.exp(x)), np.abs(x) ** 2.4]
        parts += [np.arctan2(x, x[::-1]), np.hypot(x, x[::-1]), square @ square, gaussian_filter(square, 1.3)]
    return digest(np.concatenate([part.ravel().astype(np.float64) for part in parts]))


@pytest.fixture(scope="module")
def models() -> list[EyeModel]:
    return [eye_model(SEED, index) for index in EYES]


@pytest.fixture(scope="module")
def diseases(models: list[EyeModel]) -> dict[int, list[Disease]]:
    """Grade -> the same eyes, each with a disease of that grade."""
    return {
        grade: [
            draw_disease(partial(stream, SEED, index), model.anatomy, model.camera, model.tree, grade)
            for index, model in zip(EYES, models, strict=True)
        ]
        for grade in GRADES
    }


def counts(diseases: list[Disease], lesion: str) -> NDArray[np.intp]:
    return np.array([disease.count(lesion) for disease in diseases])


def areas(diseases: list[Disease], lesion: str) -> NDArray[np.float64]:
    """mm² of an eye's lesions."""
    spots = [disease.spots[lesion] for disease in diseases]
    return np.array([np.pi * (one.half_length * one.half_width).sum() for one in spots])


def test_healthy_phantoms_are_the_same_to_the_last_bit_as_before_there_were_lesions() -> None:
    if arithmetic() != ARITHMETIC:
        pytest.skip("another machine or numpy rounds another last bit than where the digests were taken")
    assert PHANTOM_VERSION == 3
    for (seed, index, image_px), known in DIGESTS.items():
        eye = phantom_eye(seed, index, image_px)
        found = {"photo": digest(eye.photo), "fov": digest(eye.fov)}
        found |= {channel: digest(mask) for channel, mask in eye.labels.items()}
        assert {part: found[part] for part in known} == known
        assert tuple(eye.labels) == CHANNELS
    maps = phantom_labels(20173, 11, 128)
    assert {channel: digest(maps[channel]) for channel in LABEL_DIGESTS} == LABEL_DIGESTS


def test_grade_0_is_the_healthy_eye_with_empty_lesion_maps() -> None:
    healthy, graded = phantom_eye(SEED, 1, 96), phantom_eye(SEED, 1, 96, grade=0)
    assert digest(graded.photo) == digest(healthy.photo)
    assert (healthy.grade, graded.grade) == (None, 0)
    assert tuple(graded.labels) == (*CHANNELS, *LESIONS)
    assert not any(graded.labels[lesion].any() for lesion in LESIONS)


def test_a_disease_changes_nothing_about_the_eye_that_has_it() -> None:
    healthy = phantom_eye(SEED, 2, 96)
    for grade in (1, 4):
        ill = phantom_eye(SEED, 2, 96, grade)
        assert digest(ill.fov) == digest(healthy.fov)
        assert all(np.array_equal(ill.labels[channel], healthy.labels[channel]) for channel in CHANNELS)
        changed = (ill.photo != healthy.photo).any(axis=2)
        assert changed.any()
        assert not changed[~healthy.fov].any()


def test_same_seed_index_and_grade_same_bytes() -> None:
    first, _, again = (phantom_eye(SEED, 3, 96, grade) for grade in (4, 2, 4))
    assert digest(first.photo) == digest(again.photo)
    assert all(np.array_equal(first.labels[lesion], again.labels[lesion]) for lesion in LESIONS)
    other = phantom_eye(SEED, 4, 96, 4)
    assert all(not np.array_equal(first.labels[lesion], other.labels[lesion]) for lesion in LESIONS[:3])


def test_grades_mean_what_icdr_says(diseases: dict[int, list[Disease]]) -> None:
    """Wilkinson et al. 2003: 1 microaneurysms only; 2 more; 3 by the rule of 20 in 4 quadrants; 4 new vessels."""
    for grade, eyes in diseases.items():
        micro, blood, hard, soft, new = (counts(eyes, lesion) for lesion in LESIONS)
        assert (micro > 0).all() == (grade > 0)
        assert (blood > 0).all() == (hard > 0).all() == (grade > 1)
        assert soft.any() == (grade > 1)
        assert (new > 0).all() == (grade == 4)
        if grade < 2:
            assert blood.sum() == hard.sum() == 0
        if grade == 2:
            assert blood.max() <= 4 * 20


def test_grade_3_has_more_than_20_haemorrhages_in_each_quadrant(
    models: list[EyeModel], diseases: dict[int, list[Disease]]
) -> None:
    for model, disease in zip(models, diseases[3], strict=True):
        places = disease.spots["haemorrhage"].centre
        quadrants = model.camera.quadrant(places[:, 0], places[:, 1])
        assert np.bincount(quadrants, minlength=4).min() > 20


@pytest.mark.parametrize("image_px", [128, 320])
def test_grade_3_can_be_counted_on_its_map(image_px: int) -> None:
    half = image_px // 2
    for index in range(2):
        parts, _ = label(phantom_eye(SEED, index, image_px, 3).labels["haemorrhage"], np.ones((3, 3)))
        for quadrant in (parts[:half, :half], parts[:half, half:], parts[half:, :half], parts[half:, half:]):
            assert len(np.unique(quadrant)) - 1 > 20


def test_lesions_grow_in_number_and_area_from_grade_to_grade(diseases: dict[int, list[Disease]]) -> None:
    for lesion, lowest in zip(SPOTS, (1, 2, 2, 2), strict=True):
        number = [np.mean(counts(diseases[grade], lesion)) for grade in range(lowest, 5)]
        area = [np.mean(areas(diseases[grade], lesion)) for grade in range(lowest, 5)]
        assert number == sorted(number), lesion
        if lesion != "soft_exudate":  # a few large ones, as many in grade 4 as in 3
            assert area == sorted(area), lesion
    none = [np.mean(counts(diseases[grade], "soft_exudate") == 0) for grade in (2, 3, 4)]
    assert none[0] > none[1] == none[2] > 0


def test_numbers_and_areas_are_those_measured_in_idrid(diseases: dict[int, list[Disease]]) -> None:
    """Within the lowest and the highest decile of its eyes of the grade, mm² with a disc of 2.6 mm²."""
    for grade, lesion, number, area in (
        (2, "microaneurysm", (8, 66), (0.03, 0.32)),
        (2, "haemorrhage", (3, 31), (0.04, 1.0)),
        (2, "hard_exudate", (19, 219), (0.09, 2.6)),
        (3, "microaneurysm", (27, 80), (0.11, 0.38)),
        (3, "haemorrhage", (84, 120), (0.5, 4.5)),
        (3, "hard_exudate", (46, 336), (0.2, 4.3)),
        (4, "microaneurysm", (37, 108), (0.19, 0.49)),
        (4, "haemorrhage", (32, 170), (1.0, 8.2)),
        (4, "hard_exudate", (54, 347), (0.3, 4.4)),
    ):
        assert number[0] <= np.median(counts(diseases[grade], lesion)) <= number[1], (grade, lesion)
        assert area[0] <= np.median(areas(diseases[grade], lesion)) <= area[1], (grade, lesion)


def test_lesions_have_the_sizes_that_their_names_mean(diseases: dict[int, list[Disease]]) -> None:
    """A red spot of less than 125 um is a microaneurysm (ETDRS report 10); cotton-wool spots are below half a disc."""
    for eyes in diseases.values():
        for disease in eyes:
            length = {lesion: 2 * disease.spots[lesion].half_length for lesion in SPOTS}
            assert (length["microaneurysm"] < 0.125).all()
            assert (length["haemorrhage"] > 0.125).all()
            assert (length["hard_exudate"] > 0.02).all()
            assert ((length["soft_exudate"] > 0.2) & (length["soft_exudate"] < 0.95)).all()


def test_flames_follow_the_nerve_fibres(models: list[EyeModel], diseases: dict[int, list[Disease]]) -> None:
    for model, disease in zip(models, diseases[3], strict=True):
        blood = disease.spots["haemorrhage"]
        flames = blood.of(blood.fray > 0)
        assert len(flames) > 5
        assert (flames.half_length > 2.3 * flames.half_width).all()
        heading = fibre_heading(flames.centre[:, 0], flames.centre[:, 1], model.anatomy.fovea)
        assert np.abs(np.sin(flames.angle - heading)).mean() < 0.2


def test_hard_exudates_gather_around_the_macula(
    models: list[EyeModel], diseases: dict[int, list[Disease]]
) -> None:
    away = []
    for model, disease in zip(models, diseases[4], strict=True):
        offset = disease.spots["hard_exudate"].centre - model.anatomy.fovea
        away.append(np.median(np.hypot(offset[:, 0], offset[:, 1])))
    assert np.median(away) < 2.5


@pytest.mark.parametrize("image_px", [128, 200])
def test_lesions_lie_in_the_fov_and_off_the_disc(image_px: int) -> None:
    for index in range(2):
        eye = phantom_eye(SEED, index, image_px, 4)
        for lesion in LESIONS:
            assert not (eye.labels[lesion] & ~eye.fov).any()
        for lesion in SPOTS:
            assert not (eye.labels[lesion] & eye.labels["optic_disc"]).any()
        framed = phantom_labels(SEED, index, image_px, 4)
        assert tuple(framed) == (*CHANNELS, *LESIONS)
        assert all(framed[lesion].any() for lesion in LESIONS if lesion != "soft_exudate")


@pytest.mark.parametrize("image_px", [128, 400])
def test_every_lesion_is_at_least_a_pixel_of_its_map(image_px: int) -> None:
    model, maps = eye_model(SEED, 0, 4), phantom_eye(SEED, 0, image_px, 4).labels
    assert model.disease
    for lesion in SPOTS:
        column, row = model.camera.place(model.disease.spots[lesion].centre, image_px).astype(int).T
        assert maps[lesion][row, column].all(), lesion
    for tangle in model.disease.new_vessels:
        column, row = model.camera.place(tangle.vessels[0].points[:1], image_px).astype(int).T
        assert maps["neovascularisation"][row, column].all()


def test_every_size_shows_the_same_lesions() -> None:
    small, large = (phantom_labels(SEED, 5, image_px, 4) for image_px in (192, 576))
    for lesion in LESIONS:
        blocks = large[lesion].reshape(192, 3, 192, 3).any(axis=(1, 3))
        assert (small[lesion] & blocks).sum() >= 0.9 * small[lesion].sum(), lesion
    share = {size: maps["haemorrhage"].mean() for size, maps in ((192, small), (576, large))}
    assert share[192] == pytest.approx(share[576], rel=0.15)


def test_blood_is_darker_and_exudates_are_brighter_than_the_healthy_retina() -> None:
    eyes = [(phantom_eye(SEED, index, 200), phantom_eye(SEED, index, 200, 4)) for index in (1, 5)]
    for lesion, sign in zip(LESIONS, (-1, -1, 1, 1, -1), strict=True):
        differences = []
        for healthy, ill in eyes:
            # What lies under another lesion is not this one's doing.
            others = np.any([ill.labels[other] for other in LESIONS if other != lesion], axis=0)
            marked = ill.labels[lesion] & ~others
            differences.append((ill.photo.astype(float) - healthy.photo)[marked])
        red, green, _ = np.concatenate(differences).mean(axis=0)
        assert sign * green > 6, lesion
        assert sign * red > 0, lesion


def test_grades_are_dealt_out_in_turn_from_the_highest_on() -> None:
    assert [dealt_grade((0, 2, 4), place) for place in range(4)] == [4, 2, 0, 4]
    assert [dealt_grade((1, 1, 3), place) for place in range(3)] == [3, 1, 1]
    assert dealt_grade((), 5) is None


def test_other_grades_are_refused() -> None:
    for draw in (phantom_eye, phantom_labels):
        with pytest.raises(ValueError, match="grade is 0, 1, 2, 3 or 4, not 5"):
            draw(0, 0, 64, 5)
