"""Any label generator chains with any translator, across resolutions and channels; all that are installed are tried."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retina_core import FitOptions, PipelineRequest, Registry, fit, generate, run_pipeline
from retina_core.randomness import sample_rng
from retina_core.testing import tiny_eyes
from retina_core.testing.stage import StageContract
from retina_phantom.drawing import draw_maps

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml"))
REGISTRY = Registry.discover(only=",".join(PLUGINS))
CPU = FitOptions(device="cpu", precision="fp32")
SHORT = {"seen_images": 4, "batch_size": 4}
DRAWN, PAINTED = ("vessel", "optic_disc", "fovea"), ("optic_disc", "vessel")
"""A translator knows some of what is drawn, in another order."""


@dataclass(frozen=True)
class Tiny:
    """A stage with the tiny settings that its contract is tested with."""

    contract: type[StageContract]
    enlarged: int = 1

    def __str__(self) -> str:
        return f"{self.contract.__name__}-{self.settings['resolution']}px"

    @property
    def settings(self) -> dict[str, Any]:
        learns = SHORT if "seen_images" in self.config.model_fields else {}
        size = self.contract.settings["resolution"] * self.enlarged
        return {**self.contract.settings, **learns, "resolution": size}

    @property
    def config(self) -> Any:
        return REGISTRY.config_class(REGISTRY.stage(self.contract.stage, self.contract.role))


@cache
def contracts() -> tuple[type[StageContract], ...]:
    """The classes in ``tests/plugins/test_*_contract.py``."""
    found: list[type[StageContract]] = []
    for plugin in PLUGINS:
        path = ROOT / f"tests/plugins/test_{plugin}_contract.py"
        if not path.exists():
            continue  # which another test says
        spec = importlib.util.spec_from_file_location(f"contract_of_{plugin}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [kind for kind in vars(module).values() if _is_contract(kind, module.__name__)]
    return tuple(found)


def _is_contract(kind: object, module: str) -> bool:
    return isinstance(kind, type) and issubclass(kind, StageContract) and kind.__module__ == module


def tiny(role: str) -> list[Tiny]:
    """Each stage of a role twice: as its contract has it, and at twice that size."""
    kinds = [kind for kind in contracts() if kind.role == role]
    return [Tiny(kind, enlarged) for kind in kinds for enlarged in (1, 2)]


TRANSLATORS = tiny("image-translator")
PAIRS = [
    (generator, translator)
    for generator, translator in itertools.product(tiny("label-generator"), TRANSLATORS)
    if generator.enlarged * translator.enlarged < 4  # at one size, and from either to the other
]

Fitted = Callable[[Tiny, tuple[str, ...]], Path]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fitted]:
    """Gives the folder of a stage that was trained on one batch, once for all tests."""
    root = tmp_path_factory.mktemp("every-chain")
    before = os.environ.get("RETINA_CACHE")
    os.environ["RETINA_CACHE"] = str(root / "cache")

    def folder(stage: Tiny, channels: tuple[str, ...]) -> Path:
        out = root / str(stage)
        eyes = tiny_eyes(channels=channels)
        kind = stage.contract
        fit(
            kind.stage,
            eyes,
            out,
            role=kind.role,
            preset="quick",
            settings=stage.settings,
            options=CPU,
            registry=REGISTRY,
        )
        return out

    yield folder
    if before is None:
        del os.environ["RETINA_CACHE"]
    else:
        os.environ["RETINA_CACHE"] = before


@pytest.mark.parametrize("role", ["label-generator", "image-translator", "pair-generator"])
def test_every_stage_has_tiny_settings_in_its_contract(role: str) -> None:
    assert {kind.stage for kind in contracts() if kind.role == role} == set(REGISTRY.names(role))


@pytest.mark.parametrize(("generator", "translator"), PAIRS, ids=str)
def test_the_pair_chains(generator: Tiny, translator: Tiny, fitted: Fitted, tmp_path: Path) -> None:
    labels, painter = fitted(generator, DRAWN), fitted(translator, PAINTED)
    out = generate(labels, painter, count=2, out=tmp_path / "pairs", seed=5, options=CPU, registry=REGISTRY)
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    size = translator.settings["resolution"]
    assert [row["labels_stage"]["name"] for row in rows] == [generator.contract.stage] * 2
    assert [row["translator_stage"]["name"] for row in rows] == [translator.contract.stage] * 2
    refuse_wrong_pairs(out, rows, size)


@pytest.mark.parametrize("generator", tiny("pair-generator"), ids=str)
def test_a_pair_generator_stands_in_place_of_a_chain(generator: Tiny, fitted: Fitted, tmp_path: Path) -> None:
    folder = fitted(generator, PAINTED)
    out = generate(pairs=folder, count=2, out=tmp_path / "pairs", seed=5, options=CPU, registry=REGISTRY)
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    for row in rows:
        assert row["labels_stage"] == row["translator_stage"]
        assert row["labels_stage"]["name"] == generator.contract.stage
    refuse_wrong_pairs(out, rows, generator.settings["resolution"])


def refuse_wrong_pairs(out: Path, rows: list[dict[str, Any]], size: int) -> None:
    """Two pairs are of one size, black outside, 0 and 255 where labels are, and not the same."""
    for row in rows:
        photo, fov = pixels(out / row["file_name"]), pixels(out / row["fov_file_name"])
        assert photo.shape == (size, size, 3)
        assert photo.any()
        assert not photo[fov == 0].any()
        assert "fovea_file_name" not in row, "a photograph shows nothing of what is not painted"
        for channel in PAINTED:
            marked = pixels(out / row[f"{channel}_file_name"])
            assert marked.shape == fov.shape == (size, size)
            assert set(np.unique(marked)) <= {0, 255}
            assert not marked[fov == 0].any()
    if not alike(out, rows, [f"{channel}_file_name" for channel in PAINTED]):
        assert not alike(out, rows, ["file_name"])


@pytest.mark.parametrize("translator", [t for t in TRANSLATORS if t.enlarged == 1], ids=str)
def test_maps_that_are_drawn_by_rules_come_out_as_they_were_drawn(
    translator: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The yardstick in a pipeline: at the translator's own size, cut by the field of view alone."""
    monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))
    eyes = {"phantom_count": 4, "phantom_px": 48, "channels": ",".join(DRAWN)}
    request = PipelineRequest(
        labels="phantom",
        translator=translator.contract.stage,
        preset="quick",
        count=3,
        seed=2,
        out=tmp_path / "run",
        settings={"labels": {"resolution": 32}, "translator": translator.settings, "data": eyes},
    )
    run = run_pipeline(request, options=CPU, registry=REGISTRY)
    steps = json.loads((run / "run.json").read_text())["steps"]
    assert {step["status"] for step in steps.values()} == {"done"}
    for index in range(3):
        inside = pixels(run / f"synthetic/fov/{index:06d}.png") > 0
        maps = draw_maps(sample_rng(2, "labels", index), DRAWN, len(inside)).numpy() > 0
        for channel, drawn in zip(DRAWN, maps, strict=True):
            written = pixels(run / f"synthetic/labels/{channel}/{index:06d}.png") > 0
            assert np.array_equal(written, drawn & inside)


def alike(out: Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> bool:
    """Whether two pairs have the same pictures; the maps of a generator that has hardly learnt may all be empty."""
    return all(np.array_equal(*(pixels(out / row[column]) for row in rows)) for column in columns)


def pixels(path: Path) -> Any:
    with Image.open(path) as picture:
        return np.asarray(picture)
