"""One evaluator on one synthetic set and one split of real data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from retina_core.config import LearningConfig, StageConfig
from retina_core.data.opening import open_dataset
from retina_core.data.sample import Dataset, Split
from retina_core.errors import InvalidValueError
from retina_core.evaluation.context import EvaluationContext
from retina_core.evaluation.leaks import refuse_leak, refuse_shared, refuse_weak_truth, uncompared
from retina_core.evaluation.paper_protocols import (
    PaperProtocol,
    protocol_named,
    refuse_other_protocol,
    write_protocol,
)
from retina_core.evaluation.protocol import UtilityEvaluator
from retina_core.evaluation.scores import Scores
from retina_core.formats.lock import sole_use
from retina_core.formats.sample_set import read_rows
from retina_core.registry import Registry
from retina_core.roles import Evaluator, Segmenter
from retina_core.specs import StageSpec
from retina_core.training.options import FitOptions

SEEDS = {"quick": 1}
"""Trainings of each regime by preset; three elsewhere."""


def evaluate(
    evaluator: str,
    synthetic: Path | str | None,
    real: Split,
    out: Path | str,
    *,
    preset: str = "standard",
    settings: Mapping[str, Any] | None = None,
    regimes: Sequence[str] = ("REAL", "SYNTH"),
    seeds: int | None = None,
    epochs: int | None = None,
    over_all: bool = False,
    trainings: Path | None = None,
    protocol: str | None = None,
    options: FitOptions | None = None,
    registry: Registry | None = None,
) -> Scores:
    """Scores of a synthetic set; written to ``out`` with per-eye scores and figures.

    Args:
        evaluator: its name; every segmenter is one.
        synthetic: the set's folder; None: only REAL can be scored.
        real: the split that the stages were trained on; its test part must be unseen.
        preset: the run's; a segmenter's may be another where there are pairs (``StageConfig.judging``).
        seeds: trainings of each regime; one in ``quick``, else three.
        epochs: rounds of each training through its samples, so that more samples mean more steps; None: as many seen images
            for each regime as the settings say.
        over_all: score several channels together too, and compare precision and recall.
        trainings: the ``out`` of an evaluation that trained on the same, whose segmenters are tested on these other eyes.

        protocol: a paper's, by name; the split must be its own (``paper_protocols.divided``). None: the core's own.

    Raises:
        LeakError: a test photograph had a part in the synthetic pairs.
        PluginError, ConfigError, DataError, RunFolderError: before any work.
    """
    registry, options, out = registry or Registry.discover(), options or FitOptions(), Path(out)
    spec, chosen = registry.stage(evaluator, "evaluator"), protocol_named(protocol)
    refuse_other_protocol(out, chosen)
    pairs = _open_pairs(synthetic, registry) if synthetic is not None else None
    if pairs:
        settings = {**registry.config_class(spec).judging.get(preset, {}), **(settings or {})}
    smallest = pairs or (real.train if real.train.phantom else None)
    if chosen:
        real = _as_in_paper(chosen, real, spec, registry)
    settings = at_working_resolution(spec, registry, smallest, settings or {}, preset, chosen)
    refuse_weak_truth(real)
    refuse_leak(pairs, real.test, real.train)
    refuse_shared(real)
    if told := uncompared(pairs, real.test):
        options.listener.say(f"{spec.name}: {told}")
    context = EvaluationContext(
        out,
        registry,
        options,
        preset,
        settings,
        tuple(regimes),
        seeds or SEEDS.get(preset, 3),
        epochs,
        over_all,
        trainings,
        chosen,
    )
    with sole_use(out):
        write_protocol(out, chosen)
        return make_evaluator(spec, registry, preset, settings).evaluate(
            pairs, real.train, real.test, context
        )


def make_evaluator(
    spec: StageSpec, registry: Registry, preset: str = "standard", settings: Mapping[str, Any] | None = None
) -> Evaluator:
    """The evaluator that a spec names: its own class, or the protocol around a segmenter."""
    kind = registry.stage_class(spec)
    if issubclass(kind, Segmenter):
        return UtilityEvaluator(registry.stage(spec.name, "segmenter"))
    config = registry.config_class(spec).resolve(spec.name, preset, settings)
    build = cast(Callable[[StageConfig], Evaluator], kind)
    return build(config)


def _open_pairs(synthetic: Path | str, registry: Registry) -> Dataset:
    read_rows(Path(synthetic))  # an incomplete set is refused before its files are read
    return open_dataset(synthetic, reader="folder", registry=registry)


def _as_in_paper(protocol: PaperProtocol, real: Split, spec: StageSpec, registry: Registry) -> Split:
    """The split, its eyes framed as a protocol says.

    Raises:
        InvalidValueError: the evaluator trains no segmenter.
    """
    if not issubclass(registry.stage_class(spec), Segmenter):
        reason = f"{spec.name} trains no segmenter, which is what a protocol is about; leave it out for {spec.name}"
        raise InvalidValueError("evaluate", "protocol", protocol.name, reason)
    return replace(real, train=protocol.framed(real.train), test=protocol.framed(real.test))


def at_working_resolution(
    spec: StageSpec,
    registry: Registry,
    smallest: Dataset | None,
    settings: Mapping[str, Any],
    preset: str,
    protocol: PaperProtocol | None,
) -> dict[str, Any]:
    """Settings with the size at which all regimes are compared: that of ``smallest``, where the segmenter works larger.

    A protocol's settings stand below those that are given.

    Those are the pairs: enlarged, they would be blurred beside real photographs, and the segmenter would learn the blur.
    Without pairs it is phantoms, which are drawn no larger than they were asked for.
    """
    config_class = registry.config_class(spec)
    own = protocol.settings_for(config_class.model_fields) if protocol else {}
    chosen = {**own, **settings}
    config = config_class.resolve(registry.reference(spec), preset, chosen)
    if smallest is None or "resolution" in settings or not isinstance(config, LearningConfig):
        return chosen
    own_px = max(smallest.samples[0].photo.size())
    return {**chosen, "resolution": own_px} if own_px < config.resolution else chosen
