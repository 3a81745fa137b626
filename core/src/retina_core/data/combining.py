"""Several data sets as one: ids and patients unique, each with its own split, channels matched by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from retina_core.config import DataConfig
from retina_core.data.origin import Origin
from retina_core.data.pictures import FilePicture, PictureSource
from retina_core.data.readers.base import channels_in_use
from retina_core.data.sample import Dataset, Sample


def combined(datasets: Sequence[Dataset], config: DataConfig) -> Dataset:
    """The samples of all; ids, patients and groups begin with the name of the data set that they come from.

    The channels in use are those that every annotated sample has; where there is none such, all that any has. A
    channel that a sample's data set lacks stays absent.
    """
    names = _names(datasets)
    parts = [[_of(name, sample) for sample in one] for name, one in zip(names, datasets, strict=True)]
    samples = [sample for part in parts for sample in part]
    origins = tuple(
        Origin(name, one.reader, one.root, len(one), one.citation, one.licence)
        for name, one in zip(names, datasets, strict=True)
    )
    return Dataset(
        name=" + ".join(names),
        reader=" + ".join(dict.fromkeys(one.reader for one in datasets)),
        root=None,
        samples=tuple(samples),
        channels=channels_in_use([sample for sample in samples if sample.labels], config),
        citation=_listed({one.name: one.citation for one in origins}),
        licence=_listed({one.name: one.licence for one in origins}),
        notes=tuple(
            f"{name}: {note}" for name, one in zip(names, datasets, strict=True) for note in one.notes
        ),
        phantom=all(one.phantom for one in datasets),
        repeats=any(one.repeats for one in datasets),
        origins=origins,
    )


def _names(datasets: Sequence[Dataset]) -> list[str]:
    """A name for each; of those that share one, all but the first are numbered."""
    met: Counter[str] = Counter()
    names = []
    for dataset in datasets:
        met[dataset.name] += 1
        count = met[dataset.name]
        names.append(dataset.name if count == 1 else f"{dataset.name}-{count}")
    return names


def _of(name: str, sample: Sample) -> Sample:
    """A sample under its new names; its pictures are called by their whole paths, since two sets may share one."""
    return replace(
        sample,
        id=f"{name}-{sample.id}",
        patient=f"{name}-{sample.patient}",
        group=f"{name}-{sample.group}" if sample.group else name,
        origin=name,
        photo=_called(sample.photo),
        labels={channel: source and _called(source) for channel, source in sample.labels.items()},
        fov=sample.fov and _called(sample.fov),
        observers={
            who: {key: _called(one) for key, one in maps.items()} for who, maps in sample.observers.items()
        },
    )


def _called(source: PictureSource) -> PictureSource:
    return replace(source, root=None) if isinstance(source, FilePicture) else source


def _listed(texts: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in texts.items() if text)
