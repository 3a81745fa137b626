"""Testing on the eyes of another data set than what was trained on is from (``--test-data``)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

from retina_core.config import DataConfig
from retina_core.data.opening import Readers, open_dataset, told_source
from retina_core.data.sample import Dataset, Split
from retina_core.errors import DatasetError, InvalidValueError
from retina_core.evaluation.leaks import refuse_shared, refuse_weak_truth
from retina_core.evaluation.paper_protocols import divided

TestPart = Literal["test", "all"]
PARTS: Final[tuple[str, ...]] = get_args(TestPart)


@dataclass(frozen=True)
class Elsewhere:
    """Other eyes to test on."""

    data: str | tuple[str, ...]
    """A folder, or several that are combined."""
    reader: str | tuple[str, ...] | None = None
    part: str = "test"
    """``test``: its test part, by its official split or held out as for training; ``all``: every eye."""

    def opened(
        self, seed: int, config: DataConfig, registry: Readers, protocol: str | None = None
    ) -> Dataset:
        """The eyes to test on, without what is weak in them.

        Which channels are tested follows from what is trained on, so that ``data.channels`` does not count here; neither do
        ``data.exclude`` and ``data.train_eyes``, which are about that too.

        Raises:
            InvalidValueError: there is no such part.
            DataError: as ``open_dataset`` and ``Dataset.split``.
        """
        if self.part not in PARTS:
            raise InvalidValueError("evaluate", "test-part", self.part, f"choose {' or '.join(PARTS)}")
        own = config.model_copy(update={"channels": (), "exclude": "", "train_eyes": 0})
        found = open_dataset(self.data, reader=self.reader, registry=registry, config=own)
        if not found.samples:
            raise DatasetError(told_source(self.data), ["there is no eye to test on"])
        if self.part == "all":
            return found.with_samples([sample.without_weak() for sample in found.samples])
        return divided(replace(found, channels=()), seed, own, protocol).test


def crossed_split(split: Split, test: Dataset) -> Split:
    """A training part with other eyes to test on, which is checked before anything is trained.

    Raises:
        LeakError: a picture is in both, however it was saved.
        DatasetError: phantoms and real eyes meet, or no eye is annotated for a channel that is trained on.
    """
    if split.train.phantom != test.phantom:
        said = "one of what is trained on and what is tested on is phantoms, the other real eyes"
        advice = "name another data set to test on, or write phantoms with retina data phantom and train on that folder"
        raise DatasetError(test.root or test.name, [f"{said}; {advice}"])
    crossed = Split(split.train, test, split.left_out)
    refuse_untestable(crossed)
    return crossed


def refuse_untestable(split: Split) -> None:
    """Refuse, before anything is trained, what an evaluation of a segmenter would refuse.

    Raises:
        LeakError, DatasetError: as ``crossed_split``.
    """
    refuse_weak_truth(split)
    _refuse_unannotated(split.train.channels, split.test)
    refuse_shared(split)


def _refuse_unannotated(channels: Sequence[str], test: Dataset) -> None:
    """Refuse to test eyes in which nothing is annotated that could be found."""
    have = sorted({channel for sample in test.samples for channel in sample.labels})
    if not set(channels) & set(have):
        said = f"no eye is annotated for {' or '.join(channels) or 'any channel'} (have: {', '.join(have) or 'none'})"
        advice = "name another data set to test on, or choose channels with --set data.channels=NAME,..."
        raise DatasetError(test.root or test.name, [f"{said}; {advice}"])


def named_apart(sources: Sequence[str | Path]) -> tuple[str, ...]:
    """A name for each of several data sets, its folder's; of those that share one, all but the first are numbered."""
    names: list[str] = []
    for name in (Path(source).resolve().name or "data" for source in sources):
        numbered = (name if count == 1 else f"{name}-{count}" for count in itertools.count(1))
        names.append(next(one for one in numbered if one not in names))
    return tuple(names)
