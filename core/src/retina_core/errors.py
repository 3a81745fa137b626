"""Every error that a user can cause, as one tree.

    RetinaError
    ├── RequestError                  what was asked for cannot be (exit status 2)
    │   ├── PluginError
    │   │   ├── UnknownStageError     no plugin offers the stage
    │   │   ├── WrongRoleError        the stage plays another role
    │   │   ├── AmbiguousStageError   several roles share the name
    │   │   └── BrokenPluginError     it is installed, but cannot be used
    │   ├── ChannelError              stages whose label channels do not fit
    │   ├── GradeError                a grade that the label generator cannot draw
    │   ├── ConfigError
    │   │   ├── UnknownKeyError       no such key, with the nearest right one
    │   │   ├── InvalidValueError     a value of the wrong type or out of bounds
    │   │   └── UnknownPresetError
    │   ├── DataError
    │   │   ├── PathError             a path that is not there, or not of the right kind
    │   │   ├── UnknownLayoutError    no reader knows the folder, or several do
    │   │   ├── DatasetError          everything wrong with a data set, one line per file
    │   │   └── LeakError             a test photograph was seen in training
    │   └── FormatError
    │       ├── StageFolderError      a stage folder is damaged or of another kind
    │       ├── SampleSetError        a synthetic set is damaged
    │       └── RunFolderError        a run folder of another request, or in use
    └── RunError                      work that began and failed (exit status 1)
        ├── NonFiniteLossError
        └── StorageError              the disk is full, or a folder cannot be written

A class takes values, keeps them as attributes, builds its own sentence, and ends with what to do next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from retina_core.names import shown


class RetinaError(Exception):
    """The root: anything that a user, rather than a bug, can cause."""

    exit_status = 1

    def __init__(self, sentence: str = "") -> None:
        # A file's name or content must not steer the terminal that it is shown on.
        super().__init__("\n".join(map(shown, sentence.split("\n"))))


class RequestError(RetinaError):
    """The request cannot be carried out; nothing was started."""

    exit_status = 2


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the closest known name, or nothing."""
    from difflib import get_close_matches  # 10 ms that only a mistake costs

    matches = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else ""


class PluginError(RequestError):
    """A plugin, or what it offers, is not to be had."""


class UnknownStageError(PluginError):
    """No installed plugin offers the stage."""

    def __init__(self, role: str | None, name: str, known: Iterable[str]) -> None:
        self.role, self.name, self.known = role, name, sorted(known)
        offered = ", ".join(self.known) or "none installed"
        super().__init__(
            f"no {role or 'stage'} is called {name!r} (have: {offered}){nearest(name, self.known)} "
            f"try: retina list, or pip install retina-{name}"
        )


class WrongRoleError(PluginError):
    """The stage exists, in another role."""

    def __init__(self, name: str, role: str, actual: Sequence[str], known: Iterable[str]) -> None:
        self.name, self.role, self.actual, self.known = name, role, tuple(actual), sorted(known)
        offered = ", ".join(self.known) or "none installed"
        super().__init__(
            f"{name!r} is {' and '.join(_article(r) for r in self.actual)}, not {_article(role)}; "
            f"choose one of: {offered}"
        )


def _article(role: str) -> str:
    return f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


class AmbiguousStageError(PluginError):
    """Several roles share the name."""

    def __init__(self, name: str, roles: Sequence[str]) -> None:
        self.name, self.roles = name, tuple(roles)
        choices = " or ".join(f"{role}:{name}" for role in self.roles)
        super().__init__(f"several stages are called {name!r}; write {choices}")


class BrokenPluginError(PluginError):
    """The plugin is installed, but it cannot be used."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"plugin {name!r} cannot be used: {reason}; see: retina doctor")


class ChannelError(RequestError):
    """A stage needs label channels that another one, or the data, does not have."""

    def __init__(self, needing: str, missing: Iterable[str], having: str, known: Iterable[str]) -> None:
        self.needing, self.missing, self.having, self.known = needing, sorted(missing), having, list(known)
        super().__init__(
            f"{needing} needs the channel(s) {', '.join(self.missing)}, which {having} does not have "
            f"(has: {', '.join(self.known) or 'none'}); choose stages of the same channels or set data.channels"
        )


class GradeError(RequestError):
    """A grade is asked for that the label generator cannot draw."""

    def __init__(self, generator: str, grade: int | str, reason: str, advice: str) -> None:
        self.generator, self.grade, self.reason = generator, grade, reason
        super().__init__(f"--grade {grade} cannot be asked of {generator}: {reason}; {advice}")


_COMMANDS = frozenset(
    {"annotate", "evaluate", "generate", "learning-curve", "pipeline", "sweep", "train", "transfer"}
)
_SELF_EXPLAINING = frozenset({"data", "grader", "retina", "training"})
"""Owners of settings that neither ``retina show`` nor a command's help lists; their reasons say what to write."""


class ConfigError(RequestError):
    """A setting is wrong."""


class UnknownKeyError(ConfigError):
    """No setting has this name."""

    def __init__(self, owner: str, key: str, known: Iterable[str]) -> None:
        self.owner, self.key, self.known = owner, key, sorted(known)
        super().__init__(
            f"{owner} has no setting {key!r}{nearest(key, self.known) or ';'} have: {', '.join(self.known)}"
        )


class InvalidValueError(ConfigError):
    """A value has the wrong type or lies out of bounds; without a key: several that cannot be used together."""

    def __init__(self, owner: str, key: str, value: object, reason: str) -> None:
        self.owner, self.key, self.value, self.reason = owner, key, value, reason
        where = f"retina {owner} --help" if owner in _COMMANDS else f"retina show {owner}"
        see = "" if owner in _SELF_EXPLAINING else f"; see: {where}"
        what = f"{key}={value!r:.200} cannot be used: " if key else ""
        super().__init__(f"{owner}: {what}{reason}{see}")


class UnknownPresetError(ConfigError):
    """The stage has no preset of this name."""

    def __init__(self, owner: str, preset: str, known: Iterable[str]) -> None:
        self.owner, self.preset, self.known = owner, preset, list(known)
        super().__init__(
            f"{owner} has no preset {preset!r}{nearest(preset, self.known) or ';'} "
            f"have: {', '.join(self.known)}"
        )


class DataError(RequestError):
    """Something about the data or its place is wrong."""


class PathError(DataError):
    """A path is not there, or is not what it should be."""

    def __init__(self, path: Path | str, reason: str, advice: str) -> None:
        self.path, self.reason, self.advice = Path(path), reason, advice
        super().__init__(f"{path}: {reason}; {advice}")


class UnknownLayoutError(DataError):
    """No reader knows the folder's layout, or more than one does."""

    def __init__(self, path: Path | str, fitting: Sequence[str], known: Sequence[str]) -> None:
        self.path, self.fitting, self.known = Path(path), tuple(fitting), tuple(known)
        said = f"readers {', '.join(fitting)} all fit" if fitting else "no reader knows its layout"
        super().__init__(f"{path}: {said}; name one with --reader (have: {', '.join(known)})")


class DatasetError(DataError):
    """Everything that is wrong with a data set, found before the first step."""

    def __init__(self, path: Path | str, problems: Sequence[str]) -> None:
        self.path, self.problems = Path(path), tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        super().__init__(f"{path}: {count}; mend or leave out these files and run again{lines}")


class LeakError(DataError):
    """A test photograph was seen by a generative model, as it is or saved another way."""

    def __init__(self, sample_ids: Sequence[str], origin: str, pairs: Sequence[tuple[str, str]] = ()) -> None:
        """``pairs``: test photographs, each with the one that was seen and shows the same picture."""
        self.sample_ids, self.origin, self.pairs = tuple(sample_ids), origin, tuple(pairs)
        lines = "".join(f"\n  {tested} shows the same picture as {seen}" for tested, seen in self.pairs)
        super().__init__(
            f"{len(self.sample_ids)} test photograph(s) were seen in training of {origin}: "
            f"{', '.join(self.sample_ids[:5])}; evaluate on photographs that it has not seen, or train it again{lines}"
        )


class FormatError(RequestError):
    """Something that retina wrote, or should have written, cannot be read."""


class StageFolderError(FormatError):
    """A stage folder is damaged, or not one."""

    def __init__(self, folder: Path | str, reason: str) -> None:
        self.folder, self.reason = Path(folder), reason
        super().__init__(f"{folder}: {reason}; train the stage again or restore the folder from its source")


class SampleSetError(FormatError):
    """A synthetic set is damaged, or not one."""

    def __init__(self, folder: Path | str, reason: str) -> None:
        self.folder, self.reason = Path(folder), reason
        super().__init__(f"{folder}: {reason}; generate the set again or restore the folder from its source")


class RunFolderError(FormatError):
    """A run folder belongs to another request, or another process works in it."""

    def __init__(self, folder: Path | str, reason: str, advice: str) -> None:
        self.folder, self.reason = Path(folder), reason
        super().__init__(f"{folder}: {reason}; {advice}")


class RunError(RetinaError):
    """Work that had begun failed; what was made before is kept."""


class NonFiniteLossError(RunError):
    """A loss became infinite or not a number."""

    def __init__(
        self, stage: str, seen_images: int, losses: dict[str, float], checkpoint: Path | None
    ) -> None:
        self.stage, self.seen_images, self.losses, self.checkpoint = stage, seen_images, losses, checkpoint
        bad = ", ".join(f"{name}={value}" for name, value in losses.items())
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint had been written"
        super().__init__(
            f"{stage}: the loss is not finite after {seen_images} seen images ({bad}); {kept}; "
            "try a lower learning_rate or --precision fp32"
        )


class StorageError(RunError):
    """The disk is full, or a folder cannot be written."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = Path(path), reason
        super().__init__(
            f"{path}: cannot be written: {reason}; free some space or choose another --out and run again"
        )
