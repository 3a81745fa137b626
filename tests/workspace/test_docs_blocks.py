"""Every code block of the README and the docs works as it stands there, at sizes that take seconds.

The blocks of a page are run in their order in one empty folder. A block with a title is a file. To commands that train,
draw or evaluate, settings of tiny networks are appended; nothing else is changed. A block that no test can run says why
in a comment before it (``<!-- not run: ... -->``); its commands and options must exist all the same.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from retina_cli.experiment import read_experiment
from retina_cli.group import RetinaGroup
from retina_cli.main import main as retina
from retina_core.formats.phantom_set import write_phantom_set
from retina_core.registry import Registry
from retina_core.specs import Role

ROOT = Path(__file__).parents[2]
STAGE_PAGE = ROOT / "docs/how-to/write-a-stage.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE_PAGES = [ROOT / "core/README.md", ROOT / "cli/README.md", *sorted(ROOT.glob("plugins/*/README.md"))]
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?"
    r'^(?P<indent> *)```(?P<language>\w*)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^(?P=indent)```$',
    re.MULTILINE | re.DOTALL,
)
TINY_GAN = (
    "resolution=32",
    "width=8",
    "max_width=16",
    "discriminator_width=8",
    "seen_images=16",
    "batch_size=4",
)
TINY = {
    "acgan": (
        "resolution=32",
        "first_px=16",
        "width=4",
        "max_width=8",
        "latent=8",
        "seen_images=16",
        "batch_size=4",
    ),
    "dcgan": (*TINY_GAN, "seen_images=400"),  # after 16 it may mark nothing in so few maps, which is an error
    "pgan": (
        "resolution=32",
        "first_px=8",
        "width=4",
        "max_width=8",
        "latent=8",
        "seen_images=16",
        "batch_size=4",
    ),
    "phantom": ("resolution=32",),
    "migan": (*TINY_GAN, "code=8", "code_width=4"),
    "pix2pix": TINY_GAN,
    "spade": (*TINY_GAN, "width_px=32", "hidden=4", "latent=4", "style_width=4"),
    "unet": ("resolution=32", "patch_px=16", "width=4", "depth=2", "seen_images=16", "batch_size=4"),
    "vae": ("resolution=32", "width=8", "latent=8", "seen_images=16", "batch_size=4"),
}
ROLES: dict[str, Role] = {
    "labels": "label-generator",
    "translator": "image-translator",
    "pairs": "pair-generator",
}
"""Option that names a stage -> its role."""
TINY_DATA = ("phantom_count=6", "phantom_px=48", "channels=vessel")
"""One channel: a generator that saw 16 maps may well draw no disc at all."""

FIXED = {
    "generate": ("--count", "6"),
    "data phantom": ("--count", "6", "--size", "48"),
    "compare-critics": (
        *("--critics", "none,pixel", "--set", "data.phantom_count=6", "--set", "data.phantom_px=48"),
        *("--set", "resolution=32", "--set", "patch_px=16", "--set", "width=4", "--set", "max_width=8"),
        *("--set", "critic_width=4", "--set", "seen_images=8", "--set", "batch_size=4"),
        *("--set", "data.channels=vessel"),
    ),
    "annotate": (
        *("--set", "grader.resolution=32", "--set", "grader.width=4"),
        *("--set", "grader.seen_images=16", "--set", "grader.batch_size=4"),
    ),
}
"""Command -> what is appended to it, whatever else it says."""

SERIES = {
    "sweep": ("--seeds", "1"),
    "learning-curve": ("--seeds", "1", "--eyes", "2,4"),
    "transfer": ("--seeds", "1", "--count", "4"),
}
"""Command that trains a segmenter many times -> what is appended to it, so that it does few times."""


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    title: str | None
    reason: str | None
    """Why no test runs it."""

    @property
    def commands(self) -> list[str]:
        """Its lines without comments, continued ones joined."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in (re.sub(r"(^|\s)# .*", "", line).strip() for line in lines) if line]


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(f["language"], f["text"], f["title"], f["reason"]) for f in found]


def ident(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@dataclass
class Session:
    """One page being read by somebody who types in what stands there."""

    home: Path
    in_process: bool = True
    """Whether ``retina`` is called rather than started: torch is imported once for all pages."""
    names: dict[str, Any] = field(default_factory=dict)

    def run(self, block: Block) -> None:
        if block.title:
            self._write(block.title, block.text)
        elif block.language == "python":
            exec(compile(block.text, "a block of the docs", "exec"), self.names)  # the docs are ours
        elif block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "sh":
            for command in block.commands:
                self._command(command)

    def _write(self, title: str, text: str) -> None:
        path = self.home / title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        if title == "experiment.toml":
            assert read_experiment(path).options
        elif path.suffix == ".toml":
            tomllib.loads(text)

    def _command(self, command: str) -> None:
        words = shlex.split(command)
        if "retina" in (words[0], words[-1]) or "retina_cli" in words:
            words += tiny(words)
        if words[0] == "retina" and self.in_process and not set("|<>;&") & set(command):
            done = CliRunner().invoke(retina, words[1:])
            assert done.exit_code == 0, f"{command}\n{done.output}\n{done.exception!r}"
            return
        told = shlex.join(words) if words != shlex.split(command) else command
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
        run = subprocess.run(
            ["bash", "-euc", told],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"


def tiny(words: Sequence[str]) -> list[str]:
    """What is appended to a command of ``retina`` so that it takes a second."""
    words = words[words.index("retina_cli" if "retina_cli" in words else "retina") + 1 :]
    named = {prefix: value(words, f"--{prefix}") for prefix in ROLES}
    evaluators = [words[i + 1] for i, word in enumerate(words) if word == "--evaluator"]
    for file in (Path(word) for word in words if word.endswith(".toml")):
        options = read_experiment(file).options
        named = {prefix: options.get(prefix, name) for prefix, name in named.items()}
        evaluators = evaluators or list(options.get("evaluator", ()))
    if words[0] in ("pipeline", *SERIES):
        evaluators = evaluators or ["unet"]
    said = " ".join(words)
    sizes = [f"data.{size}" for size in TINY_DATA if f"data.{size.partition('=')[0]}=" not in said]
    if words[0] == "train":
        stage = words[1].rpartition(":")[2]
        return settings([*sizes, *TINY[stage]])
    if fixed := FIXED.get(words[0] if words[0] != "data" else " ".join(words[:2])):
        return list(fixed)
    if words[0] not in ("pipeline", "evaluate", *SERIES):
        return []
    sizes += [f"{name}.{size}" for name in evaluators for size in TINY.get(name, ())]
    if words[0] == "evaluate":
        return [*settings(sizes), "--seeds", "1"]
    named = {prefix: name for prefix, name in named.items() if name}
    if not comes_trained(words, named):
        sizes += [f"{prefix}.{size}" for prefix, name in named.items() for size in TINY[name]]
    return [*settings(sizes), *SERIES.get(words[0], ("--count", "4"))]


def comes_trained(words: Sequence[str], stages: Mapping[str, str]) -> bool:
    """Whether a pipeline uses the starters of its stages as they are: then a setting of theirs would train them."""
    registry, asked = Registry.discover(), {"--data", "--preset", "--init", "--set"} & {*words}
    return (
        not asked
        and not words[-1].endswith(".toml")
        and all(registry.stage(name, ROLES[prefix]).starter for prefix, name in stages.items())
    )


def value(words: Sequence[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words else ""


def settings(sizes: Sequence[str]) -> list[str]:
    return [word for size in sizes for word in ("--set", size)]


def draw_chase(folder: Path) -> None:
    """Phantoms in the layout of CHASE_DB1, three patients to train on and one to test on."""
    write_phantom_set(folder.with_name("eyes"), 8, 48, seed=7)
    for index, eye in enumerate(f"{patient:02}{side}" for patient in (1, 2, 3, 12) for side in "LR"):
        for part, name in (
            ("images", ".jpg"),
            ("labels/vessel", "_1stHO.png"),
            ("labels/vessel", "_2ndHO.png"),
        ):
            folder.mkdir(parents=True, exist_ok=True)
            with Image.open(folder.with_name("eyes") / part / f"{index:06}.png") as picture:
                picture.save(folder / f"Image_{eye}{name}")


def draw_hrf(folder: Path) -> None:
    """Phantoms in the layout of HRF: an eye each of five patients, of two diagnoses."""
    write_phantom_set(folder.with_name("other-eyes"), 5, 48, seed=11)
    for index, eye in enumerate(("01_h", "02_h", "03_h", "01_dr", "02_dr")):
        for part, place in (
            ("images", f"images/{eye}.jpg"),
            ("labels/vessel", f"manual1/{eye}.tif"),
            ("fov", f"mask/{eye}_mask.tif"),
        ):
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(folder.with_name("other-eyes") / part / f"{index:06}.png") as picture:
                picture.save(target)


def draw_idrid(folder: Path) -> None:
    """Phantoms in the layout of IDRiD: one half of them with lesions and discs, the other with grades."""
    write_phantom_set(folder.with_name("graded"), 10, 48, seed=9, grades=(4, 2))
    photos = sorted((folder.with_name("graded") / "images").iterdir())
    names = {"EX": ("3. Hard Exudates", "hard_exudate"), "OD": ("5. Optic Disc", "optic_disc")}
    truths = folder / "B. Disease Grading" / "2. Groundtruths"
    truths.mkdir(parents=True)
    for half, word, some in (
        ("a. Training Set", "Training", photos[:6]),
        ("b. Testing Set", "Testing", photos[6:]),
    ):
        rows = ["Image name,Retinopathy grade"]
        for place, photo in enumerate(some):
            eye, part = f"IDRiD_{photo.stem}", "A. Segmentation" if place % 2 else "B. Disease Grading"
            target = folder / part / "1. Original Images" / half / f"{eye}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(photo) as picture:
                picture.save(target)
            if not place % 2:
                rows.append(f"{eye},{place % 4}")
                continue
            for ending, (name, channel) in names.items():
                target = (
                    folder / part / "2. All Segmentation Groundtruths" / half / name / f"{eye}_{ending}.tif"
                )
                target.parent.mkdir(parents=True, exist_ok=True)
                with Image.open(photo.parents[1] / "labels" / channel / photo.name) as picture:
                    picture.save(target)
        table = "".join(f"{row}\n" for row in rows)
        (truths / f"IDRiD_Disease Grading_{word} Labels.csv").write_text(table, encoding="utf-8")


def draw_folder(folder: Path) -> None:
    write_phantom_set(folder, 4, 48, seed=8)


def draw_class_numbers(folder: Path) -> None:
    """Masks of the same eyes in which 1 is vessel and 2 is optic disc."""
    write_phantom_set(folder.with_name("numbered"), 4, 48, seed=8)
    folder.mkdir(parents=True)
    for vessels in sorted((folder.with_name("numbered") / "labels/vessel").iterdir()):
        with (
            Image.open(vessels) as tree,
            Image.open(vessels.parents[1] / "optic_disc" / vessels.name) as disc,
        ):
            numbers = np.where(np.asarray(disc) > 0, 2, np.where(np.asarray(tree) > 0, 1, 0))
        Image.fromarray(numbers.astype(np.uint8)).save(folder / vessels.name)


PLACES = {
    "path/to/CHASE_DB1": draw_chase,
    "path/to/HRF": draw_hrf,
    "path/to/IDRiD": draw_idrid,
    "path/to/photographs": draw_folder,
    "path/to/masks": draw_class_numbers,
}
"""What a page may speak of as the reader's own."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a page's blocks are run."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    return home


def runnable(page: Path) -> list[Block]:
    kinds = {"python", "sh", "toml", "json"}
    return [
        block for block in blocks(page) if (block.language in kinds or block.title) and block.reason is None
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if runnable(p) and p != STAGE_PAGE], ids=ident)
def test_blocks_of_the_page_run(page: Path, home: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for place, draw in PLACES.items():
        if place in text:
            draw(home / place)
    session = Session(home)
    for block in runnable(page):
        session.run(block)


@pytest.mark.slow
def test_the_plugin_of_the_page_is_built_installed_and_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(home, in_process=False)
    for block in (block for block in blocks(STAGE_PAGE) if block.title):
        session.run(block)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    for step in (
        ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", "."],
        ["install", "--no-deps", "--no-index", "--find-links", "dist", "--target", "site", "retina-vae"],
    ):
        subprocess.run([*pip, *step], check=True, capture_output=True, text=True)
    (home / "src").rename(home / "src-that-is-not-installed")
    monkeypatch.setenv("PYTHONPATH", str(home / "site"))
    for block in runnable(STAGE_PAGE):
        if not block.title:
            session.run(block)
    listed = subprocess.run(
        [sys.executable, "-m", "retina_cli", "list", "--json"], check=True, capture_output=True, text=True
    )
    assert ("vae", "retina-vae", "ok") in {
        (row["name"], row["distribution"], row["status"]) for row in json.loads(listed.stdout)
    }
    assert json.loads((home / "runs/vae/labels/config.json").read_text())["name"] == "vae"
    assert len(list((home / "runs/vae/synthetic/images").iterdir())) == 4


def commands_of(page: Path) -> Iterator[str]:
    for block in blocks(page):
        if block.language == "sh":
            yield from block.commands
    yield from re.findall(r"^    (retina .*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("page", [p for p in [*PAGES, *PACKAGE_PAGES] if any(commands_of(p))], ids=ident)
def test_every_command_and_option_exists(page: Path) -> None:
    for command in commands_of(page):
        check(shlex.split(re.sub(r"(^|\s)# .*", "", command)))


def check(words: Sequence[str]) -> None:
    """Refuse a command that cannot be right, without running it."""
    if words[0] == "retina":
        check_retina(words[1:])
    elif words[0] == "torchrun":
        from torch.distributed.run import get_args_parser

        launched = get_args_parser().parse_args(words[1:])
        assert (launched.module, launched.training_script) == (True, "retina_cli")
        check_retina(launched.training_script_args)
    elif words[0] == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    else:
        known = {"pip", "python", "source", "cd", "cp", "mv", "cat", "mkdir", "git", "rm"}
        assert words[0] in known or Path(words[0]).parts[0] == ".venv", words


def check_retina(words: Sequence[str]) -> None:
    command: click.Command = retina
    context = click.Context(retina)
    rest = list(words)
    while isinstance(command, RetinaGroup):
        found = command.get_command(context, rest.pop(0))
        assert found is not None, words
        command = found
    command.make_parser(context).parse_args(rest)


@pytest.mark.parametrize("page", PAGES, ids=ident)
def test_every_block_is_fenced_and_of_a_known_kind(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        assert block.language in {"sh", "python", "toml", "json", "text"}, block
        assert block.reason is None or len(block.reason) > 10, block
    outside = BLOCK.sub("", text)
    assert "```" not in outside
    assert (
        re.findall(r"^    (?:retina|make|pip|python|torchrun|source) .*$", outside, flags=re.MULTILINE) == []
    )
    assert not re.findall(r"^<!-- not run", outside, flags=re.MULTILINE)
