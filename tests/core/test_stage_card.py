"""A stage's folder: what is wrong with it is one clear sentence, and no write leaves half a file."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from retina_core.config import LearningConfig
from retina_core.errors import PluginError, RunFolderError, StageFolderError, StorageError, WrongRoleError
from retina_core.formats.adopting import adopt_weights
from retina_core.formats.atomic import replacing, replacing_folder, write_json, write_text
from retina_core.formats.lock import sole_use
from retina_core.formats.stage_card import (
    CARD,
    MODEL,
    PRIORS,
    SEEN,
    check_files,
    read_card,
    read_seen,
    sha256_of,
    write_seen,
)
from retina_core.formats.stage_folder import load_stage, save_stage
from retina_core.registry import Registry, Row
from retina_core.specs import StageSpec
from retina_core.stages import Priors

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

ROW = Row("label-generator", "toy", "toy", "retina-toy", "0.1", "", "", "ok", "")
SPEC = StageSpec("toy", "label-generator", "toy:ToyLabels", "toy:ToyConfig", "")


class ToyRegistry:
    """A registry with the toy alone."""

    def stage(self, name: str, role: str | None = None) -> StageSpec:
        assert (name, role) == ("toy", "label-generator")
        return SPEC

    def stage_class(self, spec: StageSpec) -> type:
        return toy.ToyLabels

    def config_class(self, spec: StageSpec) -> type[LearningConfig]:
        return toy.ToyConfig  # type: ignore[no-any-return]


REGISTRY: Registry = ToyRegistry()  # type: ignore[assignment]


def new_stage(channels: tuple[str, ...] = ("vessel",), seed: int = 0) -> Any:
    torch.manual_seed(seed)
    stage = toy.ToyLabels(toy.ToyConfig.resolve("toy", "quick", {}), channels)
    stage.priors = Priors(
        fovs=torch.full((2, 1, 16, 16), 255, dtype=torch.uint8),
        shares=dict.fromkeys(channels, 0.1),
        thresholds=dict.fromkeys(channels, 0.4),
        grade_shares={0: 0.75, 3: 0.25},
    )
    return stage


def weights(stage: Any) -> dict[str, torch.Tensor]:
    return {f"{n}.{k}": v.clone() for n, net in stage.networks().items() for k, v in net.state_dict().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "labels"
    save_stage(new_stage(), path, plugin=ROW, seen=["b" * 64, "a" * 64, "a" * 64], provenance={"seed": 5})
    return path


def edit(folder: Path, **changes: Any) -> None:
    """Change the card's text, as a hand or another version would."""
    path = folder / CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def resign(folder: Path, name: str = MODEL) -> None:
    """Give a changed file its right hash, so that what is in it is looked at."""
    edit(folder, files={**json.loads((folder / CARD).read_text())["files"], name: sha256_of(folder / name)})


def refusal(folder: Path) -> str:
    """The one line with which a folder's card is refused."""
    with pytest.raises(StageFolderError) as caught:
        read_card(folder)
    assert caught.value.exit_status == 2
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_a_card_says_what_a_stage_is(folder: Path) -> None:
    card = read_card(folder)
    assert (card.role, card.name, card.plugin, card.distribution) == ROW[:4]
    assert (card.channels, card.resolution, card.provenance) == (("vessel",), 16, {"seed": 5})
    assert set(card.files) == {MODEL, PRIORS}
    check_files(folder, card)
    assert json.loads((folder / CARD).read_text())["schema"] == 1


def test_a_stage_comes_back_as_it_was(folder: Path) -> None:
    stage: Any = load_stage(folder, registry=REGISTRY, device="cpu")
    before = new_stage()
    assert all(torch.equal(value, weights(before)[key]) for key, value in weights(stage).items())
    assert stage.priors.thresholds == {"vessel": 0.4}
    assert stage.priors.grade_shares == {0: 0.75, 3: 0.25}
    assert torch.equal(stage.priors.fovs, before.priors.fovs)
    assert stage.folder == folder
    assert not any(
        p.requires_grad or net.training for net in stage.networks().values() for p in net.parameters()
    )


def test_what_was_seen_is_sorted_and_comes_once(folder: Path) -> None:
    assert json.loads((folder / SEEN).read_text())["fingerprints"] == ["a" * 64, "b" * 64]
    assert read_seen(folder) == {"a" * 64, "b" * 64}


def test_a_folder_without_a_card_holds_no_stage(tmp_path: Path, folder: Path) -> None:
    assert refusal(tmp_path / "nowhere") == "there is no config.json, so it holds no trained stage"
    (folder / CARD).unlink()
    assert "there is no config.json" in refusal(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"schema": 1', b"\xff\xfe\x00", b'{"schema": 1}\x00', b"[" * 100_000]
)
def test_a_damaged_card_is_refused(folder: Path, content: bytes) -> None:
    (folder / CARD).write_bytes(content)
    assert "config.json cannot be read" in refusal(folder)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"text"', "{}"])
def test_a_card_of_another_form_is_refused(folder: Path, content: str) -> None:
    (folder / CARD).write_text(content)
    assert refusal(folder).startswith("config.json:")


@pytest.mark.parametrize(
    "key", ["role", "name", "plugin", "api_version", "config", "channels", "resolution", "files"]
)
def test_a_card_that_leaves_something_out_is_refused_by_its_name(folder: Path, key: str) -> None:
    card = json.loads((folder / CARD).read_text())
    del card[key]
    (folder / CARD).write_text(json.dumps(card))
    assert refusal(folder) == f"config.json: {key}: field required"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("role", "painter"),
        ("channels", "vessel"),
        ("resolution", -1),
        ("resolution", 10**9),
        ("image_channels", 0),
        ("config", [1]),
        ("files", {"model.safetensors": 3}),
        ("thresholds", {"vessel": "high"}),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_its_name(folder: Path, key: str, value: object) -> None:
    edit(folder, **{key: value})
    assert refusal(folder).startswith(f"config.json: {key}")


def test_a_card_of_a_later_retina_is_refused(folder: Path) -> None:
    edit(folder, api_version="99.0")
    assert "a later retina wrote it (API 99.0" in refusal(folder)
    assert "upgrade" in refusal(folder)
    edit(folder, api_version="new")
    assert refusal(folder) == "config.json: api_version 'new' is no version"


def test_a_card_of_another_schema_is_refused(folder: Path) -> None:
    edit(folder, schema=2)
    assert refusal(folder).startswith("a later retina wrote it (schema 2)")


def test_what_a_later_minor_version_adds_is_passed_over(folder: Path) -> None:
    edit(folder, colour="red")
    assert read_card(folder).name == "toy"


PATHS = ["../vessel", "a/b", "/etc/passwd", "..", ".", ".hidden", "a\\b", "a\nb", "", "x" * 65, "C:"]
UNSAFE = [*PATHS, "-rf", "a.", "a ", " a", "CON", "nul.txt", "fov", "a*b", "a,b", "a\u202eb", "a\ud800"]


@pytest.mark.parametrize("name", [*PATHS, "é"])
def test_a_path_in_a_name_is_refused(folder: Path, name: str) -> None:
    original = (folder / CARD).read_text()
    for change in ({"name": name}, {"plugin": name}, {"files": {name: "0" * 64}}):
        (folder / CARD).write_text(original)
        edit(folder, **change)
        assert refusal(folder) == f"config.json: {name!r} is no name"


@pytest.mark.parametrize("name", UNSAFE)
def test_a_channel_that_could_be_no_folder_is_refused(folder: Path, name: str) -> None:
    edit(folder, channels=["vessel", name])
    assert refusal(folder).startswith("config.json")


@pytest.mark.parametrize("name", ["optic disc", "Gefäß", "血管", "رگ\u200cها", "drusen (soft)", "a.b"])
def test_a_channel_may_have_any_letters_and_spaces(folder: Path, name: str) -> None:
    edit(folder, channels=["vessel", name])
    assert read_card(folder).channels == ("vessel", name)


def test_a_channel_that_is_named_twice_is_refused(folder: Path) -> None:
    edit(folder, channels=["Gefäß", "Gefa\u0308ß"])
    assert refusal(folder) == "config.json: channels: one is named twice"


def test_a_missing_or_changed_file_is_refused(folder: Path) -> None:
    path = folder / PRIORS
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StageFolderError, match=r"priors\.safetensors is damaged: its SHA-256"):
        load_stage(folder, registry=REGISTRY)
    path.unlink()
    with pytest.raises(StageFolderError, match=r"priors\.safetensors is missing"):
        load_stage(folder, registry=REGISTRY)


def test_a_stage_of_another_role_is_refused(folder: Path) -> None:
    with pytest.raises(WrongRoleError, match="label-generator, not an image-translator"):
        load_stage(folder, role="image-translator", registry=REGISTRY)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"fingerprints": 3}'])
def test_a_damaged_list_of_what_was_seen_is_refused(folder: Path, content: str) -> None:
    (folder / SEEN).write_text(content)
    with pytest.raises(StageFolderError, match=r"seen\.json cannot be read"):
        read_seen(folder)


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / MODEL)
    change(tensors)
    save_file(tensors, folder / MODEL)
    resign(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    change_weights(folder, lambda tensors: tensors["generator.0.bias"].__setitem__(3, value))
    with pytest.raises(StageFolderError, match=r"generator\.0\.bias holds values that are not finite"):
        load_stage(folder, registry=REGISTRY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("other.bias"), r"other\.bias is missing"),
        (lambda t: t.update(more=torch.zeros(1)), "more is not asked for"),
        (
            lambda t: t.update({"other.bias": torch.zeros(2)}),
            r"other\.bias has shape \(2,\) instead of \(1,\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    folder: Path, change: Callable[[dict[str, torch.Tensor]], object], said: str
) -> None:
    change_weights(folder, change)
    with pytest.raises(StageFolderError, match=said):
        load_stage(folder, registry=REGISTRY)


def test_a_model_that_is_no_safetensors_is_refused(folder: Path) -> None:
    (folder / MODEL).write_bytes(b"\x80\x04 a pickle")
    resign(folder)
    with pytest.raises(StageFolderError, match=r"model\.safetensors cannot be read"):
        load_stage(folder, registry=REGISTRY)


def test_adopting_from_the_same_stage_takes_everything(folder: Path) -> None:
    other = new_stage(seed=9)
    assert not torch.equal(weights(other)["other.weight"], weights(new_stage())["other.weight"])
    assert adopt_weights(other, folder).told("there") == "all weights of there"
    assert all(torch.equal(value, weights(new_stage())[key]) for key, value in weights(other).items())


def test_adopting_takes_what_fits_and_names_what_stays_fresh(folder: Path) -> None:
    wider = new_stage(("vessel", "optic_disc"), seed=9)
    before = weights(wider)
    assert adopt_weights(wider, folder).fresh == ("generator.2", "other.weight")  # what counts channels
    fresh = {"generator.2.bias", "generator.2.weight", "other.weight"}
    after, source = weights(wider), weights(new_stage())
    for key, value in after.items():
        assert torch.equal(value, before[key] if key in fresh else source[key]), key
    assert not torch.equal(before["generator.0.weight"], after["generator.0.weight"])


def test_adopting_from_another_stage_is_refused(folder: Path) -> None:
    edit(folder, name="pgan")
    with pytest.raises(
        PluginError, match="holds label-generator:pgan, not label-generator:toy; choose another"
    ):
        adopt_weights(new_stage(), folder)


def test_adopting_where_nothing_fits_is_refused(folder: Path) -> None:
    stage = new_stage()
    stage.generator = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 5), torch.nn.BatchNorm2d(3))
    stage.other = torch.nn.Conv2d(2, 2, 2)
    with pytest.raises(StageFolderError, match="no weight of it fits this toy"):
        adopt_weights(stage, folder)


def test_adopting_a_damaged_file_is_refused_and_changes_nothing(folder: Path) -> None:
    stage = new_stage(seed=9)
    before = weights(stage)
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-1])
    with pytest.raises(StageFolderError, match=r"model\.safetensors is damaged"):
        adopt_weights(stage, folder)
    assert all(torch.equal(value, before[key]) for key, value in weights(stage).items())


def test_adopting_weights_that_are_not_finite_is_refused(folder: Path) -> None:
    change_weights(folder, lambda tensors: tensors["generator.0.bias"].fill_(float("nan")))
    with pytest.raises(StageFolderError, match="not finite"):
        adopt_weights(new_stage(), folder)


def test_a_stage_that_is_saved_again_replaces_the_old_one(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    save_stage(new_stage(seed=9), folder, plugin=ROW, seen=[], provenance={})
    assert {path.name for path in folder.iterdir()} == names == {CARD, MODEL, PRIORS, SEEN}
    stage: Any = load_stage(folder, registry=REGISTRY, device="cpu")
    assert torch.equal(stage.other.weight, new_stage(seed=9).other.weight)


HOLDER = """
import sys
from pathlib import Path
from retina_core.formats.lock import sole_use
with sole_use(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds a folder's lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_folder_in_which_another_process_works_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    with holder(run) as process:
        with pytest.raises(RunFolderError, match="another process is working in it") as caught, sole_use(run):
            pytest.fail("two processes in one folder")
        assert "--out" in str(caught.value)
        with sole_use(tmp_path / "runs" / "two"):  # a folder beside it is free
            assert process.poll() is None
        process.communicate("")
    with sole_use(run):
        assert (run / ".lock").exists()


def test_a_killed_process_leaves_its_folder_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
    with sole_use(tmp_path):
        pass


def test_a_second_thread_of_one_process_is_refused_too(tmp_path: Path) -> None:
    said: list[str] = []

    def work() -> None:
        try:
            with sole_use(tmp_path):
                said.append("worked")
        except RunFolderError as error:
            said.append(error.reason)

    with sole_use(tmp_path):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert said == ["another process is working in it"]


def test_work_that_fails_frees_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sole_use(tmp_path):
        _ = 1 / 0
    with sole_use(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StorageError, match="choose another --out"), sole_use(path):
            pytest.fail("there is no folder to work in")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("a bug")])
def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "scores.json"
    write_text(path, "old")
    expected, said = (StorageError, "No space") if isinstance(error, OSError) else (ValueError, "a bug")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("ne")
            raise error

    with pytest.raises(expected, match=said):
        write()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["scores.json"]


def test_a_write_that_is_never_made_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_text(path, "old")
    with pytest.raises(StorageError), replacing(path):
        pass  # nothing was written beside it
    assert path.read_text() == "old"


@pytest.mark.parametrize("value", [{"loss": float("nan")}, {"loss": float("inf")}, {"stage": object()}])
def test_what_json_cannot_hold_leaves_the_old_file(tmp_path: Path, value: object) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"seed": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(path, value)
    assert json.loads(path.read_text()) == {"seed": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["run.json"]


def test_a_reader_meets_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "text"
    write_text(path, "old")
    with replacing(path) as temporary:
        assert temporary.parent == path.parent  # one file system, so that renaming is one step
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["text"]


def test_a_folder_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "0000000008"
    with replacing_folder(target) as temporary:
        (temporary / "state").write_text("old")

    def write() -> None:
        with replacing_folder(target) as temporary:
            (temporary / "state").write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert (target / "state").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["0000000008"]
    with replacing_folder(target) as temporary:
        (temporary / "other").write_text("new")
    assert [p.name for p in target.iterdir()] == ["other"]


def test_a_place_that_is_no_folder_is_one_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "file" / "scores.json", "new")
    assert (tmp_path / "file").read_text() == "here"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_leave_to_write_is_a_storage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            write_text(tmp_path / "scores.json", "new")
    finally:
        tmp_path.chmod(0o700)


def test_seen_photographs_can_be_written_alone(tmp_path: Path) -> None:
    write_seen(tmp_path, {"c" * 64, "a" * 64})
    assert read_seen(tmp_path) == {"a" * 64, "c" * 64}
