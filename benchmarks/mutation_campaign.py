"""Damages files of every kind that retina reads, loads each, and counts what comes of it.

    python benchmarks/mutation_campaign.py --mutants 10000 --seed 0 --out benchmarks/mutation_campaign.json

A mutant *works*, or is *refused* with one of retina's own errors. Anything else is a defect: another exception, a
warning, more time or memory than the limits below, a file written elsewhere, or anything run, imported or opened
because a mutant said so (watched by an audit hook).
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from corpus import Target, write_corpus
from mutators import PLANT, mutators_of

SECONDS = 30.0
"""What loading one mutant may take, on a machine with other work; most take hundredths."""
MOST_MORE_BYTES = 4 * 2**30
"""What the process may grow by: a picture of 100 million pixels, the most that is read, takes 1.1 GB while it is."""
STRUCTURAL = 0.08
"""Share of mutants in which a file is missing, swapped, a folder, a link or a pipe."""


class MutantTimeoutError(BaseException):
    """A mutant took too long; no handler of the product may catch it."""


class Verdict(NamedTuple):
    """What came of one mutant."""

    kind: str
    """works, refused or defect"""
    said: str
    trace: str = ""


@dataclass
class Watch:
    """Sees what the interpreter is told to do while a mutant is loaded."""

    folder: Path
    """Where alone files may be written."""
    active: bool = False
    caught: list[str] = field(default_factory=list)

    RUNS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pickle.find_class")
    SPEAKS = (
        "import",
        "compile",
        "exec",
        "open",
        "os.listdir",
        "ctypes.dlopen",
        "socket.connect",
        "os.mkdir",
    )

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event in self.RUNS or (event in self.SPEAKS and PLANT in str(arguments)[:5000]):
            self.caught.append(f"{event} {str(arguments)[:200]}")
        elif event == "open" and self._writes(arguments) and not self._inside(arguments[0]):
            self.caught.append(f"writes {str(arguments)[:200]}")

    @staticmethod
    def _writes(arguments: tuple[Any, ...]) -> bool:
        mode, flags = str(arguments[1] or ""), arguments[2] or 0
        return bool(set(mode) & set("wax+")) or bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

    def _inside(self, path: Any) -> bool:
        name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        return not name or name == os.devnull or os.path.realpath(name).startswith(f"{self.folder}/")


def mutate(rng: random.Random, target: Target, folder: Path) -> str:
    """Change one file of a copy of a target; says which and how."""
    path = folder / rng.choice(target.files)
    if rng.random() < STRUCTURAL:
        return f"{path.name}: {_misplaced(rng, path, folder)}"
    mutator = rng.choice(mutators_of(path.name))
    try:
        content = mutator(rng, path.read_bytes())
    except (
        ValueError,
        KeyError,
        IndexError,
        TypeError,
        RecursionError,
    ):  # e.g. JSON that does not fit the mutator
        mutator, content = mutators_of("")[0], path.read_bytes()[:-1]
    path.unlink()  # a hard link to the original
    path.write_bytes(content)
    if target.resign and rng.random() < 0.8:
        target.resign(folder)
    return f"{path.relative_to(folder)}: {mutator.__name__}"


def _misplaced(rng: random.Random, path: Path, folder: Path) -> str:
    others = sorted(one for one in folder.rglob("*") if one.is_file() and one != path)
    content = rng.choice(others).read_bytes() if others else b""
    path.unlink()
    what = rng.choice(["missing", "swapped", "folder", "loop", "device", "pipe"])
    if what == "swapped":
        path.write_bytes(content)
    elif what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what != "missing":
        path.symlink_to(path.name if what == "loop" else "/dev/zero")
    return what


def judge(load: Callable[[Path], object], folder: Path, watch: Watch) -> Verdict:
    """Load one mutant and see what comes of it."""
    from retina_core.errors import RetinaError

    watch.caught.clear()
    try:
        with _limited(watch):
            load(folder)
        verdict = Verdict("works", "")
    except RetinaError as error:
        verdict = Verdict("refused", f"{type(error).__name__}: {error}"[:500])
        if "memory" in _causes(error):
            verdict = Verdict("defect", "took memory without bound", traceback.format_exc()[-3000:])
    except MutantTimeoutError:
        verdict = Verdict("defect", f"took more than {SECONDS} s", traceback.format_exc()[-3000:])
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        verdict = Verdict("defect", f"{type(error).__name__}: {error}"[:500], traceback.format_exc()[-3000:])
    return Verdict("defect", "; ".join(watch.caught[:3])) if watch.caught else verdict


def _causes(error: BaseException | None) -> str:
    """``memory`` where an error began with memory that could not be had."""
    while error is not None:
        if (
            isinstance(error, MemoryError)
            or "allocate memory" in str(error)
            or "fit into memory" in str(error)
        ):
            return "memory"
        error = error.__cause__ or error.__context__
    return ""


@contextmanager
def _limited(watch: Watch) -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)  # for what no signal wakes
    watch.active = True
    try:
        yield
    finally:
        watch.active = False
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_long(*_: object) -> None:
    raise MutantTimeoutError


def _pages() -> int:
    """Address space in use."""
    return int(Path("/proc/self/statm").read_text().split()[0])


@contextmanager
def guarded(watch: Watch) -> Iterator[None]:
    """Warnings are errors, memory is bounded, a mutant's time is bounded, and the audit hook looks on."""
    sys.addaudithook(watch)  # it cannot be removed, but is asleep outside of ``judge``
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = _pages() * resource.getpagesize() + MOST_MORE_BYTES
    handler = signal.signal(signal.SIGALRM, _too_long)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".torch.jit.script_method. is deprecated")
        resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, before)
            signal.signal(signal.SIGALRM, handler)


def campaign(
    count: int, seed: int, work: Path, told: Callable[[int, Counter[str]], None] | None = None
) -> dict[str, Any]:
    """Judge ``count`` mutants of all targets in turn; the same seed makes the same mutants."""
    work = Path(os.path.realpath(work))
    targets = write_corpus(work / "corpus")
    watch = Watch(work)
    counts: dict[str, Counter[str]] = {target.name: Counter() for target in targets}
    defects: list[dict[str, str]] = []
    slowest = 0.0
    before = _pages() * resource.getpagesize()
    with guarded(watch):
        for target in targets:  # lazily imported modules come in here; and the originals must work
            sound = judge(target.load, _copy(target, work), watch)
            if sound.kind != "works":
                raise RuntimeError(f"{target.name} does not work as it is: {sound.said}\n{sound.trace}")
        order = [target for target in targets for _ in range(target.weight)]
        for number in range(count):
            target = order[number % len(order)]
            folder = _copy(target, work)
            how = mutate(random.Random(f"{seed} {number}"), target, folder)
            begun = time.perf_counter()
            verdict = judge(target.load, folder, watch)
            if _pages() * resource.getpagesize() > before + MOST_MORE_BYTES // 4:
                gc.collect()  # pictures that the traceback of an earlier mutant still holds
            slowest = max(slowest, time.perf_counter() - begun)
            counts[target.name][verdict.kind] += 1
            if verdict.kind == "defect":
                defects.append(
                    {"mutant": str(number), "target": target.name, "how": how, **verdict._asdict()}
                )
            if told:
                told(number + 1, sum(counts.values(), Counter()))
    total = sum(counts.values(), Counter())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "schema": 1,
        "mutants": count,
        "seed": seed,
        **{kind: total[kind] for kind in ("works", "refused", "defect")},
        "slowest_seconds": round(slowest, 2),
        "peak_bytes": peak,
        "targets": {name: dict(sorted(found.items())) for name, found in counts.items()},
        "defects": defects[:200],
    }


def _copy(target: Target, work: Path) -> Path:
    """A fresh copy of hard links, in which one file will be replaced."""
    folder = work / "mutant"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(target.folder, folder, copy_function=os.link)
    return folder


def main() -> int:
    """Run the campaign; the exit status is 1 where there are defects."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    faulthandler.enable()
    begun = time.monotonic()

    def tell(done: int, counts: Counter[str]) -> None:
        if done % 500 == 0:
            print(
                f"{done} mutants, {time.monotonic() - begun:.0f} s, {dict(counts)}",
                file=sys.stderr,
                flush=True,
            )

    with tempfile.TemporaryDirectory(prefix="retina-mutants-") as work:
        os.environ["RETINA_CACHE"] = str(Path(work, "cache"))
        found = campaign(arguments.mutants, arguments.seed, Path(work), tell)
    found["seconds"] = round(time.monotonic() - begun)
    text = json.dumps(found, indent=2) + "\n"
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(
        text
        if not arguments.out
        else f"{found['defect']} defects of {found['mutants']} mutants: {arguments.out}"
    )
    return 1 if found["defect"] else 0


if __name__ == "__main__":
    sys.exit(main())
