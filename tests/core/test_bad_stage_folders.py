"""Stage folders, checkpoints, caches and synthetic sets that lie: one error each, at no cost, and nothing runs."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from retina_core.data.inspect import inspect_dataset
from retina_core.data.opening import open_dataset
from retina_core.data.prepare import prepare
from retina_core.errors import RetinaError, SampleSetError, StageFolderError
from retina_core.formats.sample_set import read_rows
from retina_core.formats.stage_card import CARD, MODEL, PRIORS, SEEN, read_card, read_seen, sha256_of
from retina_core.formats.stage_folder import load_stage, save_stage
from retina_core.formats.strict_json import load_json, parse_json
from retina_core.formats.tree import load_tree, save_tree
from retina_core.generation import generate
from retina_core.registry import Registry, Row
from retina_core.specs import StageSpec
from retina_core.stages import Priors
from retina_core.training.checkpoint import Checkpoints
from retina_core.training.context import Learner
from retina_core.training.options import FitOptions
from retina_core.training.processes import Processes

_spec = importlib.util.spec_from_file_location("toy_stage", Path(__file__).with_name("toy_stage.py"))
assert _spec
assert _spec.loader
toy = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(toy)

ROW = Row("label-generator", "toy", "toy", "retina-toy", "0.1", "", "", "ok", "")


class ToyRegistry:
    """A registry with the toy alone."""

    def stage(self, name: str, role: str | None = None) -> StageSpec:
        return StageSpec(name, "label-generator", "toy:ToyLabels", "toy:ToyConfig", "")

    def stage_class(self, spec: StageSpec) -> type:
        return toy.ToyLabels  # type: ignore[no-any-return]

    def config_class(self, spec: StageSpec) -> Any:
        return toy.ToyConfig


REGISTRY: Registry = ToyRegistry()  # type: ignore[assignment]


def new_stage() -> Any:
    stage = toy.ToyLabels(toy.ToyConfig.resolve("toy", "quick", {}), ("vessel",))
    stage.priors = Priors(fovs=torch.full((2, 1, 16, 16), 255, dtype=torch.uint8), grade_shares={0: 1.0})
    return stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "labels"
    save_stage(new_stage(), path, plugin=ROW, seen=["a" * 64], provenance={})
    return path


def edit(folder: Path, **changes: Any) -> None:
    path = folder / CARD
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def resign(folder: Path) -> None:
    """Give changed files their right hashes, so that what is in them is looked at."""
    edit(folder, files={name: sha256_of(folder / name) for name in (MODEL, PRIORS)})


def refusal(folder: Path) -> str:
    """The one line with which a folder is refused, fast and without taking memory."""
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(StageFolderError) as caught:
        load_stage(folder, registry=REGISTRY, device="cpu")
    assert time.process_time() - begin < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # kilobytes
    said = str(caught.value)
    assert str(folder) in said
    assert "\n" not in said
    assert "train the stage again or restore the folder" in said
    return caught.value.reason


LENGTHS = [0, 1, 7, 2**20, 2**31, 2**32, 2**63, 2**64 - 1]
ENTRIES: dict[str, dict[str, object]] = {
    "10^12 elements": {"shape": [10**12]},
    "10^12 elements and bytes": {"shape": [10**12], "data_offsets": [0, 4 * 10**12]},
    "a product that overflows": {"shape": [2**32, 2**32]},
    "no elements of 10^12": {"shape": [0, 10**12], "data_offsets": [0, 0]},
    "a negative side": {"shape": [-1]},
    "a side that is text": {"shape": ["8"]},
    "bytes from nowhere": {"data_offsets": [2**40, 2**40 + 32]},
    "bytes backwards": {"data_offsets": [32, 0]},
    "another kind": {"dtype": "F64"},
    "an unknown kind": {"dtype": "OBJECT"},
}


def lie(path: Path, *, length: int | None = None, entry: dict[str, object] | None = None) -> None:
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    if length is not None:
        path.write_bytes(struct.pack("<Q", length) + content[8:])
        return
    header = json.loads(content[8 : 8 + size])
    header[next(key for key in header if key != "__metadata__")].update(entry)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])


@pytest.mark.parametrize("name", [MODEL, PRIORS])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_header_that_lies_about_its_length_is_refused(folder: Path, name: str, length: int) -> None:
    lie(folder / name, length=length)
    assert refusal(folder).startswith(f"{name} is damaged: its SHA-256")
    resign(folder)
    assert refusal(folder).startswith(f"{name} cannot be read")


@pytest.mark.parametrize("name", [MODEL, PRIORS])
@pytest.mark.parametrize("case", ENTRIES)
def test_a_header_that_claims_what_is_not_there_is_refused(folder: Path, name: str, case: str) -> None:
    lie(folder / name, entry=ENTRIES[case])
    resign(folder)
    assert refusal(folder).startswith(name)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_checkpoint_that_lies_is_refused(tmp_path: Path, length: int) -> None:
    learner = Learner.of(new_stage(), Processes())
    path = Checkpoints(tmp_path, "request").save(learner, 8) / "state.safetensors"
    lie(path, length=length)
    with pytest.raises(StageFolderError, match=r"state\.safetensors is damaged"):
        Checkpoints(tmp_path, "request").resume(learner)


@pytest.mark.parametrize("case", ENTRIES)
def test_a_checkpoint_that_claims_what_is_not_there_is_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "state.safetensors"
    save_tree({"net": {"weight": torch.ones(4, 2)}}, path)
    lie(path, entry=ENTRIES[case])
    with pytest.raises(ValueError, match=r"state\.safetensors is damaged"):
        load_tree(path)


def test_a_bit_that_flipped_in_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    save_tree(
        {"net": {"weight": torch.ones(4, 2), "flag": torch.tensor([True]), "low": torch.ones(3).bfloat16()}},
        path,
    )
    assert load_tree(path)["net"]["low"].dtype == torch.bfloat16
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="SHA-256"):
        load_tree(path)


@pytest.mark.parametrize("spoil", ["length", "header", "fingerprint", "cut", "folder"])
def test_a_damaged_cache_is_made_anew(folders: Any, readers: Any, spoil: str) -> None:
    dataset = open_dataset(folders.plain(), registry=readers)
    cache = folders.root / "cache"
    before = prepare(dataset, ("cell",), 16, cache)
    photos = np.array(before.photos)
    [path] = cache.rglob("*.safetensors")
    content = path.read_bytes()
    if spoil == "length":
        lie(path, length=2**40)
    elif spoil == "header":
        lie(path, entry={"shape": [10**12]})
    elif spoil == "fingerprint":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif spoil == "cut":
        path.write_bytes(content[:-100])
    else:
        path.unlink()
        path.symlink_to(path.name)
    after = prepare(dataset, ("cell",), 16, cache)
    assert after.fingerprints == tuple(sample.fingerprint for sample in dataset)
    np.testing.assert_array_equal(after.photos, photos)


def test_a_config_that_asks_for_a_huge_network_takes_no_memory(folder: Path) -> None:
    """The largest that dcgan's bounds allow would take 1.5 GB."""
    registry = Registry.discover()
    spec = registry.stage("label-generator:dcgan")
    config = registry.config_class(spec)
    small = {"resolution": 32, "latent": 4, "width": 4, "max_width": 8, "discriminator_width": 4}
    stage = registry.stage_class(spec)(config.resolve("dcgan", "quick", small), ("vessel",))
    save_stage(stage, folder, plugin=registry.plugin_of(spec), seen=[], provenance={})
    large = {
        **json.loads((folder / CARD).read_text())["config"],
        "resolution": 512,
        "width": 512,
        "max_width": 2048,
    }
    edit(folder, config=large)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StageFolderError, match=r"model\.safetensors does not fit its config"):
        load_stage(folder, registry=registry, device="cpu")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # kilobytes


def tiny_stage(reference: str, folder: Path, registry: Registry, channels: tuple[str, ...]) -> Path:
    """An untrained stage of a plugin, saved."""
    spec = registry.stage(reference)
    small = {"resolution": 32, "width": 4, "max_width": 8, "discriminator_width": 4}
    config = registry.config_class(spec).resolve(spec.name, "quick", small)
    stage = registry.stage_class(spec)(config, channels)
    save_stage(stage, folder, plugin=registry.plugin_of(spec), seen=["a" * 64], provenance={"data": ["Ü 網"]})
    return folder


def test_channels_of_any_letters_go_through_stages_pairs_and_reader(tmp_path: Path) -> None:
    registry = Registry.discover()
    channels = ("Gefäß 網膜", "optic disc (no. 1)")
    labels = tiny_stage("label-generator:dcgan", tmp_path / "Maler 1 ü", registry, channels)
    translator = tiny_stage("image-translator:pix2pix", tmp_path / "Übersetzer", registry, channels)
    options = FitOptions(device="cpu")
    out = generate(labels, translator, count=2, out=tmp_path / "Paare ñ", options=options, registry=registry)
    assert {path.name for path in (out / "labels").iterdir()} == set(channels)
    [row, _] = read_rows(out)
    assert row[f"{channels[0]}_file_name"] == f"labels/{channels[0]}/000000.png"
    found = inspect_dataset(out, registry=registry)
    assert {channel.name for channel in found.channels} == set(channels)
    assert not any("name" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"resolution": -1}, "config.json: config: toy: resolution=-1"),
        ({"resolution": "../x"}, "config.json: config: toy: resolution='../x'"),
        ({"couleur": 1}, "config.json: config: toy has no setting 'couleur'"),
        ({"learning_rate": 1e400}, "config.json"),
    ],
)
def test_a_config_that_cannot_be_names_file_and_value(
    folder: Path, config: dict[str, object], said: str
) -> None:
    edit(folder, config=config)
    assert refusal(folder).startswith(said)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"thresholds": {"vessel": -1}}, "thresholds.vessel"),
        ({"shares": {"vessel": 2}}, "shares.vessel"),
        ({"speck_shares": {"vessel": 1e308}}, "speck_shares.vessel"),
        ({"channels": [f"c{n}" for n in range(65)]}, "channels"),
        ({"api_version": "9" * 5000}, "api_version"),
        ({"api_version": "2.0"}, "a later retina wrote it (API 2.0"),
        ({"schema": 10**400}, "a later retina wrote it (schema 1000"),
        ({"schema": 2, "config": 7}, "a later retina wrote it (schema 2)"),
    ],
)
def test_a_value_that_nothing_can_be_made_of_is_refused_by_its_name(
    folder: Path, changes: dict[str, object], said: str
) -> None:
    edit(folder, **changes)
    assert said in refusal(folder)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 200_000,
        '{"schema": 1, "schema": 1}',
        '{"schema": NaN}',
        '{"schema": ' + "1" * 10_000 + "}",
        '{"name": "\\ud800"}',
        '{"version": "\\u001b]0;owned\\u0007"}',
        '{"x": "' + "y" * (5 * 2**20) + '"}',
    ],
)
def test_a_card_that_readers_would_disagree_on_is_refused(folder: Path, text: str) -> None:
    (folder / CARD).write_text(text)
    assert refusal(folder).startswith("config.json cannot be read (it") or "Exceeds the limit" in refusal(
        folder
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_refused_in_any_precision(
    folder: Path, value: float, kind: Any
) -> None:
    tensors = {
        key: t.to(kind) if t.is_floating_point() else t for key, t in load_file(folder / MODEL).items()
    }
    tensors["generator.0.bias"][0] = value
    save_file(tensors, folder / MODEL)
    resign(folder)
    assert (
        refusal(folder)
        == "model.safetensors does not fit its config: generator.0.bias holds values that are not finite"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update({"other.bias": torch.full((1,), 1e300, dtype=torch.float64)}), "not finite"),
        (lambda t: t.update({"other.bias": torch.zeros(1, dtype=torch.int64)}), "holds torch.int64"),
        (lambda t: t.update({"other.bias": torch.zeros(1, dtype=torch.complex64)}), "holds torch.complex64"),
    ],
)
def test_numbers_of_another_kind_are_refused(folder: Path, change: Callable[[Any], None], said: str) -> None:
    tensors = load_file(folder / MODEL)
    change(tensors)
    save_file(tensors, folder / MODEL)
    resign(folder)
    assert said in refusal(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"fovs": torch.ones(2, 1, 16, 16)},
        {"fovs": torch.ones(2, 3, 16, 16, dtype=torch.uint8)},
        {"fovs": torch.ones(2, 1, 0, 16, dtype=torch.uint8)},
        {"grade_shares": torch.tensor([[0.0, float("nan")]])},
        {"grade_shares": torch.tensor([[float("inf"), 0.5]])},
        {"grade_shares": torch.tensor([[7.0, 0.5]])},
        {"grade_shares": torch.tensor([0.0, 0.5, 1.0])},
    ],
)
def test_priors_that_nothing_can_be_drawn_with_are_refused(
    folder: Path, change: dict[str, torch.Tensor]
) -> None:
    save_file({**load_file(folder / PRIORS), **change}, folder / PRIORS)
    resign(folder)
    assert refusal(folder).startswith("priors.safetensors holds no")


def test_priors_without_a_field_of_view_mean_the_full_frame(folder: Path) -> None:
    save_file({"fovs": torch.zeros(0, 1, 1, 1, dtype=torch.uint8)}, folder / PRIORS)
    resign(folder)
    assert load_stage(folder, registry=REGISTRY, device="cpu").priors.fovs.tolist() == [[[[255]]]]


@pytest.mark.parametrize("name", [CARD, MODEL, PRIORS])
@pytest.mark.parametrize("what", ["pipe", "device", "loop", "folder", "gone"])
def test_what_is_no_file_is_refused_and_never_waited_for(folder: Path, name: str, what: str) -> None:
    path = folder / name
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what != "gone":
        path.symlink_to("/dev/zero" if what == "device" else name)
    assert name in refusal(folder)


PAYLOAD = b"cretina_planted\nrun\n(S'x'\ntR."
PLANTED: dict[str, object] = {
    "target": "retina_planted:run",
    "_target_": "retina_planted.run",
    "__reduce__": ["retina_planted.run", []],
    "py/object": "retina_planted.run",
    "!!python/object/apply": "retina_planted.run",
    "auto_map": {"AutoModel": "retina_planted.run"},
}


@pytest.mark.parametrize("place", ["card", "config", "provenance", "model", "priors", "seen", "role"])
def test_loading_runs_nothing_that_it_loads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    (tmp_path / "retina_planted.py").write_text("ran = True\ndef run(*_): raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    content = json.loads((folder / CARD).read_text())
    if place == "card":
        edit(folder, **PLANTED)  # what it does not know, a card passes over
        load_stage(folder, registry=REGISTRY, device="cpu")
    elif place == "config":
        edit(folder, config={**content["config"], **PLANTED})
        refusal(folder)
    elif place == "provenance":
        edit(folder, provenance=PLANTED)
        load_stage(folder, registry=REGISTRY, device="cpu")
    elif place == "role":
        edit(folder, role="retina_planted:run")
        refusal(folder)
    elif place == "seen":
        (folder / SEEN).write_bytes(PAYLOAD)
        with pytest.raises(StageFolderError):
            read_seen(folder)
    else:
        (folder / f"{place}.safetensors").write_bytes(PAYLOAD)
        resign(folder)
        refusal(folder)
    assert "retina_planted" not in sys.modules


@pytest.mark.parametrize(
    "content", ['{"fingerprints": [1]}', '{"fingerprints": ["../x"]}', '{"fingerprints": "ab"}', "[]"]
)
def test_hashes_that_are_none_are_refused(folder: Path, content: str) -> None:
    (folder / SEEN).write_text(content)
    with pytest.raises(StageFolderError, match=r"seen\.json cannot be read"):
        read_seen(folder)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "{}",
        '{"index": true}',
        '{"index": -1}',
        '{"index": 1e3}',
        "[" * 100_000,
        "\udcff",
        '{"index":1,"index":2}',
    ],
)
def test_a_damaged_row_of_a_synthetic_set_is_refused_by_its_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "metadata.jsonl").write_text(f'{{"index": 0}}\n{line}\n', errors="surrogateescape")
    with pytest.raises(SampleSetError, match=r"metadata\.jsonl line 2 is damaged"):
        read_rows(tmp_path)


def test_json_that_may_come_from_anywhere(tmp_path: Path) -> None:
    assert parse_json('{"a": [1, 2.5, "\\u00e9\\n", null]}') == {"a": [1, 2.5, "é\n", None]}
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert load_json(tmp_path / "a.json") == {"a": 1}
    with pytest.raises(ValueError, match="larger than"):
        load_json(tmp_path / "a.json", most_bytes=4)
    for text in (
        '{"a": 1, "a": 2}',
        "NaN",
        "-Infinity",
        "[" * 100_000,
        '"\\ud800"',
        '"\\u0007"',
        "",
        "{} {}",
    ):
        with pytest.raises(ValueError, match=r"."):
            parse_json(text)


def test_errors_never_steer_the_terminal(folder: Path) -> None:
    edit(folder, api_version="1\x1b[2J\u202e")
    with pytest.raises(RetinaError) as caught:
        read_card(folder)
    assert "\x1b" not in str(caught.value)
