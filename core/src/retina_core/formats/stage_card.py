"""A stage folder's ``config.json``: all that rebuilds the stage, readable without torch."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from retina_core.errors import StageFolderError
from retina_core.formats.atomic import write_json
from retina_core.formats.strict_json import load_json
from retina_core.names import MOST_CHANNELS, channel_name
from retina_core.specs import API_VERSION, Role

SCHEMA: Literal[1] = 1
CARD, MODEL, PRIORS, SEEN = "config.json", "model.safetensors", "priors.safetensors", "seen.json"

MOST_CARD_BYTES = 4 * 2**20
"""A card is a few kilobytes."""

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")

_HASH = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{256}")
"""1,024 bits (``data.signatures``)."""

Share = Annotated[float, Field(ge=0, le=1)]


class StageCard(BaseModel):
    """What a stage folder says of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    role: Role
    name: str
    """The stage's; ``--set`` and ``retina show`` know it by this."""
    plugin: str
    """The entry point that offers it."""
    distribution: str = ""
    """What pip installs it by."""
    version: str = ""
    """Of the distribution."""
    api_version: str
    """Of hooks, roles and formats, when it was written."""
    config: dict[str, Any]
    """Every setting of the stage."""
    channels: tuple[str, ...] = Field(max_length=MOST_CHANNELS)
    """What each label channel means, in order."""
    image_channels: int = Field(3, ge=1, le=16)
    """Of a photograph: 3 for colour."""
    resolution: int = Field(ge=0, le=16384)
    """Side of the pictures that it works at, px."""
    thresholds: dict[str, Share] = {}
    """Channel -> level above which a soft map is marked (label generators)."""
    shares: dict[str, Share] = {}
    """Channel -> share of the field of view that it covers in the training set."""
    speck_shares: dict[str, Share] = {}
    """Channel -> share of the frame; smaller pieces of a generated map are removed."""
    files: dict[str, str]
    """File name -> SHA-256 of its content."""
    provenance: dict[str, Any] = {}
    """What it was trained on, how and where: data, number of samples, seed, precision, device, torch."""

    @field_validator("provenance")
    @classmethod
    def _names_of_data(cls, provenance: dict[str, Any]) -> dict[str, Any]:
        names = provenance.get("data", [])
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("data is no list of names")
        return provenance

    def facts(self) -> dict[str, Any]:
        """What stands for the stage in the rows of what it had a part in."""
        return {"name": self.name, "version": self.version, "weights": self.files.get(MODEL, "")}

    def write(self, folder: Path) -> None:
        """Write ``config.json``; last of all files, so that its presence says that the folder is complete."""
        write_json(folder / CARD, self.model_dump(mode="json", by_alias=True))


def read_card(folder: Path) -> StageCard:
    """The card of a stage folder, checked; its weights are not read.

    Raises:
        StageFolderError: there is none, it is damaged, or a later retina wrote it.
    """
    try:
        raw = load_json(folder / CARD, MOST_CARD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise StageFolderError(folder, f"there is no {CARD}, so it holds no trained stage") from None
    except (OSError, ValueError) as error:
        raise StageFolderError(folder, f"{CARD} cannot be read ({error})") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise StageFolderError(folder, f"a later retina wrote it (schema {schema!s:.80}); upgrade retina")
    try:
        card = StageCard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StageFolderError(folder, f"{CARD}: {where[:200]}: {first['msg'].lower()}") from None
    _check_version(folder, card)
    _check_names(folder, card)
    return card


def _check_version(folder: Path, card: StageCard) -> None:
    try:
        later = Version(card.api_version).release[0] > Version(API_VERSION).release[0]
    except ValueError:  # InvalidVersion, or a number of thousands of digits
        raise StageFolderError(
            folder, f"{CARD}: api_version {card.api_version!r:.80} is no version"
        ) from None
    if later:
        raise StageFolderError(
            folder,
            f"a later retina wrote it (API {card.api_version:.80}, this one has {API_VERSION}); upgrade retina",
        )


def _check_names(folder: Path, card: StageCard) -> None:
    for name in (card.name, card.plugin, *card.files):
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise StageFolderError(folder, f"{CARD}: {name!r:.80} is no name")
    for name in card.channels:
        try:
            channel_name(name)
        except ValueError as error:
            raise StageFolderError(folder, f"{CARD}: channels: {error}") from None
    if len({channel_name(name) for name in card.channels}) < len(card.channels):
        raise StageFolderError(folder, f"{CARD}: channels: one is named twice")
    if missing := {MODEL, PRIORS} - set(card.files):
        raise StageFolderError(folder, f"{CARD}: files: {', '.join(sorted(missing))} is not in it")


def is_complete(folder: Path) -> bool:
    """Whether every file of a stage is there; what is in them is not looked at."""
    return all((folder / name).is_file() for name in (CARD, MODEL, PRIORS, SEEN))


def check_files(folder: Path, card: StageCard) -> None:
    """Compare each file with the SHA-256 that the card gives.

    Raises:
        StageFolderError: a file is missing or not the one that was written.
    """
    for name, expected in card.files.items():
        if not os.path.isfile(folder / name):
            raise StageFolderError(folder, f"{name} is missing")
        try:
            actual = sha256_of(folder / name)
        except OSError as error:
            raise StageFolderError(folder, f"{name} cannot be read ({error.strerror})") from None
        if actual != expected:
            raise StageFolderError(folder, f"{name} is damaged: its SHA-256 is not the one in {CARD}")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_seen(
    folder: Path, fingerprints: Iterable[str], signatures: Mapping[str, str] | None = None
) -> None:
    """Write ``seen.json``: the content hashes of every photograph that had a part in what lies here.

    Args:
        signatures: fingerprint -> what tells the picture however it was saved (``data.signatures``); of phantoms none.
    """
    write_json(folder / SEEN, seen_facts(fingerprints, signatures))


def seen_facts(fingerprints: Iterable[str], signatures: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What ``seen.json`` holds; without signatures it is the file of earlier versions."""
    facts: dict[str, Any] = {"schema": SCHEMA, "fingerprints": sorted(set(fingerprints))}
    told = {print_: signatures[print_] for print_ in sorted(signatures)} if signatures else {}
    return {**facts, "signatures": told} if told else facts


def read_signatures(folder: Path) -> dict[str, str]:
    """Fingerprint -> signature, as far as ``seen.json`` has them: an earlier version, and phantoms, have none.

    Raises:
        StageFolderError: as ``read_seen``, or a signature is none.
    """
    fingerprints = read_seen(folder)
    found = load_json(folder / SEEN).get("signatures", {})
    known = isinstance(found, dict) and found.keys() <= fingerprints
    if not known or not all(_is_signature(one) for one in found.values()):
        raise StageFolderError(folder, f"{SEEN} cannot be read (signatures are none of its fingerprints)")
    return {str(print_): str(one) for print_, one in found.items()}


def _is_signature(text: object) -> bool:
    return isinstance(text, str) and _SIGNATURE.fullmatch(text) is not None


def read_seen(folder: Path) -> frozenset[str]:
    """The content hashes in ``seen.json``.

    Raises:
        StageFolderError: the file is missing or damaged; without it nothing can be tested honestly.
    """
    try:
        raw = load_json(folder / SEEN)
        found = raw["fingerprints"]
        if not isinstance(found, list) or not all(
            isinstance(one, str) and _HASH.fullmatch(one) for one in found
        ):
            raise ValueError("fingerprints are no list of SHA-256 in hexadecimal")
        return frozenset(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StageFolderError(folder, f"{SEEN} cannot be read ({error})") from None
