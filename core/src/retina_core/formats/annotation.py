"""What an annotated folder says of itself: ``annotation.json``, and what its annotators had seen.

    annotation.json      the request, where the photographs come from, who filled in what
    annotators/seen.json as a stage's: photographs that the segmenter and the grader learnt from

The rest is the layout of the reader ``folder``, whose rows say what is weak.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retina_core.errors import SampleSetError
from retina_core.formats.stage_card import SEEN, read_seen, read_signatures
from retina_core.formats.strict_json import load_json

ANNOTATION: Final = "annotation.json"
ANNOTATORS: Final = "annotators"
"""A folder of its own: ``seen.json`` beside ``images/`` says that photographs were drawn by stages."""


class Annotation(BaseModel):
    """``annotation.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, allow_inf_nan=False)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    request: str = ""
    """Hash of all that the result follows from."""
    name: str = ""
    """The data set that was annotated."""
    reader: str = ""
    """Who read it."""
    citation: str = ""
    licence: str = ""
    repeats: bool = False
    """Its owner hands out some photographs twice."""
    filled: dict[str, dict[str, Any]] = {}
    """Channel, or ``grade`` -> who filled it in, in how many samples, and how."""


def read_annotation(folder: Path) -> Annotation | None:
    """What an annotated folder says of itself; None where it is no such folder.

    Raises:
        SampleSetError: the file is damaged.
    """
    path = folder / ANNOTATION
    if not path.exists():
        return None
    try:
        return Annotation.model_validate(load_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SampleSetError(folder, f"{ANNOTATION}: {where[:200]}: {first['msg'].lower()}") from None
    except (OSError, ValueError) as error:
        raise SampleSetError(folder, f"{ANNOTATION} cannot be read ({error})") from None


def seen_by_annotators(roots: Iterable[Path]) -> dict[str, str]:
    """Fingerprint -> signature, empty where there is none, of what the annotators of some folders had learnt from.

    Raises:
        StageFolderError: a list is damaged.
    """
    found: dict[str, str] = {}
    for root in roots:
        folder = root / ANNOTATORS
        if (folder / SEEN).exists():
            told: Mapping[str, str] = read_signatures(folder)
            found |= {fingerprint: told.get(fingerprint, "") for fingerprint in read_seen(folder)}
    return found
