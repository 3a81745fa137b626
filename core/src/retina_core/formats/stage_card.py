"""A stage folder's ``config.json``: all that rebuilds the stage, readable without torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from packaging.version import InvalidVersion, Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retina_core.errors import StageFolderError
from retina_core.formats.atomic import write_json
from retina_core.specs import API_VERSION, Role

SCHEMA: Literal[1] = 1
CARD, MODEL, PRIORS, SEEN = "config.json", "model.safetensors", "priors.safetensors", "seen.json"

_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class StageCard(BaseModel):
    """What a stage folder says of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    role: Role
    name: str
    plugin: str
    distribution: str = ""
    version: str = ""
    api_version: str
    config: dict[str, Any]
    channels: tuple[str, ...]
    image_channels: int = Field(3, ge=1, le=16)
    resolution: int = Field(ge=0, le=16384)
    thresholds: dict[str, float] = {}
    shares: dict[str, float] = {}
    speck_shares: dict[str, float] = {}
    files: dict[str, str]
    """File name -> SHA-256 of its content."""
    provenance: dict[str, Any] = {}

    def write(self, folder: Path) -> None:
        """Write ``config.json``; last of all files, so that its presence says that the folder is complete."""
        write_json(folder / CARD, self.model_dump(mode="json", by_alias=True))


def read_card(folder: Path) -> StageCard:
    """The card of a stage folder, checked; its weights are not read.

    Raises:
        StageFolderError: there is none, it is damaged, or a later retina wrote it.
    """
    try:
        raw = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StageFolderError(folder, f"there is no {CARD}, so it holds no trained stage") from None
    except (OSError, ValueError, RecursionError) as error:
        raise StageFolderError(folder, f"{CARD} cannot be read ({error})") from None
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if isinstance(schema, int) and schema > SCHEMA:
        raise StageFolderError(folder, f"a later retina wrote it (schema {schema}); upgrade retina")
    try:
        card = StageCard.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StageFolderError(folder, f"{CARD}: {where}: {first['msg'].lower()}") from None
    _check_card(folder, card)
    return card


def _check_card(folder: Path, card: StageCard) -> None:
    try:
        later = Version(card.api_version).release[0] > Version(API_VERSION).release[0]
    except InvalidVersion:
        raise StageFolderError(folder, f"{CARD}: api_version {card.api_version!r} is no version") from None
    if later:
        raise StageFolderError(
            folder,
            f"a later retina wrote it (API {card.api_version}, this one has {API_VERSION}); upgrade retina",
        )
    for name in (card.name, card.plugin, *card.channels, *card.files):
        if not _NAME.fullmatch(name) or name.startswith("."):
            raise StageFolderError(folder, f"{CARD}: {name!r} is no name")
    if missing := {MODEL, PRIORS} - set(card.files):
        raise StageFolderError(folder, f"{CARD}: files: {', '.join(sorted(missing))} is not in it")


def check_files(folder: Path, card: StageCard) -> None:
    """Compare each file with the SHA-256 that the card gives.

    Raises:
        StageFolderError: a file is missing or not the one that was written.
    """
    for name, expected in card.files.items():
        try:
            actual = sha256_of(folder / name)
        except OSError:
            raise StageFolderError(folder, f"{name} is missing") from None
        if actual != expected:
            raise StageFolderError(folder, f"{name} is damaged: its SHA-256 is not the one in {CARD}")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_seen(folder: Path, fingerprints: Iterable[str]) -> None:
    """Write ``seen.json``: the content hashes of every photograph that had a part in what lies here."""
    write_json(folder / SEEN, {"schema": SCHEMA, "fingerprints": sorted(set(fingerprints))})


def read_seen(folder: Path) -> frozenset[str]:
    """The content hashes in ``seen.json``.

    Raises:
        StageFolderError: the file is missing or damaged; without it nothing can be tested honestly.
    """
    try:
        raw = json.loads((folder / SEEN).read_text(encoding="utf-8"))
        return frozenset(str(value) for value in raw["fingerprints"])
    except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
        raise StageFolderError(folder, f"{SEEN} cannot be read ({error})") from None
