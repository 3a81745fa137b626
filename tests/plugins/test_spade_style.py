"""``--style PHOTO``: a synthetic set in the manner of one photograph, which the set then says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from retina_cli.main import main
from retina_core import FitOptions, fit, generate
from retina_core.data.pictures import FilePicture
from retina_core.data.sample import photo_digest
from retina_core.errors import InvalidValueError, PathError, SampleSetError
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import read_seen
from retina_core.formats.stage_folder import load_stage
from retina_core.randomness import sample_rngs
from retina_core.style_photo import read_style
from retina_core.testing import tiny_eyes
from retina_spade.stage import SPADETranslator

CPU = FitOptions(device="cpu")
SHORT = {
    "resolution": 32,
    "seen_images": 8,
    "batch_size": 4,
    "width": 4,
    "max_width": 8,
    "discriminator_width": 4,
}
TINY = {**SHORT, "width_px": 32, "hidden": 4, "latent": 4, "style_width": 4, "style_px": 16}


@dataclass(frozen=True)
class Studio:
    """Trained stages, and two photographs."""

    labels: Path
    spade: Path
    pix2pix: Path
    dark: Path
    bright: Path


def draw_photo(path: Path, colour: tuple[int, int, int], side: int = 60) -> Path:
    """A disc of one colour on black, somewhat wider than high, so that it is to be cropped."""
    rows, columns = np.mgrid[:side, : side + 20]
    disc = (rows - side / 2) ** 2 + (columns - side / 2 - 10) ** 2 < (0.45 * side) ** 2
    Image.fromarray((disc[:, :, None] * np.array(colour)).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    root = tmp_path_factory.mktemp("studio")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RETINA_CACHE", str(root / "cache"))
        for name, settings in (("label-generator:dcgan", SHORT), ("spade", TINY), ("pix2pix", SHORT)):
            fit(
                name,
                tiny_eyes(),
                root / name.rpartition(":")[2],
                preset="quick",
                settings=settings,
                options=CPU,
            )
    stage = load_stage(root / "spade", device="cpu")
    assert isinstance(stage, SPADETranslator)
    dark, bright = (
        draw_photo(root / "dark.png", (60, 20, 10)),
        draw_photo(root / "bright.png", (250, 160, 90)),
    )
    return Studio(root / "dcgan", root / "spade", root / "pix2pix", dark, bright)


def paint(studio: Studio, out: Path, style: Path | None, translator: Path | None = None) -> Path:
    return generate(studio.labels, translator or studio.spade, count=2, out=out, style=style, options=CPU)


def retina(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_rows_and_seen_name_the_photograph_by_its_content(studio: Studio, tmp_path: Path) -> None:
    folder = paint(studio, tmp_path / "set", studio.dark)
    expected = photo_digest(FilePicture(studio.dark).read())
    assert {row["style"] for row in read_rows(folder)} == {expected}
    assert read_seen(folder) == read_seen(studio.labels) | read_seen(studio.spade) | {expected}
    written = "".join(path.read_text() for path in folder.iterdir() if path.is_file())
    assert str(studio.dark.parent) not in written
    assert "dark.png" not in written
    assert "in the manner of one more photograph" in (folder / "README.md").read_text()


def test_without_a_style_rows_name_none(studio: Studio, tmp_path: Path) -> None:
    folder = paint(studio, tmp_path / "set", None)
    assert {row["style"] for row in read_rows(folder)} == {None}
    assert "in the manner of" not in (folder / "README.md").read_text()


def test_another_style_is_another_set(studio: Studio, tmp_path: Path) -> None:
    folder = paint(studio, tmp_path / "set", studio.dark)
    before = (folder / "metadata.jsonl").read_bytes()
    for style in (studio.bright, None):
        with pytest.raises(SampleSetError, match="another request"):
            paint(studio, folder, style)
    copied = Path(tmp_path / "copy.png")
    copied.write_bytes(studio.dark.read_bytes())
    assert paint(studio, folder, copied) == folder  # the same content under another name
    assert (folder / "metadata.jsonl").read_bytes() == before


def test_maps_are_the_same_in_every_manner(studio: Studio, tmp_path: Path) -> None:
    folders = [paint(studio, tmp_path / name, getattr(studio, name)) for name in ("dark", "bright")]
    labels = [(folder / "labels/vessel/000001.png").read_bytes() for folder in folders]
    assert labels[0] == labels[1]


def test_a_style_is_cropped_to_its_field_of_view(studio: Studio) -> None:
    stage = load_stage(studio.spade, device="cpu")
    style = read_style(studio.bright, stage)  # type: ignore[arg-type]
    assert style.photo.shape == (3, 32, 32)
    assert float(style.photo[:, 0, 0].max()) == 0
    assert (style.photo[:, 16, 16] * 255).round().tolist() == pytest.approx([250, 160, 90], abs=3)
    assert float((style.photo.amax(0) > 0.1).float().mean()) == pytest.approx(np.pi / 4, abs=0.06)


def test_a_photograph_in_the_manner_of_another_has_its_style(studio: Studio) -> None:
    """Styles are read in the middle of where the encoder sees them, whatever the generators draw."""
    stage = load_stage(studio.spade, device="cpu")
    assert isinstance(stage, SPADETranslator)
    assert stage.generator.encoder is not None
    with torch.no_grad():
        for name, weight in stage.generator.named_parameters():
            if name.endswith(".style.weight"):
                torch.nn.init.normal_(weight, 0.0, 0.5, generator=torch.Generator().manual_seed(0))
            if name.endswith(".grain"):
                weight.zero_()
    labels, fov = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    photos = torch.stack([read_style(path, stage).photo for path in (studio.dark, studio.bright)])

    def painted(style: torch.Tensor | None, seed: int) -> torch.Tensor:
        return stage.translate(labels, fov, rngs=sample_rngs(seed, 1), style=style)

    assert torch.equal(painted(photos[:1], 0), painted(photos[:1], 1))
    assert float((painted(photos[:1], 0) - painted(photos[1:], 0)).abs().mean()) > 0.001
    assert float((painted(None, 0) - painted(None, 1)).abs().mean()) > 0.001


def test_a_translator_without_styles_refuses_one(studio: Studio, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="pix2pix of this folder takes no style"):
        paint(studio, tmp_path / "set", studio.dark, studio.pix2pix)
    assert not (tmp_path / "set").exists()


def test_what_is_no_photograph_of_a_retina_is_refused(studio: Studio, tmp_path: Path) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "black.png")
    for path, reason in (
        (tmp_path / "black.png", "no field of view"),
        (tmp_path / "none.png", "is not there"),
    ):
        with pytest.raises(PathError, match=reason):
            paint(studio, tmp_path / "set", path)


def test_the_command_says_in_one_line_what_is_wrong(studio: Studio, tmp_path: Path) -> None:
    stages = ("--labels", studio.labels, "--translator", studio.pix2pix)
    result = retina("generate", *stages, "--count", 2, "--out", tmp_path / "set", "--style", studio.dark)
    assert result.exit_code == 2
    assert [line.startswith("Error: ") for line in result.stderr.splitlines()] == [True]
    assert "takes no style" in result.stderr


def test_the_command_paints_in_a_manner(studio: Studio, tmp_path: Path) -> None:
    stages = ("--labels", studio.labels, "--translator", studio.spade)
    result = retina(
        "generate",
        *stages,
        "--count",
        2,
        "--out",
        tmp_path / "set",
        "--style",
        studio.dark,
        "--device",
        "cpu",
    )
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "set/metadata.jsonl").read_text().splitlines()]
    assert all(row["style"] for row in rows)
