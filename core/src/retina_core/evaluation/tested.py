"""What a finished training found in the test eyes, kept beside its weights, so that a stopped evaluation goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from retina_core.data.sample import Sample
from retina_core.errors import RunFolderError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.reading import read_checked
from retina_core.evaluation.results import ChannelResult
from retina_core.formats.atomic import write_json
from retina_core.formats.stage_card import read_card

SCHEMA: Final = 1
NAME: Final = "tested.json"

_RESULTS: TypeAdapter[list[ChannelResult]] = TypeAdapter(list[ChannelResult])


@dataclass(frozen=True)
class KeptResults:
    """``tested.json`` of a segmenter's folder."""

    path: Path
    made_of: str
    """Hash of all that the results follow from: the weights, the test eyes with their maps, how they are scored."""

    @classmethod
    def of(
        cls, training: Path, eyes: Sequence[Sample], channels: Sequence[str], context: EvaluationContext
    ) -> KeptResults:
        """The results of a finished training in these eyes, whether they are there or not."""
        parts = {
            "weights": read_card(training).files,
            "eyes": [_content(eye) for eye in eyes],
            "channels": list(channels),
            "precision": context.options.precision,
            "over_all": context.over_all,
            "intervals": "pooled",  # what earlier versions kept is not enough for these
            **({"protocol": context.protocol.name} if context.protocol else {}),
        }
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return cls(context.folder / training.name / NAME, digest)

    def read(self) -> list[ChannelResult] | None:
        """What was found before; None where nothing was, or of something else, or the file is damaged."""
        if not self.path.is_file():
            return None
        try:
            return read_checked(self.path, self._parsed)
        except RunFolderError:
            return None

    def write(self, results: Sequence[ChannelResult]) -> None:
        """Write ``tested.json``, whole or not at all."""
        found = _RESULTS.dump_python(list(results), mode="json")
        write_json(self.path, {"schema": SCHEMA, "made_of": self.made_of, "results": found})

    def _parsed(self, value: Any) -> list[ChannelResult]:
        if not isinstance(value, dict) or (value.get("schema"), value.get("made_of")) != (
            SCHEMA,
            self.made_of,
        ):
            raise ValueError("found by other weights, or in other eyes")
        return _RESULTS.validate_python(value.get("results"))


def read_results(training: Path) -> list[ChannelResult]:
    """What the last test of a finished training found, whatever in.

    Raises:
        RunFolderError: there is none, or it is damaged.
    """

    def parsed(value: Any) -> list[ChannelResult]:
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise ValueError(f"not results of schema {SCHEMA}")
        return _RESULTS.validate_python(value.get("results"))

    return read_checked(training / NAME, parsed)


def _content(eye: Sample) -> list[object]:
    """What an eye's scores depend on, as far as it is known without reading it."""
    facts = eye.facts
    maps = {channel: one.digest for channel, one in facts.labels.items()} if facts else {}
    return [eye.id, eye.patient, eye.identity, facts.fov_digest if facts else "", maps, sorted(eye.labels)]
