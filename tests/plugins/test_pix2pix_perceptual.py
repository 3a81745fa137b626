"""pix2pix that learns by borrowed features: a segmenter's, fitted first, or VGG-19's, read from a file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from retina_core import FitOptions, fit, load_stage
from retina_core.errors import PathError, RunFolderError, StageFolderError
from retina_core.formats.stage_card import read_card
from retina_core.perceptual import SegmenterFeatures, perceptual_distance
from retina_core.perceptual.vgg19 import VGG19
from retina_core.randomness import sample_rngs
from retina_core.roles import ImageTranslator, Segmenter
from retina_core.stages import LearningStage, Stage
from retina_core.testing import tiny_eyes

TINY = {
    "resolution": 32,
    "width": 4,
    "max_width": 8,
    "discriminator_width": 4,
    "seen_images": 24,
    "batch_size": 4,
}
HD = {"variant": "hd", "downsamplings": 2, "blocks": 1, "local_blocks": 1, "enhancer_share": 0.2}
BORROWS = {"perceptual": "segmenter"}


class StoppedError(Exception):
    """Stands for a kill."""


class Told:
    """Remembers what was said; ends a training of ``stage`` once so many images were seen."""

    def __init__(self, stage: str = "", stop_at: int = 10**9) -> None:
        self.stage, self.stop_at = stage, stop_at
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)

    def progress(self, progress: Any) -> None:
        if progress.task == self.stage and progress.done >= self.stop_at:
            raise StoppedError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segmenter that was fitted for these trainings, in a folder to be copied."""
    folder = tmp_path_factory.mktemp("fitted")
    train(folder / "a", features=folder / "features", **BORROWS)
    return folder / "features"


def train(out: Path, listener: Any = None, features: Path | None = None, **settings: Any) -> Stage:
    return fit(
        "pix2pix",
        tiny_eyes(image_px=40),
        out,
        preset="quick",
        settings={**TINY, "checkpoint_every": 8, **settings},
        features=features,
        options=FitOptions(device="cpu", precision="fp32", listener=listener or Told()),
    )


def narrow_vgg19(path: Path, seed: int = 0) -> str:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_file(VGG19((4, 4, 6, 6, 8)).state_dict(), path)
    return str(path)


def weights(stage: Stage) -> dict[str, Tensor]:
    return {f"{n}.{k}": v for n, net in stage.networks().items() for k, v in net.state_dict().items()}


def equal(one: Stage, other: Stage) -> bool:
    theirs = weights(other)
    return all(torch.equal(value, theirs[key]) for key, value in weights(one).items())


def rows(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


class TestSegmenter:
    def test_it_is_fitted_first_and_its_distance_is_trained_on(self, tmp_path: Path) -> None:
        told = Told()
        borrowing = train(tmp_path / "a", told, **BORROWS)
        plain = train(tmp_path / "b")
        assert not equal(borrowing, plain)
        assert (
            told.lines[0] == "pix2pix: compares photographs in features of unet, fitted on the same samples"
        )
        assert all(row["perceptual"] > 0 for row in rows(tmp_path / "a"))
        assert "perceptual" not in rows(tmp_path / "b")[0]
        card = read_card(tmp_path / "a" / "features" / "unet")
        assert (card.resolution, card.config["seen_images"]) == (32, 3)
        said = {"source": "segmenter", "stage": "unet", "sha256": card.files["model.safetensors"]}
        assert read_card(tmp_path / "a").provenance["perceptual"] == said
        assert read_card(tmp_path / "b").provenance["perceptual"] == {"source": "none"}

    def test_a_second_translator_finds_it_fitted(self, tmp_path: Path, fitted: Path) -> None:
        weights_file = fitted / "unet" / "model.safetensors"
        before = weights_file.stat().st_mtime_ns
        train(tmp_path / "b", features=fitted, **BORROWS, l1_weight=1.0)
        assert weights_file.stat().st_mtime_ns == before
        assert not (tmp_path / "b" / "features").exists()

    @pytest.mark.parametrize(("stage", "images"), [("unet", 2), ("pix2pix", 12)])
    def test_resumed_equals_uninterrupted_wherever_it_was_stopped(
        self, stage: str, images: int, tmp_path: Path
    ) -> None:
        straight = train(tmp_path / "straight", **BORROWS)
        with pytest.raises(StoppedError):
            train(tmp_path / "stopped", Told(stage, images), **BORROWS)
        resumed = train(tmp_path / "stopped", **BORROWS)
        assert equal(straight, resumed)
        compared = [[row["perceptual"] for row in rows(tmp_path / name)] for name in ("straight", "stopped")]
        assert compared[0] == compared[1]

    def test_using_what_was_trained_needs_no_features(self, tmp_path: Path, fitted: Path) -> None:
        shutil.copytree(fitted, tmp_path / "a" / "features")
        trained = train(tmp_path / "a", **BORROWS)
        shutil.rmtree(tmp_path / "a" / "features")
        loaded = load_stage(tmp_path / "a", device="cpu")
        assert isinstance(loaded, LearningStage)
        assert loaded.perceptual is None
        assert equal(trained, loaded)
        assert equal(trained, train(tmp_path / "a", **BORROWS))  # finished: nothing is fitted again
        assert not (tmp_path / "a" / "features").exists()

    def test_a_damaged_segmenter_is_refused(self, tmp_path: Path, fitted: Path) -> None:
        shutil.copytree(fitted, tmp_path / "a" / "features")
        path = tmp_path / "a" / "features" / "unet" / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
        with pytest.raises(StageFolderError, match=r"model\.safetensors is damaged"):
            train(tmp_path / "a", **BORROWS)

    def test_a_training_goes_on_with_its_own_features_only(self, tmp_path: Path, fitted: Path) -> None:
        shutil.copytree(fitted, tmp_path / "a" / "features")
        with pytest.raises(StoppedError):
            train(tmp_path / "a", Told("pix2pix", 12), **BORROWS)
        with pytest.raises(RunFolderError, match="other data or settings"):
            train(tmp_path / "a")
        with pytest.raises(RunFolderError, match="other data or settings"):
            train(
                tmp_path / "a",
                perceptual="vgg19",
                perceptual_path=narrow_vgg19(tmp_path / "narrow.safetensors"),
            )

    def test_the_gradient_of_a_flat_photograph_is_finite(self, fitted: Path) -> None:
        segmenter = load_stage(fitted / "unet", device="cpu")
        features = SegmenterFeatures(cast(Segmenter, segmenter), "")
        real = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        for level in (0.0, 0.5):
            painted = torch.full((2, 3, 32, 32), level, requires_grad=True)
            perceptual_distance(features, painted, real).backward()  # type: ignore[no-untyped-call]
            assert painted.grad is not None
            assert bool(torch.isfinite(painted.grad).all())
        assert all(p.grad is None for net in segmenter.networks().values() for p in net.parameters())


class TestVGG19:
    def test_own_weights_are_trained_by_and_recorded(self, tmp_path: Path) -> None:
        path = narrow_vgg19(tmp_path / "narrow.safetensors")
        trained = train(tmp_path / "a", perceptual="vgg19", perceptual_path=path)
        facts = read_card(tmp_path / "a").provenance["perceptual"]
        assert (facts["source"], facts["file"]) == ("vgg19", "narrow.safetensors")
        assert not equal(trained, train(tmp_path / "b"))
        assert rows(tmp_path / "a")[-1]["perceptual"] > 0

    def test_the_same_weights_elsewhere_are_the_same_training_and_others_are_not(
        self, tmp_path: Path
    ) -> None:
        path = narrow_vgg19(tmp_path / "one.safetensors")
        with pytest.raises(StoppedError):
            train(tmp_path / "a", Told("pix2pix", 12), perceptual="vgg19", perceptual_path=path)
        other = narrow_vgg19(tmp_path / "other.safetensors", seed=1)
        with pytest.raises(RunFolderError, match="other data or settings"):
            train(tmp_path / "a", perceptual="vgg19", perceptual_path=other)
        moved = shutil.copyfile(path, tmp_path / "moved.safetensors")
        resumed = train(tmp_path / "a", perceptual="vgg19", perceptual_path=str(moved))
        assert equal(resumed, train(tmp_path / "b", perceptual="vgg19", perceptual_path=path))

    def test_missing_weights_are_said_before_anything_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(PathError, match=r"vgg19-dcbb9e9d\.pth: the weights of VGG-19 are not there"):
            train(tmp_path / "a", perceptual="vgg19")
        assert not (tmp_path / "a").exists()


def test_pix2pixhd_compares_both_sizes(tmp_path: Path) -> None:
    train(tmp_path / "a", perceptual="vgg19", perceptual_path=narrow_vgg19(tmp_path / "n.safetensors"), **HD)
    assert all(row["perceptual"] > 0 for row in rows(tmp_path / "a"))
    assert rows(tmp_path / "a")[-1]["seen_images"] == 24


def test_features_draw_the_painting_towards_the_photograph(tmp_path: Path) -> None:
    """Trained by the distance almost alone, the painting comes nearer in those features than an untrained one is."""
    path = narrow_vgg19(tmp_path / "n.safetensors")
    settings = {"l1_weight": 0.0, "gan_weight": 0.0, "learning_rate": 2e-3, "average_half_life": 20}
    short, long = (
        train(
            tmp_path / str(images),
            perceptual="vgg19",
            perceptual_path=path,
            perceptual_weight=100.0,
            **{**settings, "seen_images": images},
        )
        for images in (4, 160)
    )
    assert rows(tmp_path / "160")[-1]["perceptual"] < 0.7 * rows(tmp_path / "4")[-1]["perceptual"]
    labels, fov = torch.ones(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    photos = [
        cast(ImageTranslator, one).translate(labels, fov, rngs=sample_rngs(0, 1)) for one in (short, long)
    ]
    assert not torch.equal(*photos)


@pytest.mark.slow
def test_two_processes_fit_one_segmenter_together(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = tmp_path / "train.py"
    script.write_text(TWO.format(file=__file__))
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
    ]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert read_card(tmp_path / "a" / "features" / "unet").provenance["samples"] == 6
    assert read_card(tmp_path / "a").provenance["perceptual"]["stage"] == "unet"


TWO = """
import importlib.util, os, sys
from pathlib import Path
import torch

spec = importlib.util.spec_from_file_location("tests_of_features", {file!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

torch.set_num_threads(1)
out = Path(sys.argv[1])
os.environ["RETINA_CACHE"] = str(out / "cache")
module.train(out / "a", **module.BORROWS)
torch.distributed.destroy_process_group()
os._exit(0)  # gloo's threads now and then abort an interpreter that ends by itself
"""
