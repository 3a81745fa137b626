"""Protocols of papers, by name: how eyes are framed, divided, learnt from and cut, where that is not the core's own way.

``migan`` is that of Iqbal and Ali 2018, J. Med. Syst. 42:231 ("Datasets preparation", "Parameters of proposed model"). What
their text leaves open, or does in a way that would leak, is said where it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from retina_core.config import DataConfig, StageConfig
from retina_core.data.few_eyes import split_of
from retina_core.data.framing import Framing
from retina_core.data.sample import Dataset, Sample, Split
from retina_core.data.split import held_out
from retina_core.errors import InvalidValueError, RunFolderError
from retina_core.evaluation.reading import read_checked
from retina_core.formats.atomic import write_json

SCHEMA: Final = 1
NAME: Final = "protocol.json"
"""In an evaluation's folder: by which protocol it was begun; the core's own writes none."""
OWN: Final = "the core's own"


@dataclass(frozen=True)
class PaperProtocol:
    """What is done as in a paper; everything else is done as ever."""

    name: str
    paper: str
    settings: Mapping[str, Any]
    """Of the segmenter; single settings that are given stand above them."""
    framing: Framing
    """Of real photographs whose reader is not in ``framings``; synthetic ones are squares already."""
    framings: Mapping[str, Framing] = field(default_factory=dict)
    """Reader -> how its photographs become squares."""
    halved: frozenset[str] = frozenset()
    """Readers without an official split, half of whose eyes are tested on."""
    otsu: bool = False
    """Maps are cut at Otsu's threshold, instead of that of highest Dice on training eyes."""
    validation: int = 0
    """One training eye in so many validates, and the weights of least loss on it are kept; 0: the last weights are kept."""

    def split(self, dataset: Dataset, seed: int, config: DataConfig) -> Split:
        """The two parts of a data set.

        Raises:
            RetinaError: as ``split_of``.
        """
        return split_of(self._divided(dataset, seed), seed, config)

    def framed(self, dataset: Dataset) -> Dataset:
        """The same eyes, to be brought to working resolution as in the paper."""
        readers = _readers(dataset)
        samples = [
            replace(one, framing=self.framings.get(readers[one.origin], self.framing))
            for one in dataset.samples
        ]
        return dataset.with_samples(samples)

    def settings_for(self, known: Mapping[str, object]) -> dict[str, Any]:
        """Its settings, as far as a segmenter's config knows them."""
        return {key: value for key, value in self.settings.items() if key in known}

    def _divided(self, dataset: Dataset, seed: int) -> Dataset:
        """The eyes of ``halved`` readers marked for training or testing, each set by itself."""
        readers = _readers(dataset)
        tested: set[str] = set()
        for origin in [one for one, reader in readers.items() if reader in self.halved]:
            eyes = {one.id: one for one in dataset.samples if one.origin == origin}
            own = {_own_name(one): "" for one in eyes.values()}  # the same halves alone and combined
            chosen = held_out(own, seed, 0.5)
            tested |= {name for name, one in eyes.items() if _own_name(one) in chosen}
        samples = [
            replace(one, official="test" if one.id in tested else "train")
            if readers[one.origin] in self.halved
            else one
            for one in dataset.samples
        ]
        return dataset.with_samples(samples)


def _readers(dataset: Dataset) -> dict[str, str]:
    """Origin of samples -> who read them; a data set that was not combined has one, without a name."""
    return {one.name: one.reader for one in dataset.origins} or {"": dataset.reader}


def _own_name(sample: Sample) -> str:
    return sample.id.removeprefix(f"{sample.origin}-") if sample.origin else sample.id


MIGAN: Final = PaperProtocol(
    name="migan",
    paper="Iqbal and Ali 2018, J. Med. Syst. 42:231",
    # "Augmented by rotation and left-right flip": it gives no angle, so any. Nothing else is changed.
    settings=MappingProxyType(
        {
            "resolution": 512,
            "flips": "horizontal",
            "rotation_degrees": 180.0,
            "quarter_turns": False,
            **dict.fromkeys(("scale", "shift", "elastic", "colour"), 0.0),
        }
    ),
    framing=Framing("fov", "bicubic"),
    framings=MappingProxyType(
        {"drive": Framing("centre", "bicubic"), "stare": Framing("whole", "bicubic")}  # 565 x 565; 700 x 605
    ),
    # "10 training images", it does not say which. By name, the first ten are mostly the ill eyes: they are drawn.
    halved=frozenset({"stare"}),
    otsu=True,
    # 19 : 1. The paper divides augmented photographs, so that turned copies of one eye are on both sides; here eyes are.
    validation=20,
)

PROTOCOLS: Final[Mapping[str, PaperProtocol]] = MappingProxyType({one.name: one for one in (MIGAN,)})


def protocol_named(name: str | None) -> PaperProtocol | None:
    """The protocol of a name; None for none.

    Raises:
        InvalidValueError: there is no such protocol.
    """
    if name is None or name in PROTOCOLS:
        return PROTOCOLS[name] if name else None
    choices = ", ".join(sorted(PROTOCOLS))
    raise InvalidValueError("evaluate", "protocol", name, f"choose {choices}, or leave it out for {OWN}")


def divided(dataset: Dataset, seed: int, config: DataConfig, protocol: str | None) -> Split:
    """The two parts of a data set by a protocol, or as ever where none is named.

    Raises:
        InvalidValueError: there is no such protocol.
        RetinaError: as ``split_of``.
    """
    chosen = protocol_named(protocol)
    return chosen.split(dataset, seed, config) if chosen else split_of(dataset, seed, config)


def protocol_settings(protocol: str | None, kind: type[StageConfig]) -> dict[str, Any]:
    """What a protocol sets of a segmenter; nothing where none is named."""
    chosen = protocol_named(protocol)
    return chosen.settings_for(kind.model_fields) if chosen else {}


def refuse_idle(protocol: str | None, evaluators: Iterable[str], segmenters: Iterable[str]) -> None:
    """Refuse a protocol that does not exist, or that no evaluator follows, since none trains a segmenter.

    Raises:
        InvalidValueError
    """
    if protocol_named(protocol) and not set(evaluators) & set(segmenters):
        reason = (
            "no evaluator trains a segmenter, which is what a protocol is about; add one, or leave it out"
        )
        raise InvalidValueError("pipeline", "protocol", protocol, reason)


def refuse_other_protocol(folder: Path, protocol: PaperProtocol | None) -> None:
    """Refuse to go on in the folder of an evaluation that was begun by another protocol.

    Raises:
        RunFolderError: it was; or ``protocol.json`` is damaged.
    """
    before = _begun_by(folder)
    asked = protocol.name if protocol else OWN
    if before not in {None, asked}:
        told = "leave --protocol out" if before == OWN else f"repeat --protocol {before}"
        reason = f"it holds an evaluation by another protocol ({before}; asked for: {asked})"
        raise RunFolderError(folder, reason, f"choose another --out, or {told}")


def write_protocol(folder: Path, protocol: PaperProtocol | None) -> None:
    """Write ``protocol.json``, where there is something to say."""
    if protocol:
        write_json(folder / NAME, {"schema": SCHEMA, "protocol": protocol.name})


def _begun_by(folder: Path) -> str | None:
    """The protocol of an evaluation; None where nothing was begun."""
    if (folder / NAME).exists():
        return read_checked(folder / NAME, _parsed)
    begun = (folder / "scores.json").exists() or any(folder.glob("*-seed*/"))
    return OWN if begun else None


def _parsed(value: Any) -> str:
    name = value.get("protocol") if isinstance(value, dict) and value.get("schema") == SCHEMA else None
    if not isinstance(name, str):
        raise ValueError(f"not a protocol of schema {SCHEMA}")
    return name
