"""What previews show where a stage learns from real eyes: phantoms, and nothing of the eyes themselves."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from retina_core.data.prepare import prepare
from retina_core.data.readers import phantom as series
from retina_core.phantom import phantom_eye
from retina_core.registry import Registry
from retina_core.specs import Role
from retina_core.stages import Batch
from retina_core.testing import tiny_eyes
from retina_core.training.feed import Course
from retina_core.training.loop import Loop
from retina_core.training.options import FitOptions
from retina_core.training.preview_eyes import preview_eyes

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

SIDE = 32


class Watched(toy.ToyLabels):  # type: ignore[misc, name-defined]
    """Keeps what it is given to show."""

    previews: ClassVar[int] = 3

    def preview(self, batch: Batch, rngs: Any) -> torch.Tensor:
        self.shown = batch
        return super().preview(batch, rngs)  # type: ignore[no-any-return]


class Painter(Watched):
    role: ClassVar[Role] = "image-translator"
    reads_photos: ClassVar[bool] = True
    label_form: ClassVar[Literal["soft", "binary"]] = "binary"


class Finder(Watched):
    role: ClassVar[Role] = "segmenter"
    reads_photos: ClassVar[bool] = True


def shown_by(
    kind: type, folder: Path, *, channels: tuple[str, ...] = ("vessel", "optic_disc"), phantom: bool = False
) -> tuple[Batch, Any]:
    """What a stage was given to show after eight images of tiny eyes, and these."""
    return shown_with(kind, folder, channels=channels, phantom=phantom)[:2]


def shown_with(
    kind: type,
    folder: Path,
    *,
    channels: tuple[str, ...] = ("vessel", "optic_disc"),
    phantom: bool = False,
    grades: tuple[int | None, ...] = (None,) * 5,
) -> tuple[Batch, Any, Any]:
    """As ``shown_by``, of tiny eyes of these grades, and the stage."""
    tiny = tiny_eyes(5, image_px=24, channels=channels)
    eyes = [replace(eye, grade=grade) for eye, grade in zip(tiny.samples, grades, strict=True)]
    samples = prepare(eyes, channels, SIDE, folder / "cache")
    config = toy.ToyConfig.resolve("toy", "quick", {"resolution": SIDE, "seen_images": 8, "preview_every": 4})
    stage = kind(config, channels)
    options = FitOptions(device="cpu", precision="fp32")
    Loop(
        stage,
        [Course(samples)],
        folder / "stage",
        options,
        registry=Registry.of(),
        request="r",
        phantom=phantom,
    ).run()
    assert len(list((folder / "stage" / "previews").iterdir())) == 2
    return stage.shown, samples, stage


@pytest.mark.parametrize("kind", [Painter, Finder])
def test_translators_and_segmenters_show_phantoms(kind: type, tmp_path: Path) -> None:
    shown, _ = shown_by(kind, tmp_path)
    eyes = preview_eyes(("vessel", "optic_disc"), SIDE, 3)
    assert torch.equal(shown.photos * 255, torch.from_numpy(eyes.photos).float())
    assert torch.equal(shown.fov * 255, torch.from_numpy(eyes.fov).float())
    assert shown.labels.shape == (3, 2, SIDE, SIDE)
    assert shown.present.all()


def test_labels_have_the_form_that_the_stage_learns_from(tmp_path: Path) -> None:
    soft, binary = (shown_by(kind, tmp_path / kind.__name__)[0].labels for kind in (Finder, Painter))
    assert len(soft.unique()) > 2
    assert binary.unique().tolist() == [0, 1]
    assert binary.mean() == pytest.approx(float(soft.mean()), rel=0.1)


@pytest.mark.parametrize(
    ("kind", "given"),
    [(Watched, {}), (Painter, {"phantom": True}), (Painter, {"channels": ("vessel", "drusen")})],
    ids=["a label generator", "trained on phantoms", "a channel that phantoms do not have"],
)
def test_others_show_what_they_learn_from(kind: type, given: dict[str, Any], tmp_path: Path) -> None:
    shown, samples = shown_by(kind, tmp_path, **given)
    assert torch.equal(shown.fov * 255, torch.from_numpy(np.array(samples.fov[:3])).float())


def test_a_stage_that_knows_lesions_shows_every_grade_of_one_eye_in_a_row(tmp_path: Path) -> None:
    class Wider(Painter):
        previews: ClassVar[int] = 11

    channels = ("optic_disc", "haemorrhage")
    shown, _ = shown_by(Wider, tmp_path, channels=channels)
    assert shown.grades.tolist() == [0, 1, 2, 3, 4] * 2
    discs, marked = shown.labels[:, 0], shown.labels[:, 1].sum((1, 2))
    assert all(torch.equal(discs[i], discs[0]) for i in range(5))
    assert not torch.equal(discs[5], discs[0])
    assert (marked[:2] == 0).all()
    assert 0 < marked[2] < marked[3]
    with Image.open(sorted((tmp_path / "stage" / "previews").iterdir())[0]) as picture:
        assert (picture.width // (SIDE + 2), picture.height // (SIDE + 2)) == (5, 2)


def test_a_generator_that_takes_grades_shows_each_of_its_own_for_the_same_noise(tmp_path: Path) -> None:
    class Graded(Watched):
        takes_grades: ClassVar[bool] = True
        previews: ClassVar[int] = 5

        def preview(self, batch: Batch, rngs: Any) -> torch.Tensor:
            self.noise = [float(torch.rand((), generator=rng)) for rng in rngs]
            return super().preview(batch, [rng.manual_seed(rng.initial_seed()) for rng in rngs])

    shown, _, stage = shown_with(Graded, tmp_path, grades=(2, None, 4, 2, None))
    assert shown.grades.tolist() == [2, 4] * 2
    assert stage.noise[0] == stage.noise[1] != stage.noise[2] == stage.noise[3]
    ungraded, _, _ = shown_with(Graded, tmp_path / "none", grades=(None,) * 5)
    assert ungraded.grades.tolist() == [-1] * 5


def test_the_phantoms_are_of_a_series_of_their_own_and_drawn_once() -> None:
    eyes = preview_eyes(("vessel",), 64, 2)
    assert eyes is preview_eyes(("vessel",), 64, 2)
    drawn = phantom_eye(series.PREVIEW_SEED, 1, 64)
    share = drawn.labels["vessel"].sum() / drawn.fov.sum()
    assert eyes.labels[1].sum() / eyes.fov[1].sum() == pytest.approx(share, rel=0.05)
    assert series.PREVIEW_SEED not in {series.TRAINING_SEED, series.TEST_SEED, series.STARTER_SEED}
