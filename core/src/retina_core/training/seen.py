"""What a training has seen: the photographs of its data sets, and those that went into one of them before.

A synthetic set was made from photographs, and so were weak labels: by stages that had learnt from some.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from retina_core.data.sample import Dataset
from retina_core.data.signatures import signature_of
from retina_core.formats.annotation import seen_by_annotators
from retina_core.formats.stage_card import SEEN, read_seen, read_signatures


def seen_by(datasets: Iterable[Dataset]) -> set[str]:
    """Content hashes of all photographs that had a part in some data sets: theirs, and those that a synthetic set
    was made from, or the annotators of weak labels had learnt from.
    """
    hashes: set[str] = set()
    for dataset in datasets:
        hashes.update(sample.fingerprint for sample in dataset.samples)
        hashes |= seen_before(dataset)
    return hashes


def signatures_of(datasets: Iterable[Dataset]) -> dict[str, str]:
    """Fingerprint -> signature of the photographs of ``seen_by`` that have one: neither phantoms nor synthetic ones."""
    found: dict[str, str] = {}
    for dataset in datasets:
        found |= signatures_before(dataset)
        pairs = _sets_of_pairs(dataset)
        drawn = {one.name for one in dataset.origins if one.root in pairs} if dataset.origins else {""}
        for sample in dataset.samples:
            if dataset.phantom or sample.recipe is not None or (pairs and sample.origin in drawn):
                continue
            if signature := signature_of(sample.look):
                found[sample.fingerprint] = signature
    return found


def signatures_before(dataset: Dataset) -> dict[str, str]:
    """Fingerprint -> signature of what went into a synthetic set, or into weak labels; nothing for any other data set."""
    annotators = seen_by_annotators(dataset.roots)
    return {key: one for key, one in annotators.items() if one} | {
        key: one for root in _sets_of_pairs(dataset) for key, one in read_signatures(root).items()
    }


def seen_by_makers(roots: Iterable[Path]) -> dict[str, str]:
    """Fingerprint -> signature, empty where there is none, of what the synthetic sets among some folders were made from."""
    found: dict[str, str] = {}
    for root in roots:
        if (root / SEEN).exists():
            told = read_signatures(root)
            found |= {fingerprint: told.get(fingerprint, "") for fingerprint in read_seen(root)}
    return found


def seen_before(dataset: Dataset) -> frozenset[str]:
    """Content hashes of what went into a synthetic set, or into weak labels; nothing for any other data set."""
    annotators = frozenset(seen_by_annotators(dataset.roots))
    return annotators.union(*(read_seen(root) for root in _sets_of_pairs(dataset)))


def _sets_of_pairs(dataset: Dataset) -> list[Path]:
    return [root for root in dataset.roots if (root / SEEN).exists()]
