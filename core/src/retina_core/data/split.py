"""Which patients are held out for testing, and who are one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping


def held_out(patients: Mapping[str, str], seed: int, share: float, fold: int = 0) -> set[str]:
    """The patients of part ``fold`` (from 0) when ``share`` of them is held out, each group alike.

    ``patients`` maps a patient to a group. The answer depends on names and seed, not on any order. Successive
    folds do not overlap. At least one patient is held out, and one is left.
    """
    order = in_turn(patients, seed)
    if len(order) < 2:
        return set()
    start, end = (round(share * len(order) * edge) for edge in (fold, fold + 1))
    if fold == 0:
        end = min(max(end, 1), len(order) - 1)
    return set(order[start:end])


def families(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Name -> the first by name of all that it goes with, directly or through others; of names in pairs only."""
    above: dict[str, str] = {}

    def root(name: str) -> str:
        while (up := above.setdefault(name, name)) != name:
            above[name] = name = above[up]  # halves the way for the next
        return name

    for one, other in pairs:
        least, greater = sorted((root(one), root(other)))
        above[greater] = least
    return {name: root(name) for name in list(above)}


def in_turn(patients: Mapping[str, str], seed: int) -> list[str]:
    """All patients, shuffled, such that each stretch of the list holds its share of every group.

    ``patients`` maps a patient to a group.
    """
    groups: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for patient, group in patients.items():
        groups[group].append((_rank(seed, patient), patient))
    places = []
    for members in groups.values():
        for place, (rank, patient) in enumerate(sorted(members)):
            places.append(((place + 0.5) / len(members), rank, patient))
    return [patient for _, _, patient in sorted(places)]


def _rank(seed: int, patient: str) -> str:
    """A hash rather than a generator's draw: stable over versions of every library."""
    return hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()
