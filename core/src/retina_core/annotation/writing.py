"""An annotated folder on disk, in the layout of the reader ``folder``; begun ones are gone on with.

While it is being written its rows lie in ``.rows.jsonl``; ``metadata.jsonl`` appears when the folder is complete.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retina_core.data.masks import Mask
from retina_core.data.pictures import SUFFIXES, FilePicture, PictureSource
from retina_core.data.sample import Sample
from retina_core.errors import RunFolderError, SampleSetError, StorageError
from retina_core.formats.annotation import ANNOTATION, ANNOTATORS, Annotation, read_annotation
from retina_core.formats.atomic import replacing, write_json, write_text
from retina_core.formats.lock import LOCK
from retina_core.formats.stage_card import write_seen
from retina_core.formats.strict_json import load_json, parse_json

METADATA: Final = "metadata.jsonl"
ROWS: Final = ".rows.jsonl"
CHOSEN: Final = ".chosen.json"
"""What was found out before the first photograph: thresholds, and grades."""


class AnnotationWriter:
    """Writes an annotated folder, and goes on with one that the same request began."""

    def __init__(self, folder: Path, annotation: Annotation) -> None:
        """Begin, or take up what lies in the folder.

        Raises:
            RunFolderError: the folder holds something else.
        """
        self.folder = folder
        self.rows: dict[str, dict[str, Any]] = {}
        self.known = self._begin(annotation)
        """``annotation.json`` as it stands."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return (self.folder / METADATA).is_file()

    def _begin(self, annotation: Annotation) -> Annotation:
        try:
            found = read_annotation(self.folder)
        except SampleSetError as error:
            raise RunFolderError(self.folder, error.reason, "choose another --out") from None
        if found is None:
            if any(entry.name != LOCK for entry in self.folder.iterdir()):
                raise RunFolderError(self.folder, "the folder is not empty", "choose another --out")
            self._describe(annotation)
            return annotation
        if found.request != annotation.request:
            raise RunFolderError(
                self.folder, "it holds the annotation of another request", "choose another --out"
            )
        if not self.complete:
            self.rows = self._begun()
            write_text(self.folder / ROWS, "".join(_line(row) for row in self.rows.values()))
        return found

    def _begun(self) -> dict[str, dict[str, Any]]:
        """Id -> row, of what is finished; a line that a kill cut short is left out."""
        rows = {}
        if (self.folder / ROWS).is_file():
            for line in (self.folder / ROWS).read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    row = parse_json(line)
                    rows[str(row["id"])] = dict(row["row"])
                except (ValueError, KeyError, TypeError):
                    continue
        return {name: {"id": name, "row": row} for name, row in rows.items()}

    def chosen(self) -> dict[str, Any] | None:
        """What was found out before the first photograph; None where that is still to be done."""
        try:
            found = load_json(self.folder / CHOSEN)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def choose(self, chosen: Mapping[str, Any]) -> None:
        """Keep what was found out, so that a stopped call does not do it again."""
        write_json(self.folder / CHOSEN, chosen)

    def write(
        self, sample: Sample, fov: Mask, weak: Mapping[str, NDArray[np.uint8]], facts: Mapping[str, Any]
    ) -> None:
        """Write one sample's files, then its row.

        Args:
            fov: the sample's field of view (h w), written where it is not the whole frame.
            weak: channel -> map (h w) of 0 and 255 for channels that it lacks.
            facts: further columns.
        """
        row = self._pictures(sample, fov, weak) | dict(facts)
        kept = {"id": sample.id, "row": {key: value for key, value in row.items() if value is not None}}
        path = self.folder / ROWS
        try:
            with path.open("a", encoding="utf-8") as file:
                file.write(_line(kept))
        except OSError as error:
            raise StorageError(path, error.strerror or str(error)) from error
        self.rows[sample.id] = kept

    def _pictures(self, sample: Sample, fov: Mask, weak: Mapping[str, NDArray[np.uint8]]) -> dict[str, Any]:
        photo = self._copy_photo(sample.photo, sample.id)
        row: dict[str, Any] = {"file_name": f"images/{photo}"}
        maps = {channel: _bytes(sample.label_array(channel)) for channel in sample.labels} | dict(weak)
        for channel, drawn in maps.items():
            row[f"{channel}_file_name"] = f"labels/{channel}/{sample.id}.png"
            self._write_png(drawn, row[f"{channel}_file_name"])
        if sample.fov_rule != "full":
            row["fov_file_name"] = f"fov/{sample.id}.png"
            self._write_png(_bytes(fov), row["fov_file_name"])
        for observer, channels in sample.observers.items():
            for channel in channels:
                drawn = _bytes(sample.observer_array(observer, channel))
                self._write_png(drawn, f"observers/{observer}/{channel}/{sample.id}.png")
        return row

    def _copy_photo(self, photo: PictureSource, name: str) -> str:
        """Copy a photograph byte for byte, so that whatever its file says of it still holds; gives the file's name.

        What is packed, or was never a file, is written as PNG, which keeps the decoded pixels.
        """
        if isinstance(photo, FilePicture) and photo.path.suffix.lower() in SUFFIXES:
            file = f"{name}{photo.path.suffix}"
            with replacing(self.folder / "images" / file) as temporary:
                shutil.copyfile(photo.path, temporary)
            return file
        self._write_png(photo.read(), f"images/{name}.png")
        return f"{name}.png"

    def _write_png(self, pixels: NDArray[np.uint8], path: str) -> None:
        with replacing(self.folder / path) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)

    def _describe(self, annotation: Annotation) -> None:
        write_json(self.folder / ANNOTATION, annotation.model_dump(mode="json", by_alias=True))

    def finish(self, annotation: Annotation, card: str, seen: Mapping[str, str]) -> None:
        """Write what makes it a data set: what the annotators had seen, the card, and last the table.

        Args:
            annotation: ``annotation.json``.
            card: ``README.md``.
            seen: fingerprint -> signature, or nothing, of photographs that the annotators learnt from.
        """
        signatures = {fingerprint: one for fingerprint, one in seen.items() if one}
        write_seen(self.folder / ANNOTATORS, seen, signatures)
        self._describe(annotation)
        self.known = annotation
        write_text(self.folder / "README.md", card)
        rows = [self.rows[name]["row"] for name in sorted(self.rows)]
        write_text(self.folder / METADATA, "".join(_line(row) for row in rows))
        for leftover in (ROWS, CHOSEN):
            (self.folder / leftover).unlink(missing_ok=True)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _bytes(mask: Mask) -> NDArray[np.uint8]:
    return np.where(mask, np.uint8(255), np.uint8(0))
