"""What every stage promises, whether it learns or not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import torch

from retina_core.config import PRESETS
from retina_core.errors import RunFolderError, StageFolderError, UnknownKeyError
from retina_core.formats.stage_card import CARD, MODEL, PRIORS, SEEN, read_card
from retina_core.formats.stage_folder import load_stage
from retina_core.registry import Registry
from retina_core.specs import Role, StageSpec
from retina_core.stages import Stage
from retina_core.testing.eyes import tiny_eyes
from retina_core.training.fit import fit
from retina_core.training.options import FitOptions


class StageContract:
    """Subclass one of the roles' contracts rather than this."""

    stage: ClassVar[str]
    """The stage's name."""
    role: ClassVar[Role]
    settings: ClassVar[Mapping[str, Any]] = {}
    """A tiny config: the whole contract should take seconds on one core."""
    channels: ClassVar[tuple[str, ...]] = ("vessel", "optic_disc")
    image_px: ClassVar[int] = 40

    @pytest.fixture(autouse=True)
    def _own_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("RETINA_CACHE", str(tmp_path / "cache"))

    @pytest.fixture
    def registry(self) -> Registry:
        """The plugins that are installed."""
        return Registry.discover()

    @pytest.fixture
    def spec(self, registry: Registry) -> StageSpec:
        """The stage's own."""
        return registry.stage(self.stage, self.role)

    @pytest.fixture
    def new_stage(self, registry: Registry, spec: StageSpec) -> Stage:
        """A fresh one, its weights random but fixed, ready to be used."""
        config = registry.config_class(spec).resolve(self.stage, "quick", self.settings)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            stage = cast(Stage, registry.stage_class(spec)(config, self.channels))
        stage.move_to("cpu")
        stage.eval_mode()
        return stage

    def make(
        self, out: Path, registry: Registry, *, settings: Mapping[str, Any] | None = None, **options: Any
    ) -> Stage:
        """The stage as ``fit`` makes it of tiny eyes, its folder ``out``; ``settings`` go over the contract's."""
        return fit(
            self.stage,
            tiny_eyes(channels=self.channels, image_px=self.image_px),
            out,
            role=self.role,
            preset="quick",
            settings={**self.settings, **(settings or {})},
            options=FitOptions(device="cpu", **options),
            registry=registry,
        )

    def make_another(self, out: Path, registry: Registry) -> Stage:
        """As ``make``, of a request that is another one."""
        return self.make(out, registry, seed=1)

    def test_class_and_spec_have_one_name(self, registry: Registry, spec: StageSpec) -> None:
        kind = cast(type[Stage], registry.stage_class(spec))
        assert (kind.name, kind.role) == (spec.name, spec.role) == (self.stage, self.role)

    @pytest.mark.parametrize("preset", PRESETS)
    def test_every_preset_is_valid(self, preset: str, registry: Registry, spec: StageSpec) -> None:
        config = registry.config_class(spec).resolve(self.stage, preset)
        assert config.model_dump().items() >= dict(config.presets[preset]).items()
        judging = registry.config_class(spec).resolve(self.stage, preset, config.judging.get(preset))
        assert judging.model_dump().items() >= dict(config.judging.get(preset, {})).items()

    def test_every_setting_has_a_meaning(self, registry: Registry, spec: StageSpec) -> None:
        assert [row.name for row in registry.config_class(spec).describe() if not row.meaning] == []

    def test_a_setting_that_does_not_exist_is_refused(self, registry: Registry, spec: StageSpec) -> None:
        with pytest.raises(UnknownKeyError, match="resolution"):
            registry.config_class(spec).resolve(self.stage, "quick", {"resolutoin": 3})

    def test_a_whole_folder_is_written_that_loads_again(self, tmp_path: Path, registry: Registry) -> None:
        made = self.make(tmp_path / "stage", registry)
        assert {path.name for path in (tmp_path / "stage").iterdir()} >= {CARD, MODEL, PRIORS, SEEN}
        again = load_stage(tmp_path / "stage", registry=registry, device="cpu")
        assert (again.config, again.channels) == (made.config, made.channels)
        assert torch.equal(again.priors.fovs, made.priors.fovs)
        assert again.priors.shares == made.priors.shares

    def test_other_settings_are_refused_in_the_same_folder(self, tmp_path: Path, registry: Registry) -> None:
        self.make(tmp_path / "stage", registry)
        before = {name: (tmp_path / "stage" / name).read_bytes() for name in (CARD, MODEL)}
        with pytest.raises(RunFolderError, match="--out"):
            self.make_another(tmp_path / "stage", registry)
        assert before == {name: (tmp_path / "stage" / name).read_bytes() for name in (CARD, MODEL)}

    def test_a_flipped_byte_is_refused(self, tmp_path: Path, registry: Registry) -> None:
        self.make(tmp_path / "stage", registry)
        path = tmp_path / "stage" / MODEL
        content = bytearray(path.read_bytes())
        content[-7] ^= 1
        path.write_bytes(content)
        with pytest.raises(StageFolderError, match=r"model\.safetensors is damaged"):
            load_stage(tmp_path / "stage", registry=registry)

    def test_what_was_seen_is_written_down(self, tmp_path: Path, registry: Registry) -> None:
        self.make(tmp_path / "stage", registry)
        seen = json.loads((tmp_path / "stage" / SEEN).read_text())["fingerprints"]
        assert seen == tiny_eyes(channels=self.channels, image_px=self.image_px).seen()
        assert read_card(tmp_path / "stage").provenance["samples"] == len(seen)
