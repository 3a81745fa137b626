"""A disk that is full, a folder that cannot be written, a folder in use: one clear error, and then it goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from retina_core import FitOptions, fit, generate
from retina_core.errors import RunFolderError, StorageError
from retina_core.formats.atomic import is_temporary, replacing_folder, write_text
from retina_core.formats.lock import sole_use
from retina_core.testing import tiny_eyes

resource = pytest.importorskip("resource", reason="this system knows no limits of a process")
CPU = FitOptions(device="cpu")
TINY = {
    **{"resolution": 32, "width": 8, "max_width": 16, "discriminator_width": 8},
    **{"seen_images": 24, "batch_size": 4, "checkpoint_every": 8},
}
NOBODY = 65534


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))


def train(out: Path) -> bytes:
    """A short training; gives its weights."""
    fit("label-generator:dcgan", tiny_eyes(), out, preset="quick", settings=TINY, options=CPU)
    return (out / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The weights of a training that met no trouble."""
    return train(tmp_path_factory.mktemp("straight") / "stage")


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """A disk quota for everybody: the system refuses to write further into a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount(["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)])
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def mount(options: list[str]) -> None:
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if is_temporary(path.name)]


def test_a_checkpoint_that_finds_no_room_leaves_the_last_one(tmp_path: Path, expected: bytes) -> None:
    with no_file_above(100_000), pytest.raises(StorageError) as caught:
        train(tmp_path / "stage")
    assert str(caught.value) == (
        f"{tmp_path}/stage/checkpoints/0000000008: cannot be written: File too large; "
        "free some space or choose another --out and run again"
    )
    assert leftovers(tmp_path) == []
    assert train(tmp_path / "stage") == expected


@pytest.mark.slow
def test_a_full_disk_loses_nothing(disk: Path, expected: bytes) -> None:
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        train(disk / "stage")
    reached, reasons = [], set()
    for size in range(400, 4000, 350):  # room for one checkpoint more, and one more
        mount(["-o", f"remount,size={size}k", str(disk)])
        assert leftovers(disk) == []
        try:
            weights = train(disk / "stage")
            break
        except StorageError as error:
            reasons.add(error.reason)
            pointer = disk / "stage/checkpoints/latest.json"
            reached.append(json.loads(pointer.read_text())["seen_images"] if pointer.exists() else 0)
    else:
        pytest.fail("the disk was never large enough")
    assert reached == sorted(reached)
    assert max(reached) > 0
    assert reasons == {"No space left on device"}
    assert weights == expected


def test_pairs_go_on_after_room_was_made(chain: Any, tmp_path: Path) -> None:
    folders = (chain.run / "labels", chain.run / "translator")
    out = tmp_path / "pairs"
    with no_file_above(1500), pytest.raises(StorageError, match=r"images/000000\.png: cannot be written"):
        generate(*folders, count=12, out=out, seed=3, options=CPU)
    assert leftovers(out) == []
    assert not (out / "metadata.jsonl").exists()
    generate(*folders, count=12, out=out, seed=3, options=CPU)
    assert (out / "metadata.jsonl").read_bytes() == (chain.run / "synthetic/metadata.jsonl").read_bytes()
    assert (out / "images/000011.png").read_bytes() == (
        chain.run / "synthetic/images/000011.png"
    ).read_bytes()


def test_a_row_that_found_no_room_is_written_again(chain: Any, tmp_path: Path) -> None:
    folders, out = (chain.run / "labels", chain.run / "translator"), tmp_path / "pairs"
    with no_file_above(4500), pytest.raises(StorageError, match=r"\.rows\.jsonl: cannot be written"):
        generate(*folders, count=12, out=out, seed=3, options=CPU)
    assert not (out / ".rows.jsonl").read_bytes().endswith(b"\n")  # torn
    generate(*folders, count=12, out=out, seed=3, options=CPU)
    assert (out / "metadata.jsonl").read_bytes() == (chain.run / "synthetic/metadata.jsonl").read_bytes()


def test_the_command_says_a_full_disk_in_one_line(tmp_path: Path) -> None:
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000));"
        "from retina_cli.main import main; main(sys.argv[1:], prog_name='retina')"
    )
    settings = [f"--set={key}={value}" for key, value in TINY.items()]
    data = ["--set=data.phantom_count=4", "--set=data.phantom_px=32", "--preset=quick", "--device=cpu"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            script,
            "train",
            "label-generator:dcgan",
            "--out",
            str(tmp_path / "stage"),
            *data,
            *settings,
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert "cannot be written: File too large; free some space" in last


UNWRITABLE = """
import os, sys
from pathlib import Path
from retina_core import FitOptions, Registry, fit
from retina_core.errors import StorageError
from retina_core.testing import tiny_eyes
registry = Registry.discover()
spec = registry.stage("label-generator:dcgan")
registry.stage_class(spec), registry.config_class(spec)  # imported while root, whose home nobody else may look into
if os.getuid() == 0:
    os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
try:
    fit("label-generator:dcgan", tiny_eyes(), Path(sys.argv[1]) / "stage", preset="quick", settings={settings}, registry=registry)
except StorageError as error:
    print(error)
"""


def test_a_folder_without_write_permission_is_said(tmp_path: Path) -> None:
    place = tmp_path / "others"
    place.mkdir(mode=0o555)
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest keeps its folders to the user who runs it
        if os.getuid() == 0:
            folder.chmod(0o755)
    script = UNWRITABLE.format(nobody=NOBODY, settings=TINY)
    done = subprocess.run(
        [sys.executable, "-c", script, str(place)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"{place}/stage: cannot be written: Permission denied; free some space or choose another --out and run again\n"
    )


def test_a_second_process_in_a_folder_is_refused(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path; from retina_core.formats.lock import sole_use\n"
            "with sole_use(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()",
            str(tmp_path / "stage"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    before = sorted((tmp_path / "stage").iterdir())
    with pytest.raises(RunFolderError, match="another process is working in it; wait for it to end"):
        train(tmp_path / "stage")
    assert sorted((tmp_path / "stage").iterdir()) == before
    holder.kill()  # the system frees what a killed process held
    holder.communicate()
    with sole_use(tmp_path / "stage"):
        pass


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(StorageError, match="a device or a pipe"):
            write_text(path, "words")
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()


def test_what_killed_processes_left_is_removed_and_what_others_hold_is_not(tmp_path: Path) -> None:
    left = [".run.json.7.retina.tmp", "a/.x.png.81.retina.tmp", "checkpoints/.0000000008.9.retina.tmp/state"]
    kept = ["run.json", ".hidden", "a/x.png", "other/.lock", "other/.y.json.5.retina.tmp", "notes.5.tmp"]
    for name in (*left, *kept):
        write_text(tmp_path / name, "x")
    with sole_use(tmp_path):
        found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {*kept, ".lock"}


def test_a_folder_written_anew_takes_the_place_of_what_a_kill_left(tmp_path: Path) -> None:
    left = tmp_path / ".set[1].77.retina.tmp"
    left.mkdir()
    (left / "half").write_text("x")
    with replacing_folder(tmp_path / "set[1]") as folder:
        (folder / "whole").write_text("y")
    assert [path.name for path in tmp_path.iterdir()] == ["set[1]"]
