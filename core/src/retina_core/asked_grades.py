"""Which grade of diabetic retinopathy each drawn eye has: one that is asked for, or as in the training set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Literal, Self

import torch

from retina_core.errors import BrokenPluginError, GradeError, InvalidValueError
from retina_core.grades import GRADES
from retina_core.randomness import sample_rng

if TYPE_CHECKING:
    from retina_core.registry import Registry
    from retina_core.roles import DrawingStage


Wish = int | Literal["uniform", "as-data"]
"""One grade; all in turn; or drawn as often as in the training set."""


@dataclass(frozen=True)
class AskedGrades:
    """The grade of each pair of a run; without any, the generator is not told one."""

    shares: Mapping[int, float] = field(default_factory=dict)
    """Grade -> its share of the training set."""
    wish: Wish | None = None
    """None: no eye has a grade."""
    unseen: bool = False
    """Whether grades are drawn too that the training set does not hold."""

    @classmethod
    def of(
        cls,
        kind: type[DrawingStage],
        channels: Sequence[str],
        shares: Mapping[int, float],
        wish: int | str | None,
        *,
        unseen: bool,
        registry: Registry,
    ) -> Self:
        """What is asked of a generator of a class; nothing said: as in its training set, where that has grades.

        Args:
            channels: those that it draws.
            shares: of grades in its training set.
            unseen: whether a grade that is not there is insisted on.

        Raises:
            InvalidValueError: ``wish`` is no grade.
            GradeError: it draws no grades, or not this one.
        """
        asked = parsed_grade(wish)
        held = {grade: share for grade, share in sorted(shares.items()) if share > 0}
        if unseen and asked is None:
            reason = "no grade is asked for; add --grade, or leave out --unseen-grade"
            raise InvalidValueError("generate", "unseen_grade", unseen, reason)
        if asked is not None:
            _refuse(kind, channels, held, asked, unseen, registry)
        if not kind.shows_grades(channels) or not held:
            return cls()
        return cls(held, asked if asked is not None else "as-data", unseen)

    @property
    def dealt(self) -> tuple[int, ...]:
        """The grades that eyes may have."""
        if self.wish is None:
            return ()
        if isinstance(self.wish, int):
            return (self.wish,)
        return GRADES if self.wish == "uniform" and self.unseen else tuple(self.shares)

    def at(self, seed: int, index: int) -> int | None:
        """The grade of pair ``index``: the same at every attempt, so that drawing again leaves the shares as they are."""
        if self.wish == "as-data":
            place = float(torch.rand((), generator=sample_rng(seed, "grade", index)))
            return at_quantile(self.shares, place)
        return self.dealt[index % len(self.dealt)] if self.dealt else None

    def facts(self) -> list[object]:
        """What tells one set from another by it; nothing where no eye has a grade."""
        return [] if self.wish is None else [self.wish, self.unseen]

    @property
    def strange(self) -> tuple[int, ...]:
        """Grades that are drawn, of which the training set has no eye."""
        return tuple(grade for grade in self.dealt if grade not in self.shares)

    def told(self) -> str:
        """Which grades ``uniform`` leaves out; empty where there is nothing to say."""
        missing = [grade for grade in GRADES if grade not in self.dealt]
        if self.wish != "uniform" or not missing:
            return ""
        held = _listed(self.dealt)
        return f"no training eye has grade {_listed(missing)}, so that they are of {held} in equal numbers"

    def remarks(self) -> list[str]:
        """What the card of a set says of its grades; nothing where no eye has one."""
        if self.wish is None:
            return []
        how = {"as-data": "as often as in the training set", "uniform": "in equal numbers"}.get(
            str(self.wish)
        )
        grades = f"grade {self.wish}" if how is None else f"grades {_listed(self.dealt)}, {how}"
        said = f"Eyes of {grades} were asked for (diabetic retinopathy, ICDR): the `grade` of each row."
        if self.strange:
            said += (
                f" Of grade {_listed(self.strange)} the label generator has seen no eye: such rows say `grade_unseen`, and "
                "what they show is a guess."
            )
        return [said]


def parsed_grade(wish: int | str | None) -> Wish | None:
    """A wish as it is written: ``3``, ``"3"``, ``"uniform"`` or ``"as-data"``.

    Raises:
        InvalidValueError: it is neither.
    """
    found = {str(one): one for one in (*GRADES, "uniform", "as-data")}.get(str(wish))
    if wish is not None and found is None:
        reason = (
            "a grade is 0, 1, 2, 3 or 4; uniform takes each in turn, as-data as the training set has them"
        )
        raise InvalidValueError("generate", "grade", wish, reason)
    return found  # type: ignore[return-value]  # mypy widens the two texts


def at_quantile(shares: Mapping[int, float], place: float) -> int:
    """The grade at a place in [0, 1) of the training set's eyes, sorted by grade."""
    grades, total = sorted(shares), sum(shares.values())
    reached = accumulate(shares[grade] / total for grade in grades)
    return next((grade for grade, end in zip(grades, reached, strict=True) if place < end), grades[-1])


def _refuse(
    kind: type[DrawingStage],
    channels: Sequence[str],
    held: Mapping[int, float],
    wish: Wish,
    unseen: bool,
    registry: Registry,
) -> None:
    if not kind.takes_grades:
        others = ", ".join(graded_generators(registry)) or "none installed"
        advice = f"leave it out, or choose a label generator that takes grades (have: {others})"
        raise GradeError(kind.name, wish, "it takes no grades", advice)
    if not kind.shows_grades(channels):
        reason = f"none of its channels ({', '.join(channels)}) shows one"
        raise GradeError(kind.name, wish, reason, "leave it out, or set data.channels to some with lesions")
    if not held:
        reason = "no sample that it learns from has a grade"
        raise GradeError(kind.name, wish, reason, "leave it out, or train it on samples that have grades")
    if isinstance(wish, int) and wish not in held and not unseen:
        reason = f"no sample that it learns from has it (have: {', '.join(map(str, held))})"
        raise GradeError(kind.name, wish, reason, "choose one of these, or insist with --unseen-grade")


def graded_generators(registry: Registry) -> list[str]:
    """The label generators that take grades, by name; a broken plugin's are left out."""
    return [name for name in registry.names("label-generator") if _takes_grades(name, registry)]


def _takes_grades(name: str, registry: Registry) -> bool:
    try:
        kind = registry.stage_class(registry.stage(name, "label-generator"))
    except BrokenPluginError:
        return False
    return bool(getattr(kind, "takes_grades", False))


def _listed(grades: Iterable[int]) -> str:
    words = [str(grade) for grade in grades]
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
