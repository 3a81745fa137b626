"""``run.json``: what a run was asked, with what it was made, and how far each of its steps is."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retina_core.errors import RunFolderError, StorageError
from retina_core.formats.atomic import write_json
from retina_core.formats.strict_json import load_json


@dataclass(frozen=True)
class RunStep:
    """One step of a run."""

    name: str
    """Its folder in the run, and its name in ``run.json``."""
    work: Callable[[], object]
    files: Sequence[str]
    """What lies in its folder once it is done; the last of them is written last."""
    made_of: Sequence[str] = ()
    """Files of the run, or elsewhere, that its result depends on: where they changed, the result is another step's."""
    told: str = ""
    """What is done in it, for whoever waits."""


class RunRecord:
    """The ``run.json`` of a folder that this process has for itself."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Begin the record, or take up that of an earlier call.

        Args:
            facts: what ``run.json`` holds besides the steps; its ``digest`` says which request this is.

        Raises:
            RunFolderError: the folder holds a run of another request, or a damaged ``run.json``.
        """
        self.folder = folder
        self._steps = _read_steps(folder, str(facts["digest"]), facts.get("maps"))
        self._facts = dict(facts)

    def note(self, key: str, value: object) -> None:
        """Take up a fact that a step brought; it is written with the step's own entry."""
        self._facts[key] = value

    def begin(self, steps: Sequence[RunStep]) -> None:
        """Write the record, in which no step is done whose files are not there."""
        for step in steps:
            if self._entry(step).get("status") == "done" and not self._is_there(step):
                self._steps[step.name] = {**self._entry(step), "status": "missing"}
        self._write()

    def is_done(self, step: RunStep) -> bool:
        """Whether there is nothing left to do: the files are there, and made of what is there now."""
        entry = self._entry(step)
        same = entry.get("made_of", "") == self._digest(step)
        return entry.get("status") == "done" and same and self._is_there(step)

    def carry_out(self, step: RunStep) -> float:
        """Do a step, and record how it went and how many seconds it has taken in all, which is returned."""
        spent = self._entry(step).get("wall_seconds")
        before = spent if isinstance(spent, (int, float)) else 0.0
        begun = time.monotonic()
        entry: dict[str, Any] = {"status": "begun", "wall_seconds": before, "made_of": self._digest(step)}
        with self._recorded(step, entry):
            try:
                step.work()
                entry["status"] = "done"
            except KeyboardInterrupt:
                entry["status"] = "interrupted"
                raise
            except BaseException:
                entry["status"] = "failed"
                raise
            finally:
                entry["wall_seconds"] = round(before + time.monotonic() - begun, 1)
        return float(entry["wall_seconds"])

    @contextmanager
    def _recorded(self, step: RunStep, entry: dict[str, Any]) -> Iterator[None]:
        self._steps[step.name] = entry
        self._write()
        try:
            yield
        except BaseException:
            with suppress(StorageError):  # a full disk fails twice; the first error is the one to tell
                self._write()
            raise
        self._write()

    def _entry(self, step: RunStep) -> dict[str, Any]:
        return self._steps.get(step.name, {})

    def _is_there(self, step: RunStep) -> bool:
        return all((self.folder / step.name / name).is_file() for name in step.files)

    def _digest(self, step: RunStep) -> str:
        digest = hashlib.sha256()
        for name in step.made_of:
            path = self.folder / name
            digest.update(path.read_bytes() if path.is_file() else b"")
        return digest.hexdigest() if step.made_of else ""

    def _write(self) -> None:
        write_json(self.folder / "run.json", {**self._facts, "steps": self._steps})


def _read_steps(folder: Path, digest: str, maps: object) -> dict[str, dict[str, Any]]:
    try:
        found = load_json(folder / "run.json")
        if found["digest"] != digest:
            raise RunFolderError(
                folder, "it holds a run of another request", "choose another --out, or leave --out away"
            )
        if found.get("maps", maps) != maps:
            reason = "it holds a run on the same photographs with other label maps, fields of view or grades"
            raise RunFolderError(folder, reason, "choose another --out")
        return {str(name): dict(entry) for name, entry in found["steps"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(folder, f"run.json cannot be read ({error})", "choose another --out") from None
