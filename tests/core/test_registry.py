"""Discovery never raises, a broken plugin is a row, and names mean what they should."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from retina_core.api import CommandSpec, ReaderSpec, StageSpec, hookimpl
from retina_core.discovery import Announcement, installed_plugins
from retina_core.errors import (
    AmbiguousStageError,
    BrokenPluginError,
    UnknownStageError,
    WrongRoleError,
)
from retina_core.registry import LISTED_KINDS, Registry, Row


def stage(name: str, role: Any = "label-generator", **changes: Any) -> StageSpec:
    return StageSpec(
        name, role, f"retina_{name}.stage:It", f"retina_{name}.config:It", f"is {name}"
    )._replace(**changes)


def plugin(**offers: Any) -> ModuleType:
    """A module with hooks that return what is given, e.g. ``retina_segmenters=[...]``."""
    module = ModuleType("made_up")
    for hook, answer in offers.items():
        setattr(module, hook, hookimpl(answer if callable(answer) else _answering(answer)))
    return module


def _answering(answer: Any) -> Any:
    def hook() -> Any:
        return answer

    return hook


def observer(heard: list[Path]) -> Any:
    def hear(folder: Path) -> None:
        heard.append(folder)

    return hear


def broken(registry: Registry) -> dict[str, str]:
    return {row.name: row.reason for row in registry.rows if row.status == "broken"}


def names(registry: Registry, role: str | None) -> list[str]:
    return [row.name for row in registry.rows if row.role == role]


GOOD = {"retina_label_generators": [stage("good")]}


class TestRows:
    def test_core_readers_are_offered_through_the_same_hooks(self) -> None:
        registry = Registry.of()
        assert names(registry, "reader") == [
            "chase_db1",
            "drive",
            "fgadr",
            "folder",
            "hrf",
            "idrid",
            "messidor",
            "phantom",
            "stare",
        ]
        assert {row.distribution for row in registry.rows} == {"retina-core"}

    def test_row_has_the_keys_that_programs_read(self) -> None:
        keys = ["role", "name", "plugin", "distribution", "version", "summary", "paper", "status", "reason"]
        assert list(Row._fields) == keys

    def test_rows_are_sorted_by_role_and_name_and_broken_ones_come_last(self) -> None:
        registry = Registry.of(
            b=plugin(retina_label_generators=[stage("b")]),
            a=plugin(retina_label_generators=[stage("a")]),
            c=plugin(retina_segmenters=[stage("s", "segmenter")]),
            bad=plugin(retina_nonsense=[]),
        )
        roles = [row.role for row in registry.rows]
        order = [*LISTED_KINDS, None]
        assert roles == sorted(roles, key=order.index)
        assert names(registry, "label-generator") == ["a", "b"]

    def test_segmenter_is_an_evaluator_of_its_own_name(self) -> None:
        registry = Registry.of(net=plugin(retina_segmenters=[stage("net", "segmenter")]))
        assert names(registry, "segmenter") == ["net"]
        assert "net" in names(registry, "evaluator")
        assert registry.stage("net").role == "segmenter"
        assert registry.stage("net", "evaluator").role == "evaluator"

    def test_own_evaluator_of_a_segmenter_takes_the_place_of_the_derived_one(self) -> None:
        own = stage("net", "evaluator", summary="another protocol")
        registry = Registry.of(
            net=plugin(retina_segmenters=[stage("net", "segmenter")], retina_evaluators=[own])
        )
        assert registry.stage("net", "evaluator") == own

    def test_commands_are_no_rows(self) -> None:
        command = CommandSpec("sing", "made_up:sing", "Sing.")
        registry = Registry.of(it=plugin(retina_commands=[command]))
        assert registry.commands() == (command,)
        assert "sing" not in {row.name for row in registry.rows}


class TestBroken:
    @pytest.mark.parametrize(
        ("offers", "said"),
        [
            ({"retina_label_generator": []}, "did you mean 'retina_label_generators'?"),
            ({"retina_label_generators": 7}, "returned an int, not a list of StageSpec"),
            ({"retina_label_generators": "x"}, "returned a str, not a list of StageSpec"),
            ({"retina_label_generators": stage("x")}, "returned a StageSpec, not a list of StageSpec"),
            ({"retina_label_generators": [3]}, "a list with an int in it"),
            ({"retina_label_generators": [ReaderSpec("x", "a:B", "it")]}, "a list with a ReaderSpec in it"),
            ({"retina_label_generators": [stage("")]}, "'' is no name"),
            ({"retina_label_generators": [stage("a b")]}, "'a b' is no name"),
            ({"retina_label_generators": [stage("a:b")]}, "'a:b' is no name"),
            ({"retina_label_generators": [stage("x", paper=None)]}, "paper is None, not text"),
            ({"retina_label_generators": [stage("x", summary=" ")]}, "no summary"),
            ({"retina_label_generators": [stage("x", target="nowhere")]}, "is not 'module:Class'"),
            ({"retina_label_generators": [stage("x", config="")]}, "is not 'module:Class'"),
            ({"retina_label_generators": [stage("labels")]}, "reserved"),
            ({"retina_label_generators": [stage("x", "segmenter")]}, "has the role 'segmenter'"),
            ({"retina_label_generators": [stage("x"), stage("x")]}, "two label-generators called 'x'"),
            ({"retina_label_generators": [stage("x", api=">=2,<3")]}, "built for API >=2,<3"),
            ({"retina_label_generators": [stage("x", api="~=1.5")]}, "built for API ~=1.5"),
            ({"retina_label_generators": [stage("x", api="newest")]}, "no range of versions"),
            (
                {"retina_datasets": [ReaderSpec("chase_db1", "a:B", "mine")]},
                "already offered by plugin 'core'",
            ),
            ({}, "implements no hook"),
        ],
    )
    def test_what_is_wrong_becomes_a_row_with_its_reason(self, offers: dict[str, Any], said: str) -> None:
        registry = Registry.of(bad=plugin(**offers), good=plugin(**GOOD))
        assert said in broken(registry)["bad"]
        assert list(broken(registry)) == ["bad"]
        assert names(registry, "label-generator") == ["good"]
        row = next(row for row in registry.rows if row.status == "broken")
        assert row.role is None
        assert row.plugin == "bad"

    @pytest.mark.parametrize("error", [RuntimeError("no luck"), SystemExit(3), OSError("disk")])
    def test_hook_that_raises_is_contained(self, error: BaseException) -> None:
        def raising() -> list[StageSpec]:
            raise error

        registry = Registry.of(bad=plugin(retina_segmenters=raising), good=plugin(**GOOD))
        assert type(error).__name__ in broken(registry)["bad"]

    def test_argument_that_no_hook_has_is_refused(self) -> None:
        def with_argument(colour: str) -> list[StageSpec]:
            return []

        registry = Registry.of(bad=plugin(retina_segmenters=with_argument))
        assert "colour" in broken(registry)["bad"]

    def test_hook_that_was_not_marked_is_refused(self) -> None:
        module = plugin(**GOOD)
        module.retina_segmenters = list  # type: ignore[attr-defined]
        assert "not marked with retina_core.api.hookimpl" in broken(Registry.of(bad=module))["bad"]

    def test_range_of_the_usual_form_is_read_as_packaging_reads_it(self) -> None:
        fitting = [">=1.0,<2", ">=1,<1.1", ">=0.9, <1.0.1", "==1.*", "~=1.0", ">=1.0"]
        for api in fitting:
            assert not broken(
                Registry.of(it=plugin(retina_segmenters=[stage("it", "segmenter", api=api)]))
            ), api
        for api in [">=1.0,<1.0", ">=1.0.1,<2", ">=0.1,<1", "<1"]:
            assert broken(Registry.of(it=plugin(retina_segmenters=[stage("it", "segmenter", api=api)]))), api

    def test_second_plugin_with_a_name_names_the_first(self) -> None:
        registry = Registry.of(one=plugin(**GOOD), two=plugin(**GOOD))
        assert "plugin 'one'" in broken(registry)["two"]
        assert registry.plugin_of(registry.stage("good")).plugin == "one"

    def test_plugin_that_bears_the_name_keeps_it(self) -> None:
        registry = Registry.of(good=plugin(**GOOD), another=plugin(**GOOD))
        assert list(broken(registry)) == ["another"]

    def test_broken_plugin_hears_nothing(self) -> None:
        heard: list[Path] = []
        hear = observer(heard)
        module = plugin(retina_run_finished=hear, retina_nonsense=[])
        Registry.of(bad=module).announce("retina_run_finished", folder=Path("x"))
        assert not heard

    def test_reserved_command_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = importable(
            tmp_path, monkeypatch, "takes_list", "retina_commands", "[CommandSpec('list', 'a:b', 'x')]"
        )
        registry = Registry.discover([entry], only=entry.name, reserved_commands=["list"])
        assert "already offered by the retina command itself" in broken(registry)["takes_list"]


def importable(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, hook: str, answer: str, head: str = ""
) -> Announcement:
    """A module on the path whose one hook gives ``answer``, and its entry point."""
    code = f"from retina_core.api import *\n{head}\n@hookimpl\ndef {hook}():\n    return {answer}\n"
    (folder / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return Announcement(name, name, f"retina-{name}", "1")


class TestImport:
    @pytest.mark.parametrize(
        ("head", "said"),
        [
            ("import a_module_that_is_not_there", "ModuleNotFoundError"),
            ("raise SystemExit('goodbye')", "SystemExit: goodbye"),
            ("1 / 0", "ZeroDivisionError"),
            ("this is no Python", "SyntaxError"),
        ],
    )
    def test_module_that_fails_is_a_row(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, said: str
    ) -> None:
        entry = importable(tmp_path, monkeypatch, "fails_at_import", "retina_segmenters", "[]", head)
        registry = Registry.discover([entry], only=entry.name)
        assert said in broken(registry)["fails_at_import"]

    def test_what_a_plugin_prints_stays_off_standard_output(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        entry = importable(
            tmp_path, monkeypatch, "prints", "retina_segmenters", "print('hook') or []", "print('hi')"
        )
        assert not broken(Registry.discover([entry], only=entry.name))
        assert capsys.readouterr().out == ""

    def test_keyboard_interrupt_is_not_swallowed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = importable(
            tmp_path, monkeypatch, "interrupted", "retina_segmenters", "[]", "raise KeyboardInterrupt"
        )
        with pytest.raises(KeyboardInterrupt):
            Registry.discover([entry], only=entry.name)

    def test_target_that_cannot_be_imported_is_an_error_when_it_is_asked_for(self) -> None:
        registry = Registry.of(good=plugin(**GOOD))
        with pytest.raises(
            BrokenPluginError, match=r"plugin 'good' cannot be used: cannot import retina_good"
        ):
            registry.stage_class(registry.stage("good"))

    def test_config_that_is_no_config_is_refused(self) -> None:
        spec = stage("good", config="pathlib:Path", target="math:pi")
        registry = Registry.of(good=plugin(retina_label_generators=[spec]))
        with pytest.raises(BrokenPluginError, match="is not a StageConfig"):
            registry.config_class(spec)
        with pytest.raises(BrokenPluginError, match="is not a class"):
            registry.stage_class(spec)


class TestChoice:
    ENTRIES = (
        Announcement("one", "nowhere.one", "retina-one", "1"),
        Announcement("two", "nowhere.two", "x", "1"),
    )

    def test_retina_plugins_loads_only_those(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RETINA_PLUGINS", "two")
        assert list(broken(Registry.discover(self.ENTRIES))) == ["two"]

    @pytest.mark.parametrize("value", ["", " ", ","])
    def test_empty_retina_plugins_loads_none_but_the_core(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("RETINA_PLUGINS", value)
        registry = Registry.discover(self.ENTRIES)
        assert {row.plugin for row in registry.rows} == {"core"}

    def test_name_in_retina_plugins_that_is_not_installed_is_a_row(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RETINA_PLUGINS", "three, one")
        registry = Registry.discover(self.ENTRIES)
        assert "not installed" in broken(registry)["three"]
        assert sorted(broken(registry)) == ["one", "three"]


class TestStage:
    REGISTRY = Registry.of(
        a=plugin(retina_label_generators=[stage("a"), stage("both")]),
        b=plugin(
            retina_image_translators=[stage("both", "image-translator"), stage("b", "image-translator")]
        ),
        c=plugin(retina_segmenters=[stage("c", "segmenter")]),
        new=plugin(retina_label_generators=[stage("fresh", api=">=9")]),
    )

    def test_role_may_be_written_before_the_name(self) -> None:
        assert self.REGISTRY.stage("image-translator:both").role == "image-translator"
        assert self.REGISTRY.stage("both", "label-generator").role == "label-generator"

    def test_unknown_name_names_the_nearest(self) -> None:
        with pytest.raises(UnknownStageError, match="did you mean 'both'"):
            self.REGISTRY.stage("bothh")
        with pytest.raises(UnknownStageError):
            self.REGISTRY.stage("nosuch", "evaluator")

    def test_unknown_role_is_refused_with_the_choices(self) -> None:
        with pytest.raises(UnknownStageError, match="label-generator:a"):
            self.REGISTRY.stage("generator:a")

    def test_shared_name_is_refused_with_the_choices(self) -> None:
        with pytest.raises(AmbiguousStageError, match="label-generator:both or image-translator:both"):
            self.REGISTRY.stage("both")

    def test_other_role_is_refused(self) -> None:
        with pytest.raises(WrongRoleError, match="'a' is a label-generator, not an image-translator"):
            self.REGISTRY.stage("a", "image-translator")
        with pytest.raises(WrongRoleError):
            self.REGISTRY.stage("label-generator:both", "image-translator")

    def test_broken_plugin_is_an_error_when_it_or_its_stage_is_asked_for(self) -> None:
        for reference in ("new", "fresh", "label-generator:fresh"):
            with pytest.raises(BrokenPluginError, match="built for API >=9"):
                self.REGISTRY.stage(reference)

    def test_reader_is_found_by_name(self) -> None:
        assert self.REGISTRY.reader("hrf").target.endswith(":HRFReader")
        with pytest.raises(UnknownStageError, match="no reader is called 'hrff'"):
            self.REGISTRY.reader("hrff")


class TestObservers:
    def test_observer_is_told(self) -> None:
        heard: list[Path] = []
        hear = observer(heard)
        registry = Registry.of(it=plugin(retina_run_finished=hear))
        registry.announce("retina_run_finished", folder=Path("runs/x"))
        assert heard == [Path("runs/x")]

    def test_observer_that_fails_is_a_warning_and_the_next_is_told(self) -> None:
        heard: list[Path] = []
        hear = observer(heard)

        def failing(folder: Path) -> None:
            raise ValueError("no luck")

        registry = Registry.of(
            a=plugin(retina_run_finished=hear),
            b=plugin(retina_run_finished=failing),
            c=plugin(retina_run_finished=hear),
        )
        with pytest.warns(RuntimeWarning, match="no luck"):
            registry.announce("retina_run_finished", folder=Path("x"))
        assert len(heard) == 2


class TestEntryPoints:
    def write(self, folder: Path, distribution: str, text: str, suffix: str = "dist-info") -> None:
        metadata = folder / f"{distribution.replace('-', '_')}-1.2.{suffix}"
        metadata.mkdir(parents=True)
        (metadata / "entry_points.txt").write_text(text)
        name = "METADATA" if suffix == "dist-info" else "PKG-INFO"
        (metadata / name).write_text(
            f"Metadata-Version: 2.4\nName: {distribution}\nVersion: 1.2\n\nVersion: 9\n"
        )

    def test_wheel_and_egg_info_are_found(self, tmp_path: Path) -> None:
        self.write(tmp_path, "retina-a", "[console_scripts]\nx = y:z\n\n[retina]\na = retina_a.plugin\n")
        self.write(tmp_path, "retina-b", "[retina]\n# no = comment\nb=retina_b:hooks [extra]\n", "egg-info")
        found = installed_plugins([str(tmp_path), str(tmp_path / "not there")])
        assert found == (
            Announcement("a", "retina_a.plugin", "retina-a", "1.2"),
            Announcement("b", "retina_b:hooks", "retina-b", "1.2"),
        )

    def test_first_on_the_path_hides_the_same_distribution_behind_it(self, tmp_path: Path) -> None:
        self.write(tmp_path / "1", "retina-a", "[retina]\na = first\n")
        self.write(tmp_path / "2", "retina_a", "[retina]\na = second\n")
        found = installed_plugins([str(tmp_path / "1"), str(tmp_path / "2")])
        assert [entry.target for entry in found] == ["first"]

    def test_leftover_of_a_killed_pip_is_ignored(self, tmp_path: Path) -> None:
        self.write(tmp_path, "~etina-a", "[retina]\na = first\n")
        assert installed_plugins([str(tmp_path)]) == ()

    def test_hand_reading_agrees_with_importlib(self) -> None:
        from importlib.metadata import entry_points

        theirs = {(entry.name, entry.value) for entry in entry_points(group="retina")}
        assert {(entry.name, entry.target) for entry in installed_plugins()} == theirs
