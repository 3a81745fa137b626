"""Style transfer: its losses by hand (equations 7 to 12), whose style is learnt, and in whose manner is painted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from retina_core import FitOptions, PipelineRequest, fit, generate, run_pipeline
from retina_core.data.pictures import FilePicture
from retina_core.data.sample import photo_digest
from retina_core.errors import DatasetError, InvalidValueError, PathError
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import read_card, read_seen
from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.style_photo import read_style
from retina_core.testing import tiny_eyes
from retina_core.testing.learning import StopAt, StoppedError
from retina_core.training.options import Progress
from retina_migan.config import MIGANConfig
from retina_migan.stage import MIGANTranslator
from retina_migan.style_losses import content_loss, gram, missed_labels, style_loss, total_variation
from retina_migan.styles import STATISTICS, StylesMet, style_statistics

SHORT = {"resolution": 32, "seen_images": 8, "batch_size": 4, "width": 4, "max_width": 8}
TINY = {**SHORT, "code": 8, "code_width": 4, "discriminator_width": 4}
RANDOM = {"perceptual": "random-vgg19", "segmentation_weight": 0}


def draw_photo(path: Path, colour: tuple[int, int, int], side: int = 60) -> Path:
    """A grainy disc of one colour on black, somewhat wider than high, so that it is to be cropped."""
    rows, columns = np.mgrid[:side, : side + 20]
    disc = (rows - side / 2) ** 2 + (columns - side / 2 - 10) ** 2 < (0.45 * side) ** 2
    grain = np.random.default_rng(0).integers(-9, 9, (side, side + 20, 1))
    picture = disc[:, :, None] * (np.array(colour) + grain).clip(1, 255)
    Image.fromarray(picture.astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def styles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two photographs without annotations, and a file that is none."""
    folder = tmp_path_factory.mktemp("styles")
    draw_photo(folder / "dark.png", (60, 20, 10))
    draw_photo(folder / "bright.png", (240, 160, 90))
    (folder / "notes.txt").write_text("whose they are")
    return folder


@dataclass
class Told:
    """Listens to a training."""

    lines: list[str] = field(default_factory=list)
    losses: list[dict[str, float]] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        self.losses.append(dict(progress.scalars))

    def say(self, line: str) -> None:
        self.lines.append(line)


Learn = Callable[..., tuple[MIGANTranslator, Told]]


@pytest.fixture(scope="module")
def learn(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trains a translator for two steps, of some settings each once."""
    root = tmp_path_factory.mktemp("learn")
    made: dict[str, tuple[MIGANTranslator, Told]] = {}

    def learnt(settings: dict[str, Any]) -> tuple[MIGANTranslator, Told]:
        key = repr(sorted(settings.items()))
        if key not in made:
            told = Told()
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("RETINA_CACHE", str(root / "cache"))
                stage = fit(
                    "image-translator:migan",
                    tiny_eyes(),
                    root / str(len(made)),
                    preset="quick",
                    settings={**TINY, **settings},
                    options=FitOptions(device="cpu", listener=told),
                )
            assert isinstance(stage, MIGANTranslator)
            made[key] = (stage, told)
        return made[key]

    return learnt


class TestLosses:
    def test_gram_by_hand(self) -> None:
        """Equation 7: two features of two places, as a mean over both."""
        maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
        by_hand = torch.tensor([[1 * 1 + 2 * 2, 1 * 3 + 2 * 4], [3 * 1 + 4 * 2, 3 * 3 + 4 * 4]]) / (2 * 2)
        torch.testing.assert_close(gram(maps, torch.ones(1, 1, 1, 2))[0], by_hand)

    def test_gram_counts_what_lies_in_the_field_of_view_alone(self) -> None:
        maps, fov = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]]), torch.tensor([[[[0.0, 1.0]]]])
        by_hand = torch.tensor([[2 * 2, 2 * 4], [4 * 2, 4 * 4]]) / 2
        torch.testing.assert_close(gram(maps, fov)[0], by_hand)
        # In a coarser map the fov's share of a place counts: here three of four pixels.
        shared = torch.tensor([[[[1.0, 1, 1, 1], [0, 1, 1, 1]]]])
        half = (0.75 * torch.tensor([[1.0, 3], [3, 9]]) + torch.tensor([[4.0, 8], [8, 16]])) / (2 * 1.75)
        torch.testing.assert_close(gram(maps, shared)[0], half)

    def test_style_loss_by_hand(self) -> None:
        """Equation 8: a fifth of each block's squared Frobenius distance."""
        one = [torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[[5.0]]])]
        other = [torch.tensor([[[1.0, 0.0], [3.0, 1.0]]]), torch.tensor([[[2.0]]])]
        assert float(style_loss(one, other)) == pytest.approx(0.2 * ((4 + 9) + 9))

    def test_content_loss_is_of_the_fourth_block(self) -> None:
        """Equation 9."""
        ones = [torch.full((1, 2, 1, 2), float(level)) for level in range(5)]
        others = [torch.zeros(1, 2, 1, 2) for _ in range(5)]
        assert float(content_loss(ones, others)) == 9  # (3 - 0)^2
        assert float(content_loss(ones[:2], others[:2])) == 1, "of fewer the last"

    def test_total_variation_by_hand(self) -> None:
        """Equation 10: of 2 x 2 pixels of one colour, over the four of them."""
        painted = torch.tensor([[[[0.0, 1.0], [0.5, -1.0]]]])
        everywhere = torch.ones(1, 1, 2, 2)
        by_hand = ((0.5**2 + 2.0**2) + (1.0**2 + 1.5**2)) / 4  # downwards, to the right
        assert float(total_variation(painted, everywhere)) == pytest.approx(by_hand)
        left = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
        assert float(total_variation(painted, left)) == pytest.approx(0.5**2 / 2)

    def test_missed_labels_by_hand(self) -> None:
        """Equations 5 and 12: the cross-entropy of what a segmenter finds, inside the field of view."""
        found, labels = torch.tensor([[[[0.8, 0.3, 0.1]]]]), torch.tensor([[[[1.0, 0.0, 1.0]]]])
        fov = torch.tensor([[[[1.0, 1.0, 0.0]]]])
        by_hand = -(np.log(0.8) + np.log(0.7)) / 2
        assert float(missed_labels(found, labels, fov)) == pytest.approx(by_hand, rel=1e-5)

    def test_sure_and_wrong_is_finite(self) -> None:
        found = torch.zeros(1, 1, 1, 1, requires_grad=True)
        loss = missed_labels(found, torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))
        assert float(loss.detach()) > 10
        loss.backward()  # type: ignore[no-untyped-call]

    def test_all_together_are_weighed_as_in_the_paper(self) -> None:
        """Equations 11 and 12."""
        with torch.device("meta"):
            stage = MIGANTranslator(MIGANConfig.resolve("migan", "paper"), ("vessel",))
        weights = {"g": 1, "style": 10, "content": 1, "variation": 100, "segmentation": 1}
        assert stage._weights().items() >= weights.items()


class TestStatistics:
    def photos(self, px: int = 64) -> Tensor:
        rng = torch.Generator().manual_seed(0)
        photos = torch.rand(2, 3, px, px, generator=rng) * 0.5 + 0.25
        photos[1, 0] += 0.25
        return photos

    def test_mean_and_deviation_are_those_of_the_colours(self) -> None:
        photos = self.photos()
        found = style_statistics(photos)
        assert found.shape == (2, STATISTICS)
        torch.testing.assert_close(found[:, :3], photos.mean((2, 3)))
        torch.testing.assert_close(
            found[:, 3:6], photos.flatten(2).std(2, unbiased=False), atol=1e-4, rtol=1e-3
        )

    def test_black_around_an_eye_changes_nothing(self) -> None:
        photos = self.photos()
        around = torch.zeros(2, 3, 96, 96)
        around[..., 16:80, 16:80] = photos
        torch.testing.assert_close(style_statistics(around), style_statistics(photos), atol=1e-5, rtol=1e-4)

    def test_blur_is_told_by_the_finest_octave(self) -> None:
        sharp = self.photos(128)
        blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1, count_include_pad=False)
        fine = slice(9, 12)
        assert bool((style_statistics(blurred)[:, fine] < 0.5 * style_statistics(sharp)[:, fine]).all())

    def test_what_was_met_is_its_mean_and_covariance(self) -> None:
        met, rng = StylesMet(), torch.Generator().manual_seed(0)
        numbers = torch.randn(40, STATISTICS, generator=rng) * torch.linspace(0.1, 1, STATISTICS) + 0.5
        for row in numbers:
            met.observe(row)
        torch.testing.assert_close(met.mean, numbers.mean(0))
        torch.testing.assert_close(met.covariance, torch.cov(numbers.T, correction=0), atol=1e-5, rtol=1e-4)
        drawn = met.sample(sample_rngs(0, 4000))
        torch.testing.assert_close(drawn.mean(0), numbers.mean(0), atol=0.06, rtol=0)
        torch.testing.assert_close(drawn.std(0), numbers.std(0), atol=0.06, rtol=0)

    def test_of_one_style_every_draw_is_that_one(self) -> None:
        met, statistics = StylesMet(), style_statistics(self.photos())[0]
        for _ in range(3):
            met.observe(statistics)
        torch.testing.assert_close(met.sample(sample_rngs(0, 2)), statistics.expand(2, -1))


class TestSettings:
    def test_features_are_never_chosen_in_silence(self) -> None:
        with pytest.raises(InvalidValueError, match="set perceptual to vgg19"):
            MIGANConfig.resolve("migan", "quick", {"style_photos": "somewhere"})

    def fitted(self, path: Path, out: Path, **settings: Any) -> None:
        chosen = {**TINY, **RANDOM, "style_photos": str(path), **settings}
        fit("image-translator:migan", tiny_eyes(), out, preset="quick", settings=chosen)

    def test_photographs_that_are_not_there_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PathError, match="the style photographs are not there"):
            self.fitted(tmp_path / "nowhere", tmp_path / "out")
        (tmp_path / "empty").mkdir()
        with pytest.raises(PathError, match="the folder holds no picture"):
            self.fitted(tmp_path / "empty", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_all_that_cannot_be_read_are_named_at_once(self, tmp_path: Path) -> None:
        draw_photo(tmp_path / "a.png", (60, 20, 10))
        (tmp_path / "b.png").write_text("no picture")
        Image.new("RGB", (40, 40)).save(tmp_path / "c.png")
        with pytest.raises(DatasetError, match=r"b\.png: (?s:.*)c\.png: no field of view"):
            self.fitted(tmp_path, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_pipeline_refuses_them_before_it_begins(self, tmp_path: Path) -> None:
        settings = {"translator": {**TINY, **RANDOM, "style_photos": str(tmp_path / "nowhere")}}
        request = PipelineRequest("phantom", "migan", out=tmp_path / "run", settings=settings)
        with pytest.raises(PathError, match="the style photographs are not there"):
            run_pipeline(request, options=FitOptions(device="cpu"))
        assert not (tmp_path / "run" / "labels").exists()


class TestLearning:
    @pytest.fixture
    def many(self, learn: Learn, styles: Path) -> tuple[MIGANTranslator, Told]:
        """Learnt from a folder, told of each style."""
        return learn({**RANDOM, "style_photos": str(styles)})

    def test_style_content_and_variation_stand_in_place_of_the_deviation(
        self, many: tuple[MIGANTranslator, Told]
    ) -> None:
        assert set(many[1].losses[-1]) == {"d", "g", "style", "content", "variation"}

    def test_what_was_used_is_said_and_written_down(
        self, many: tuple[MIGANTranslator, Told], styles: Path
    ) -> None:
        stage, told = many
        assert "style: 2 photographs without annotations" in told.lines
        assert "migan: compares styles in features of a VGG-19 of random weights" in told.lines
        assert stage.folder is not None
        provenance = read_card(stage.folder).provenance
        assert provenance["perceptual"]["source"] == "random-vgg19"
        assert provenance["style"]["photographs"] == 2
        hashes = {photo_digest(FilePicture(path).read()) for path in styles.glob("*.png")}
        assert read_seen(stage.folder) == hashes | set(tiny_eyes().seen())

    def test_where_they_lie_is_not_written_down(
        self, many: tuple[MIGANTranslator, Told], styles: Path
    ) -> None:
        folder = many[0].folder
        assert folder is not None
        assert read_card(folder).config["style_photos"] == styles.name
        told = [path.read_text() for path in folder.glob("*.json*")]
        assert not any(str(styles.parent) in text for text in told)

    def test_a_training_that_was_stopped_draws_the_same_styles(
        self, styles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))

        settings = {**TINY, **RANDOM, "style_photos": str(styles), "seen_images": 12, "checkpoint_every": 4}

        def learnt(out: str, listener: StopAt) -> MIGANTranslator:
            options = FitOptions(device="cpu", listener=listener)
            made = fit(
                "image-translator:migan",
                tiny_eyes(),
                tmp_path / out,
                preset="quick",
                settings=settings,
                options=options,
            )
            assert isinstance(made, MIGANTranslator)
            return made

        straight = learnt("straight", StopAt(99))
        with pytest.raises(StoppedError):
            learnt("stopped", StopAt(8))
        listener = StopAt(99)
        resumed = learnt("stopped", listener)
        assert any("goes on from 4" in line for line in listener.lines)
        pairs = zip(
            straight.generator.state_dict().values(), resumed.generator.state_dict().values(), strict=True
        )
        assert all(torch.equal(one, other) for one, other in pairs)

    def test_it_paints_in_the_manner_of_a_photograph(
        self, many: tuple[MIGANTranslator, Told], styles: Path
    ) -> None:
        stage, _ = many
        assert stage.takes_style
        assert stage.generator.styles is not None
        labels, fov = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
        one, other = (read_style(styles / name, stage).photo[None] for name in ("dark.png", "bright.png"))
        painted = [
            stage.translate(labels, fov, rngs=sample_rngs(0, 1), style=style) for style in (one, other)
        ]
        assert not torch.equal(*painted)
        again = stage.translate(labels, fov, rngs=sample_rngs(0, 1), style=one)
        assert torch.equal(painted[0], again)
        drawn = [stage.generator.styles.met.sample(sample_rngs(seed, 1)) for seed in (0, 1)]
        assert not torch.equal(*drawn), "without a photograph each eye has a manner of its own"

    def test_the_command_writes_whose_manner_it_was(
        self, many: tuple[MIGANTranslator, Told], styles: Path, tmp_path: Path
    ) -> None:
        stage, style = many[0], styles / "dark.png"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
            labels = tmp_path / "labels"
            fit("phantom", tiny_eyes(), labels, settings={"resolution": 32})
            assert stage.folder is not None
            out = generate(labels, stage.folder, count=1, out=tmp_path / "set", style=style)
        assert [row["style"] for row in read_rows(out)] == [photo_digest(FilePicture(style).read())]

    def test_a_fixed_style_has_one_manner(self, learn: Learn, styles: Path) -> None:
        settings = {**RANDOM, "style_photos": str(styles / "dark.png"), "style_input": False}
        stage, told = learn(settings)
        assert "style: 1 photograph without annotations" in told.lines
        assert not stage.takes_style
        assert stage.generator.styles is None
        with pytest.raises(InvalidValueError, match="takes no style"):
            read_style(styles / "dark.png", stage)

    def test_a_segmenter_reads_what_is_painted(self, learn: Learn, styles: Path) -> None:
        stage, told = learn({"perceptual": "segmenter", "style_photos": str(styles)})
        assert set(told.losses[-1]) == {"d", "g", "style", "content", "variation", "segmentation"}
        assert "migan: unet reads what it paints" in told.lines
        assert stage.folder is not None
        assert read_card(stage.folder).provenance["reader"] == "unet"
        assert [path.name for path in (stage.folder / "features").iterdir() if path.is_dir()] == ["unet"]

    def test_the_reader_teaches_the_painter_and_learns_nothing(self, learn: Learn, styles: Path) -> None:
        stage, _ = learn({"perceptual": "segmenter", "style_photos": str(styles)})
        assert stage.folder is not None
        reader: Any = load_stage(stage.folder / "features" / "unet", device="cpu")
        reader.eval_mode()
        photos = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
        fov = torch.ones(1, 1, 32, 32)
        missed_labels(reader.probabilities(photos, fov), torch.ones(1, 1, 32, 32), fov).backward()  # type: ignore[no-untyped-call]
        assert photos.grad is not None
        assert float(photos.grad.abs().max()) > 0
        assert all(p.grad is None for p in reader.network.parameters())

    def test_other_photographs_are_another_training(
        self, many: tuple[MIGANTranslator, Told], styles: Path, tmp_path: Path
    ) -> None:
        stage, _ = many
        assert stage.folder is not None
        moved = tmp_path / "elsewhere"
        moved.mkdir()
        for path in styles.iterdir():
            (moved / path.name).write_bytes(path.read_bytes())

        def again() -> None:
            chosen = {**TINY, **RANDOM, "style_photos": str(moved)}
            options = FitOptions(device="cpu")
            out = stage.folder
            assert out is not None
            fit("image-translator:migan", tiny_eyes(), out, preset="quick", settings=chosen, options=options)

        again()  # the same photographs in another place
        draw_photo(moved / "third.png", (90, 90, 90))
        with pytest.raises(Exception, match="trained with other data or settings"):
            again()
