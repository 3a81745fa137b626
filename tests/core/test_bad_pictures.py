"""Pictures as they come: each works and what was done is said, or is refused on one line, whatever it claims."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from retina_core.config import DataConfig
from retina_core.data.inspect import inspect_dataset
from retina_core.data.masks import binarise
from retina_core.data.opening import open_dataset
from retina_core.data.pictures import FilePicture
from retina_core.data.prepare import prepare
from retina_core.data.sample import Dataset
from retina_core.errors import DatasetError

Save = Callable[[Path, Any], object]


def opened(folders: Any, readers: Any, save: Save, *, label: Save | None = None, count: int = 3) -> Dataset:
    """A data set whose picture ``0`` (or its label) is written by a function of path without ending and maker."""
    return open_dataset(spoilt(folders, save, label=label, count=count), registry=readers)


def spoilt(folders: Any, save: Save, *, label: Save | None = None, count: int = 3) -> Path:
    root: Path = folders.plain(count)
    for place, write in (("images/0", save), ("labels/cell/0", label)):
        if write:
            (root / f"{place}.png").unlink()
            write(root / place, folders)
    return root


def keep(path: Path, folders: Any) -> None:
    folders.save(path.with_suffix(".png"), folders.photo())


def refusal(folders: Any, readers: Any, save: Save, label: Save | None = None) -> str:
    """The one line with which a data set is refused."""
    with pytest.raises(DatasetError) as caught:
        opened(folders, readers, save, label=label)
    [line] = caught.value.problems
    return line


def note(dataset: Dataset, words: str) -> str:
    [line] = [line for line in dataset.notes if words in line]
    return line


def test_a_grey_photograph_is_repeated_and_said(folders: Any, readers: Any) -> None:
    dataset = opened(folders, readers, lambda p, f: f.save(p.with_suffix(".png"), f.photo()[:, :, 0]))
    assert dataset.samples[0].photo_array().shape == (56, 64, 3)
    assert note(dataset, "grey") == "1 grey photograph is repeated to three channels"


TURNS: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: lambda a: np.rot90(a, -1),
}
"""EXIF orientation -> how a camera that was held so stores an upright picture."""


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_upright_beside_its_label(
    folders: Any, readers: Any, orientation: int, ending: str
) -> None:
    upright = np.full((56, 64, 3), 40, dtype=np.uint8)
    upright[folders.mask() > 0] = 250  # bright where the label is marked
    stored = np.ascontiguousarray(TURNS[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if ending == "jpg" else {"lossless": True}

    dataset = opened(
        folders,
        readers,
        lambda p, f: Image.fromarray(stored).save(p.with_suffix(f".{ending}"), exif=exif, **options),
    )
    sample = dataset.samples[0]
    photo, label = sample.photo_array(), sample.label_array("cell")
    assert photo[label].min() > 200
    assert photo[~label].max() < 100
    said = [line for line in dataset.notes if "EXIF" in line]
    assert said == ([] if orientation == 1 else [f"1 photograph: {said[0].partition(': ')[2]}"])
    prepared = prepare(dataset, ("cell",), 32, folders.root / "cache").batch([0])
    inside = prepared.labels[0, 0] > 100
    assert prepared.photos[0][:, inside].mean() > 150


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("mode", ["L", "I;16", "1", "P", "CMYK"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_of_any_mode_is_upright(
    tmp_path: Path, orientation: int, mode: str, compression: str | None
) -> None:
    """Pillow garbles those that it maps into memory."""
    upright = np.zeros((8, 16), dtype=np.uint8)
    upright[1:3, 4:9] = 255
    stored = np.ascontiguousarray(TURNS[orientation](upright))
    image = Image.fromarray(stored.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(stored)
    image = image if mode == "I;16" else image.convert("RGB").convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.tif", exif=exif, **({"compression": compression} if compression else {}))
    picture = FilePicture(tmp_path / "a.tif")
    np.testing.assert_array_equal(binarise(picture.read()), upright > 0)
    assert picture.size() == (16, 8)
    assert any("EXIF" in change for change in picture.decode().changes) == (orientation > 1)


def test_a_label_of_the_unturned_photograph_is_refused_with_the_reason(folders: Any, readers: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.ascontiguousarray(np.rot90(folders.photo()))
    line = refusal(
        folders,
        readers,
        lambda p, f: Image.fromarray(stored).save(p.with_suffix(".jpg"), exif=exif),
        lambda p, f: f.save(p.with_suffix(".png"), np.rot90(f.mask())),
    )
    assert line.startswith("labels/cell/0.png: is 56x64, not 64x56 px like images/0.jpg; ")
    assert "EXIF" in line
    assert line.endswith("turn this one too")


def _deep_rgb(path: Path, shades: np.ndarray) -> None:
    """Pillow writes no PNG of 16-bit colours, so that this does."""
    import struct

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    height, width = shades.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in shades)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    content = header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_16_bits_are_reduced_and_said(folders: Any, readers: Any, kind: str) -> None:
    photo = folders.photo()

    def save(path: Path, _: Any) -> None:
        if kind == "colour":
            _deep_rgb(path.with_suffix(".png"), photo.astype(np.uint16) * 257)
        else:
            Image.fromarray(photo[:, :, 0].astype(np.uint16) * 257).save(path.with_suffix(".png"))

    dataset = opened(folders, readers, save)
    expected = photo if kind == "colour" else np.repeat(photo[:, :, :1], 3, axis=2)
    np.testing.assert_array_equal(dataset.samples[0].photo_array(), expected)
    assert note(dataset, "16 bits") == "1 photograph: 16 bits are reduced to 8"


@pytest.mark.parametrize(("ending", "options"), [("jpg", {"quality": 100}), ("tif", {})])
def test_cmyk_becomes_rgb_and_is_said(folders: Any, readers: Any, ending: str, options: Any) -> None:
    """JPEG stores Adobe's inks inverted, TIFF does not; the picture looks the same."""
    dataset = opened(
        folders,
        readers,
        lambda p, f: Image.new("CMYK", (64, 56), (0, 200, 200, 20)).save(
            p.with_suffix(f".{ending}"), **options
        ),
    )
    if ending == "jpg":
        assert b"Adobe" in (dataset.root or Path()).joinpath("images/0.jpg").read_bytes()
    red, green, blue = dataset.samples[0].photo_array().reshape(-1, 3).mean(axis=0)
    assert red > 200
    assert max(green, blue) < 80
    assert note(dataset, "CMYK") == "1 photograph: CMYK is turned into RGB, without a colour profile"


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_an_animated_photograph_gives_its_first_frame_and_that_is_said(
    folders: Any, readers: Any, ending: str
) -> None:
    first, second = (Image.new("RGB", (64, 56), (level, level, 0)) for level in (200, 90))
    dataset = opened(
        folders,
        readers,
        lambda p, f: first.save(p.with_suffix(f".{ending}"), save_all=True, append_images=[second]),
    )
    assert abs(int(dataset.samples[0].photo_array()[0, 0, 0]) - 200) < 8
    assert note(dataset, "frames") == "1 photograph: the first of several frames is read"


@pytest.mark.parametrize("ending", ["gif", "tif"])
def test_an_animated_mask_is_refused(folders: Any, readers: Any, ending: str) -> None:
    frames = [Image.fromarray(np.roll(folders.mask(), turn, axis=0)) for turn in (0, 5)]
    line = refusal(
        folders,
        readers,
        keep,
        lambda p, f: frames[0].save(p.with_suffix(f".{ending}"), save_all=True, append_images=frames[1:]),
    )
    assert line == (
        f"labels/cell/0.{ending}: is not a mask: it holds several frames; save the one that is the mask alone"
    )


def _palette(indices: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette(colours)
    return image


@pytest.mark.parametrize("ending", ["png", "gif", "tif", "bmp"])
def test_a_palette_mask_is_read_as_it_looks_whatever_its_indices(
    folders: Any, readers: Any, ending: str
) -> None:
    marked = folders.mask() > 0
    dataset = opened(
        folders,
        readers,
        keep,
        label=lambda p, f: _palette(~marked, [255, 255, 255, 0, 0, 0]).save(p.with_suffix(f".{ending}")),
    )
    np.testing.assert_array_equal(dataset.samples[0].label_array("cell"), marked)


def test_bright_strokes_on_nothing_are_a_mask(folders: Any, readers: Any) -> None:
    marked = folders.mask() > 0
    dataset = opened(
        folders,
        readers,
        keep,
        label=lambda p, f: _palette(marked, [255, 255, 255, 255, 0, 0]).save(
            p.with_suffix(".png"), transparency=0
        ),
    )
    np.testing.assert_array_equal(dataset.samples[0].label_array("cell"), marked)
    assert note(dataset, "transparent") == "1 map: transparent parts are laid over black"


def test_black_strokes_on_nothing_are_not_taken_for_an_empty_mask(folders: Any, readers: Any) -> None:
    marked = folders.mask() > 0
    line = refusal(
        folders,
        readers,
        keep,
        lambda p, f: _palette(marked, [255, 255, 255, 0, 0, 0]).save(p.with_suffix(".png"), transparency=0),
    )
    assert "transparency only; save it with two values, 0 and 255" in line


def test_a_mask_with_forty_greys_is_refused(folders: Any, readers: Any) -> None:
    greys = (np.arange(64 * 56) % 40 * 6).astype(np.uint8).reshape(56, 64)
    line = refusal(folders, readers, keep, lambda p, f: f.save(p.with_suffix(".png"), greys))
    assert line.startswith("labels/cell/0.png: is not a mask: it holds 40 values")
    assert line.endswith("save it with two values, 0 and 255")


def test_grey_edges_are_cut_and_said(folders: Any, readers: Any) -> None:
    mask = folders.mask()
    mask[28, 16:32] = np.arange(16) * 2 + 224  # 40 greys would be too many, and so would greys in the middle
    dataset = opened(folders, readers, keep, label=lambda p, f: f.save(p.with_suffix(".png"), mask))
    assert dataset.samples[0].label_array("cell").sum() == 64
    assert note(dataset, "edges") == "1 map: grey edges are cut at half of full scale"


@pytest.mark.parametrize("ending", ["png", "jpg"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(folders: Any, readers: Any, ending: str, share: float) -> None:
    def save(path: Path, maker: Any) -> None:
        file = maker.save(path.with_suffix(f".{ending}"), maker.photo())
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])

    line = refusal(folders, readers, save)
    assert line.startswith(f"images/0.{ending}: is {'truncated' if share else 'empty'}")
    assert line.endswith("replace the file or leave it out")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (lambda path: path.symlink_to(path.name), "leads nowhere"),
        (lambda path: path.symlink_to("gone.png"), "leads nowhere"),
        (os.mkfifo, "is not there"),
        (lambda path: path.symlink_to("/dev/zero"), "is not there"),
    ],
)
def test_what_is_no_file_is_refused_and_never_waited_for(
    folders: Any, readers: Any, make: Callable[[Path], object], said: str
) -> None:
    assert said in refusal(folders, readers, lambda p, f: make(p.with_suffix(".png")))


def test_a_photograph_that_may_not_be_read_is_refused(folders: Any) -> None:
    """As another user, since root may read anything."""
    root = spoilt(folders, keep)
    (root / "images/0.png").chmod(0)
    program = (
        "import os, sys\n"
        "from retina_core.data.pictures import FilePicture\n"
        "from retina_core.errors import PathError\n"
        "from pathlib import Path\n"
        "import PIL.PngImagePlugin\n"
        "path = Path(sys.argv[1])\n"
        "os.chdir(path.parent)\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: FilePicture(Path(path.name)).read()\n"
        "except PathError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(root / "images/0.png")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("0.png: cannot be read (Permission denied)"), done.stderr


BOMB = """
import resource, sys, struct, zlib
from pathlib import Path
from retina_core.data.opening import open_dataset
from retina_core.errors import RetinaError

def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

def bomb(path, width, height):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\\x89PNG\\r\\n\\x1a\\n" + header + chunk(b"IDAT", zlib.compress(b"\\0")) + chunk(b"IEND", b""))

root = Path(sys.argv[1])
for number, size in enumerate([(60000, 60000), (100000000, 1), (1, 2**31 - 1), (2**31 - 1, 2**31 - 1)]):
    bomb(root / "images" / f"bomb{number}.png", *size)
    (root / "labels/cell" / f"bomb{number}.png").write_bytes((root / "labels/cell/1.png").read_bytes())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_dataset(root)
except RetinaError as error:
    print(len(error.problems), "header claims" in str(error))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_header_that_claims_too_much_costs_nothing(folders: Any) -> None:
    root = folders.plain(3)
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(root)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "RETINA_PLUGINS": ""},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)),
    )
    said, grown = done.stdout.splitlines()
    assert said == "4 True", done.stdout + done.stderr
    assert int(grown) < 64 * 1024  # kilobytes


def test_a_strip_is_refused_before_it_becomes_a_square(folders: Any, readers: Any) -> None:
    strip, mark = np.full((2, 4000, 3), 99, np.uint8), np.full((2, 4000), 255, np.uint8)
    line = refusal(
        folders,
        readers,
        lambda p, f: f.save(p.with_suffix(".png"), strip),
        lambda p, f: f.save(p.with_suffix(".png"), mark),
    )
    assert line.startswith(
        "images/0.png: the field of view fills less than 1/16 of the square around it; crop"
    )


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_a_small_file_that_claims_a_large_picture_is_not_decoded(
    folders: Any, readers: Any, ending: str
) -> None:
    """Decoding 100 million pixels of nothing takes seconds, times 20,000 files."""

    def save(path: Path, maker: Any) -> None:
        file = maker.save(path.with_suffix(f".{ending}"), maker.photo())
        content = bytearray(file.read_bytes())
        if ending == "jpg":
            place = content.find(b"\xff\xc0") + 5
            content[place : place + 4] = (9_999).to_bytes(2, "big") * 2
        else:
            content[16:24] = (9_999).to_bytes(4, "big") * 2
            content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
        file.write_bytes(content)

    begin = time.process_time()
    line = refusal(folders, readers, save)
    assert "is truncated: its header claims 9999x9999 px, which it is too small to hold" in line
    assert time.process_time() - begin < 1


def test_a_large_picture_of_one_colour_is_no_lie(folders: Any, readers: Any) -> None:
    """As small as its format can make it."""
    blank = Image.new("L", (5_000, 5_000))
    for ending in ("png", "jpg"):
        blank.save(folders.root / f"blank.{ending}", optimize=True, quality=1)
        assert FilePicture(folders.root / f"blank.{ending}").read().max() <= 1
    blank.convert("RGB").save(folders.root / "blank.jpg", optimize=True, quality=1, progressive=True)
    assert FilePicture(folders.root / "blank.jpg").read().max() <= 1
    blank.convert("1").save(folders.root / "blank.png", optimize=True)
    assert not FilePicture(folders.root / "blank.png").read().any()


def test_a_loop_of_folders_ends(folders: Any, readers: Any) -> None:
    root = folders.plain(3)
    (root / "images" / "again").symlink_to(root / "images")
    (root / "labels" / "cell" / "up.png").symlink_to(root)
    (root / "labels" / "round").symlink_to(root / "labels")
    with pytest.raises(DatasetError) as caught:
        open_dataset(root, registry=readers)
    assert any(
        line.startswith("labels/cell/up.png: a label without a photograph") for line in caught.value.problems
    )


def test_a_folder_that_is_a_loop_is_not_there(tmp_path: Path, readers: Any) -> None:
    from retina_core.errors import PathError

    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PathError, match="is not there"):
        open_dataset(tmp_path / "loop", registry=readers)


def many(folders: Any, count: int) -> Path:
    """Tiny eyes, all different, fast to write."""
    root: Path = folders.root / "many"
    for place in ("images", "masks"):
        (root / place).mkdir(parents=True)
    mask = Image.fromarray(np.eye(2, 3, dtype=np.uint8) * 255)
    mask.save(root / "mask.bmp")
    content = (root / "mask.bmp").read_bytes()
    (root / "mask.bmp").unlink()
    for number in range(count):
        photo = b"P6 3 2 255\n" + number.to_bytes(4, "big") + b"\x80" * 14
        (root / "images" / f"{number}.ppm").write_bytes(photo)
        (root / "masks" / f"{number}.bmp").write_bytes(content)
    (root / "masks" / f"{count - 7}.bmp").write_bytes(content[:40])
    return root


@pytest.mark.slow
def test_one_bad_file_among_20000_is_named_before_the_first_step(folders: Any, readers: Any) -> None:
    count = 20_000
    root = many(folders, count)
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(DatasetError) as caught:
        open_dataset(root, registry=readers)
    [line] = caught.value.problems
    assert line.startswith(f"masks/{count - 7}.bmp: ")
    assert time.process_time() - begin < count / 200  # 5 ms each; it takes one
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100 * 1024  # kilobytes


MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "HSV", "PA"]
ENDINGS = ["png", "tif", "jpg", "gif", "bmp", "webp", "ppm"]


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    mode=st.sampled_from(MODES),
    ending=st.sampled_from(ENDINGS),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    orientation=st.integers(0, 9),
    fov=st.sampled_from(["full", "derive"]),
)
def test_any_mode_size_and_orientation_is_prepared_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    readers: Any,
    mode: str,
    ending: str,
    size: tuple[int, int],
    orientation: int,
    fov: Any,
) -> None:
    root = tmp_path_factory.mktemp("modes")
    (root / "images").mkdir()
    (root / "labels").mkdir()
    exif = Image.Exif()
    exif[0x0112] = orientation
    shades = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(shades)
    image = image.convert("L").convert(mode) if mode in {"I;16", "LA", "PA"} else image.convert(mode)
    options: dict[str, Any] = {"exif": exif} if ending in {"png", "jpg", "tif", "webp"} else {}
    try:
        image.save(root / f"images/0.{ending}", **options)
    except (OSError, ValueError, KeyError):
        return  # no such file can be written
    turned = orientation in {5, 6, 7, 8} and bool(options)
    mask = Image.new("L", size[::-1] if turned else size, 255)
    mask.save(root / "labels/0.png")
    try:
        dataset = open_dataset(root, registry=readers, config=DataConfig(fov=fov))
    except DatasetError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        assert "field of view" in refused
        assert fov == "derive" or max(size) > 15 * min(size)
        return
    batch = prepare(dataset, ("label",), 16, root / "cache").batch([0])
    assert batch.photos.shape == (1, 3, 16, 16)
    assert batch.labels.max() > 100


def test_inspect_tells_what_was_done(folders: Any, readers: Any) -> None:
    root = spoilt(folders, lambda p, f: f.save(p.with_suffix(".png"), f.photo()[:, :, 0]))
    assert (
        "1 grey photograph is repeated to three channels"
        in inspect_dataset(root, registry=readers).to_json()["notes"]
    )  # type: ignore[operator]
