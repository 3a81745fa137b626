"""Pictures and masks from any file that may be met."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from retina_core.data.masks import NotAMaskError, binarise
from retina_core.data.pictures import ArrayPicture, FilePicture
from retina_core.errors import PathError


def png_header(path: Path, width: int, height: int) -> Path:
    """A PNG that claims a size and holds hardly any data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    )
    return path


GRADIENT = np.arange(48, dtype=np.uint8).reshape(6, 8)
RGB = np.stack([GRADIENT, GRADIENT + 50, GRADIENT + 100], axis=2)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp", "ppm", "gif", "webp"])
def test_lossless_formats_give_their_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(RGB).save(path, **options)
    picture = FilePicture(path)
    assert picture.size() == (8, 6)
    np.testing.assert_array_equal(picture.read(), RGB)


def test_a_grey_picture_stays_grey(tmp_path: Path) -> None:
    Image.fromarray(GRADIENT).save(tmp_path / "a.png")
    np.testing.assert_array_equal(FilePicture(tmp_path / "a.png").read(), GRADIENT)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "jpg", "webp"])
def test_exif_rotation_is_applied_once(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = np.zeros((16, 32, 3), dtype=np.uint8)
    upright[:8, :8] = 255  # one corner
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    options = {"quality": 100, "subsampling": 0} if suffix == "jpg" else {"lossless": True}
    Image.fromarray(np.ascontiguousarray(undo[orientation](upright))).save(path, exif=exif, **options)
    assert FilePicture(path).size() == (32, 16)
    assert np.abs(FilePicture(path).read().astype(int) - upright).max() <= 4


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 257, 65535], [0, 1, 255]),  # the full scale of 16 bits
        ([0, 1, 255], [0, 1, 255]),  # 8 of 16 bits in use
    ],
)
def test_16_bits_become_8(tmp_path: Path, values: list[int], expected: list[int]) -> None:
    Image.fromarray(np.array([values], dtype=np.uint16)).save(tmp_path / "a.png")
    assert FilePicture(tmp_path / "a.png").read().tolist() == [expected]


def test_cmyk_and_transparency_become_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red = FilePicture(tmp_path / "a.jpg").read()[0, 0]
    assert red[0] > 200
    assert red[1:].max() < 60
    Image.new("RGBA", (4, 4), (255, 255, 255, 0)).save(tmp_path / "b.png")
    assert FilePicture(tmp_path / "b.png").read().max() == 0


def test_an_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), level) for level in (255, 0)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert FilePicture(tmp_path / "a.gif").read().min() == 255


def broken_files(folder: Path) -> dict[Path, str]:
    """Each with what must be said of it."""
    (folder / "text.png").write_text("not a picture")
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(
        folder / "a.jpg"
    )
    whole = (folder / "a.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(RGB).save(folder / "b.png")
    (folder / "cut.png").write_bytes((folder / "b.png").read_bytes()[:-30])
    Image.fromarray(np.ones((4, 4), dtype=np.float32)).save(folder / "float.tif")
    (folder / "program.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    return {
        folder / "gone.png": "is not there",
        folder / "text.png": "is not a picture",
        folder / "empty.png": "is empty",
        folder / "folder.png": "is a folder",
        folder / "loop.png": "is a link that leads nowhere",
        folder / "cut.jpg": "is truncated",
        folder / "cut.png": "is truncated",
        folder / "float.tif": "8 or 16 bits",
        folder / "program.eps": "is not a picture",
        png_header(folder / "bomb.png", 60_000, 60_000): "100 million pixels",
        png_header(folder / "large.png", 10_001, 10_000): "100 million pixels",
        png_header(folder / "none.png", 0, 10): "none.png",
    }


def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path) -> None:
    for path, reason in broken_files(tmp_path).items():
        with pytest.raises(PathError) as caught:
            FilePicture(path).read()
        assert reason in str(caught.value)
        assert str(path) in str(caught.value)
        assert "replace the file or leave it out" in str(caught.value)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="million pixels"):
        FilePicture(png_header(tmp_path / "bomb.png", 60_000, 60_000)).size()


def test_no_warning_of_pillow_leaks_from_any_thread(tmp_path: Path) -> None:
    path = png_header(tmp_path / "wide.png", 9_700, 9_700)  # Pillow warns from 89 million pixels
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda _: FilePicture(path).size(), range(40)))
    assert sizes == [(9_700, 9_700)] * 40


def test_names_with_spaces_and_any_letters(tmp_path: Path) -> None:
    path = tmp_path / "Auge links – 网膜 é.png"
    Image.fromarray(RGB).save(path)
    assert FilePicture(path, tmp_path).name == path.name
    assert FilePicture(path).size() == (8, 6)


@given(st.binary(max_size=300), st.sampled_from(["png", "jpg", "tif", "gif", "bmp", "ppm", "webp", "jp2"]))
def test_any_bytes_give_a_picture_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, end: str
) -> None:
    path = tmp_path_factory.mktemp("bytes") / f"a.{end}"
    path.write_bytes(content)
    with pytest.raises(PathError):
        FilePicture(path).read()


@given(st.data())
def test_a_mutated_picture_gives_a_picture_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("mutant") / "a"
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "WEBP"]))
    Image.fromarray(RGB).save(path, format=kind)
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        picture = FilePicture(path).read()
    except PathError:
        return
    assert picture.dtype == np.uint8
    assert picture.shape[1::-1] == FilePicture(path).size()


def test_a_picture_in_memory() -> None:
    picture = ArrayPicture.of("drawn", RGB)
    assert (picture.name, picture.size()) == ("drawn", (8, 6))
    assert picture.read() is RGB


@pytest.mark.parametrize("low_high", [(0, 1), (0, 255), (0, 128), (3, 250)])
def test_two_levels_are_a_mask(low_high: tuple[int, int]) -> None:
    marked = np.eye(5, dtype=np.bool_)
    levels = np.where(marked, low_high[1], low_high[0]).astype(np.uint8)
    np.testing.assert_array_equal(binarise(levels), marked)


@pytest.mark.parametrize(("level", "marked"), [(0, False), (1, True), (100, False), (255, True)])
def test_a_mask_of_one_level(level: int, marked: bool) -> None:
    assert binarise(np.full((4, 4), level, dtype=np.uint8)).all() == marked
    assert binarise(np.full((4, 4), level, dtype=np.uint8)).any() == marked


def test_a_palette_mask_is_read_as_it_looks(tmp_path: Path) -> None:
    marked = np.eye(8, dtype=np.bool_)
    for name, colours, indices in (
        ("usual.tif", [0, 0, 0, 255, 0, 0], marked),
        ("inverted.tif", [255, 255, 255, 0, 0, 0], ~marked),
    ):
        image = Image.fromarray(indices.astype(np.uint8), mode=None).convert("P")
        image.putpalette(colours + [0] * (768 - len(colours)))
        image.save(tmp_path / name)
        np.testing.assert_array_equal(binarise(FilePicture(tmp_path / name).read()), marked)


def test_lossy_edges_are_still_a_mask(tmp_path: Path) -> None:
    marked = np.zeros((256, 256), dtype=np.uint8)
    marked[64:192, 64:192] = 255
    Image.fromarray(marked).save(tmp_path / "a.jpg", quality=90)
    np.testing.assert_array_equal(binarise(FilePicture(tmp_path / "a.jpg").read()), marked > 0)


def test_a_mask_with_forty_greys_is_refused() -> None:
    greys = (np.arange(64 * 64) % 40 * 6).astype(np.uint8).reshape(64, 64)
    with pytest.raises(NotAMaskError, match="40 values"):
        binarise(greys)


def test_class_numbers_are_refused() -> None:
    with pytest.raises(NotAMaskError, match="like class numbers"):
        binarise(np.array([[0, 1, 2]], dtype=np.uint8))
