"""``annotate``: label maps and grades for samples that have none, as a data set of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from retina_core.annotation.card import annotation_card
from retina_core.annotation.grades import fill_in_grades
from retina_core.annotation.maps import LEAST_DICE, Cut, cuts, eyes_to_choose_on, weak_maps
from retina_core.annotation.opening import open_photographs
from retina_core.annotation.request import Annotators, digest_of, held_out, learners, refuse_nothing
from retina_core.annotation.telling import counted
from retina_core.annotation.writing import AnnotationWriter
from retina_core.config import DataConfig
from retina_core.data.masks import Mask
from retina_core.data.sample import WEAK_GRADE, Dataset, Sample, Split
from retina_core.data.signatures import signature_of
from retina_core.discovery import distribution_version
from retina_core.errors import DatasetError, InvalidValueError, RequestError
from retina_core.formats.annotation import Annotation
from retina_core.formats.lock import sole_use
from retina_core.formats.stage_card import read_seen, read_signatures
from retina_core.grading.settings import GraderSettings
from retina_core.interruption import stop_requests
from retina_core.registry import Registry
from retina_core.training.options import FitOptions
from retina_core.training.seen import seen_before, signatures_before


def annotate(
    images: Path | str,
    out: Path | str,
    *,
    segmenter: Path | str | None = None,
    channels: Sequence[str] = (),
    threshold: float | None = None,
    grader: GraderSettings | None = None,
    reader: str | None = None,
    config: DataConfig | None = None,
    options: FitOptions | None = None,
    registry: Registry | None = None,
) -> Annotation:
    """Write the samples of a folder with the maps, and the grades, that they lack; the same call goes on after a stop.

    What a sample has stays as it is. What is filled in is marked as weak: stages learn from it, no test is held to it.

    Args:
        images: a data set that a reader knows, or any folder of photographs.
        out: the folder to write, which ``open_dataset`` reads.
        segmenter: a segmenter's folder; None: no maps are filled in.
        channels: those of the segmenter's that are wanted; none: all.
        threshold: above which a pixel is marked; None: chosen for each channel (``annotation.maps.cuts``).
        grader: how to train the classifier that fills in grades; None: none are.
        reader: who reads ``images``; None: whoever knows the layout.

    Returns:
        What ``annotation.json`` says.

    Raises:
        RequestError: before any work: there is nothing to annotate, nothing to learn from, or a folder that cannot be used.
        StorageError: ``out`` cannot be written.
        KeyboardInterrupt: Ctrl-C, or SIGTERM, once the photograph at hand was written.
    """
    registry, options, config = (
        registry or Registry.discover(),
        options or FitOptions(),
        config or DataConfig(),
    )
    folder = None if segmenter is None else Path(segmenter)
    annotators = Annotators.of(folder, channels, threshold, grader, options.device, registry)
    reading = counted("reading", options.listener)
    dataset = open_photographs(images, reader=reader, readers=registry, config=config, progress=reading)
    refuse_nothing(dataset, annotators)
    split = _split(dataset, options.seed, config, needed=annotators.grader is not None)
    if split is not None and annotators.grader is not None:
        learners(split, dataset)
    work = _Work(dataset, annotators, split, options, Path(out))
    with sole_use(work.out):
        return work.carry_out()


@dataclass(frozen=True)
class _Work:
    """A request with everything checked."""

    dataset: Dataset
    annotators: Annotators
    split: Split | None
    """None where the samples cannot be split, and nothing needs it."""
    options: FitOptions
    out: Path

    def carry_out(self) -> Annotation:
        parts = self._parts()
        request = digest_of(self.dataset, self.annotators, self.options.seed, self.options.precision, parts)
        kept = self.dataset
        begun = Annotation(
            request=request,
            name=kept.name,
            reader=kept.reader,
            citation=kept.citation,
            licence=kept.licence,
            repeats=kept.repeats,
        )
        writer = AnnotationWriter(self.out, begun)
        if not writer.complete:
            if (chosen := writer.chosen()) is None:
                chosen = self._chosen()
                writer.choose(chosen)
            self._write_all(writer, chosen, parts)
            done = begun.model_copy(update={"filled": chosen["filled"]})
            writer.finish(done, annotation_card(done, len(kept)), self._seen())
        return writer.known

    def _chosen(self) -> dict[str, Any]:
        """Thresholds and grades, and what there is to say of them: all that is found out before the first map."""
        filled: dict[str, dict[str, Any]] = {}
        train = self.split.train.samples if self.split else ()
        card = self.annotators.card
        found = cuts(self.annotators, self._lacking, train, self.options.precision)
        for channel, cut in self._worth_it(found).items():
            count = sum(channel not in sample.labels for sample in self.dataset)
            stage = (
                {"name": card.name, "version": card.version, "weights": card.files["model.safetensors"]}
                if card
                else {}
            )
            filled[channel] = {**stage, "count": count, "threshold": cut.threshold, "chosen": cut.chosen}
            self.options.listener.say(f"{channel}: threshold {cut.threshold:.3f}, {cut.chosen}")
        grades: dict[str, int] = {}
        if self.annotators.grader is not None and self.split is not None:
            grades, filled[WEAK_GRADE] = self._grade(self.split)
        return {"filled": filled, "grades": grades}

    @property
    def _lacking(self) -> list[str]:
        """The segmenter's channels that some sample is not annotated for."""
        return [c for c in self.annotators.channels if any(c not in s.labels for s in self.dataset)]

    def _worth_it(self, found: Mapping[str, Cut]) -> dict[str, Cut]:
        """What the segmenter finds, and all that was asked for by name; the rest is left out, and that is said.

        Raises:
            RequestError: nothing is left, and no grades are asked for.
        """
        lost = [channel for channel, cut in found.items() if not cut.finds]
        for channel in lost:
            did = "filled in because it was named" if self.annotators.named else "left out"
            advice = "" if self.annotators.named else "; --channels with its name fills it in all the same"
            self.options.listener.say(
                f"{channel}: {did}, though the segmenter hardly finds it: {found[channel].chosen}{advice}"
            )
        if self.annotators.named or not lost:
            return dict(found)
        if len(lost) == len(found) and self.annotators.grader is None:
            said = f"the segmenter hardly finds {' or '.join(lost)} (Dice below {LEAST_DICE} on annotated training eyes)"
            raise RequestError(f"annotate: {said}; train it longer, or name channels with --channels")
        return {channel: cut for channel, cut in found.items() if channel not in lost}

    def _grade(self, split: Split) -> tuple[dict[str, int], dict[str, Any]]:
        settings = self.annotators.grader or GraderSettings()
        ungraded = [sample for sample in self.dataset if self.annotators.grades(sample)]
        found = fill_in_grades(
            learners(split, self.dataset), held_out(split), ungraded, settings, self.options
        )
        agreement = found.agreement
        facts = {
            "name": "grader",
            "version": distribution_version("retina-core"),
            "weights": found.weights,
            "count": len(found.found),
            "grades": {str(g): n for g, n in sorted(Counter(found.found.values()).items())},
            "held_out": agreement.count,
            "accuracy": agreement.accuracy,
            "kappa": agreement.kappa,
            "confusion": agreement.confusion.tolist(),
        }
        return found.found, facts

    def _write_all(
        self, writer: AnnotationWriter, chosen: Mapping[str, Any], parts: Mapping[str, str]
    ) -> None:
        missing = [sample for sample in self.dataset if sample.id not in writer.rows]
        blank = set(chosen["filled"]) - {WEAK_GRADE} if len(missing) == len(self.dataset) else set()
        reached = counted("annotate", self.options.listener, len(writer.rows))
        with stop_requests() as stop:
            for sample in missing:
                fov = sample.fov_array()
                maps = self._maps(sample, fov, chosen["filled"])
                writer.write(sample, fov, maps, self._facts(sample, maps, chosen, parts))
                blank -= {channel for channel, drawn in maps.items() if drawn.any()}
                reached(len(writer.rows), len(self.dataset))
                stop.obey()
        for channel in sorted(blank):
            self.options.listener.say(
                f"{channel}: no pixel was marked in any photograph; try a lower --threshold"
            )

    def _maps(self, sample: Sample, fov: Mask, filled: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        stage = self.annotators.segmenter
        channels = [channel for channel in self.annotators.missing_in(sample) if channel in filled]
        if stage is None or not channels:
            return {}
        thresholds = {channel: float(filled[channel]["threshold"]) for channel in channels}
        return weak_maps(stage, sample, fov, thresholds, self.options.precision)

    def _facts(
        self, sample: Sample, maps: Mapping[str, Any], chosen: Mapping[str, Any], parts: Mapping[str, str]
    ) -> dict[str, Any]:
        """A row's further columns; a grade that is a twin's is left to the reader, who finds it again."""
        own = None if sample.grade_from else sample.grade
        grade = chosen["grades"].get(sample.id, own)
        here = dict(zip(sample.weak, sample.weak_from, strict=True))
        weak_from: dict[str, Any] = {name: {"name": stage} for name, stage in here.items()}
        new = [*maps, *([WEAK_GRADE] if sample.id in chosen["grades"] else [])]
        for name in new:
            facts = chosen["filled"][name]
            weak_from[name] = {key: facts[key] for key in ("name", "version", "weights")}
        return {
            "grade": grade,
            "patient": sample.patient,
            "group": sample.group,
            "split": parts.get(sample.id, sample.official),
            "phantom": True if self.dataset.phantom else None,
            "weak": list(weak_from) or None,
            "weak_from": weak_from or None,
        }

    def _parts(self) -> dict[str, str]:
        """Id -> its part, where grades or thresholds follow from one: no later split may test on what these have seen."""
        if self.split is None:
            return {}
        train = self.split.train.samples
        chosen_on = (eyes_to_choose_on(self.annotators, channel, train) for channel in self._lacking)
        if self.annotators.grader is None and not any(chosen_on):
            return {}
        tested = {sample.id for sample in self.split.test}
        return {sample.id: "test" if sample.id in tested else "train" for sample in self.dataset}

    def _seen(self) -> dict[str, str]:
        """Fingerprint -> signature of what the annotators learnt from, and of what had been seen before them."""
        found = dict.fromkeys(seen_before(self.dataset), "") | signatures_before(self.dataset)
        if stage := self.annotators.segmenter:
            folder = stage.folder or Path()
            found |= {one: "" for one in read_seen(folder) if one not in found} | read_signatures(folder)
        if self.annotators.grader is not None and self.split is not None:
            for sample in learners(self.split, self.dataset):
                real = not self.dataset.phantom and sample.recipe is None
                found[sample.fingerprint] = (signature_of(sample.look) if real else None) or ""
        return found


def _split(dataset: Dataset, seed: int, config: DataConfig, *, needed: bool) -> Split | None:
    """The split of the photographs alone, whatever channels they have.

    Raises:
        InvalidValueError: fewer training eyes are asked for.
    """
    if config.train_eyes:
        reason = "every photograph is annotated, whoever learns from it later; leave it out"
        raise InvalidValueError("data", "train_eyes", config.train_eyes, reason)
    whole = replace(dataset, channels=())
    if needed:
        return whole.split(seed, config.test_share)
    with suppress(DatasetError):
        return whole.split(seed, config.test_share)
    return None
