from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retina_core import (
    DataConfig,
    FitOptions,
    evaluate,
    fit,
    generate,
    load_stage,
    open_dataset,
    run_pipeline,
)
from retina_core.errors import (
    ChannelError,
    DatasetError,
    LeakError,
    RunFolderError,
    SampleSetError,
    StageFolderError,
)
from retina_core.formats.stage_card import read_seen
from retina_unet.config import UNetConfig

CPU = FitOptions(device="cpu")


def digests(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every visible file."""
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def pair_digests(folder: Path) -> dict[str, str]:
    return {name: value for name, value in digests(folder).items() if name.endswith(".png")}


def test_a_run_folder_holds_what_the_design_names(chain: Any) -> None:
    names = set(digests(chain.run))
    assert {"run.json", "data.json", "evaluation/unet/scores.json", "evaluation/unet/eyes.csv"} <= names
    for stage in ("labels", "translator"):
        files = ("config.json", "model.safetensors", "priors.safetensors", "seen.json", "log.jsonl")
        assert {f"{stage}/{name}" for name in files} <= names
        assert any(name.startswith(f"{stage}/previews/") for name in names)
    assert {"synthetic/metadata.jsonl", "synthetic/seen.json", "synthetic/README.md"} <= names
    assert {f"synthetic/{part}/000011.png" for part in ("images", "labels/cell", "fov")} <= names
    state = json.loads((chain.run / "run.json").read_text())
    assert {step["status"] for step in state["steps"].values()} == {"done"}


def test_the_test_part_never_reached_a_stage(chain: Any) -> None:
    parts = open_dataset(chain.data).split(seed=chain.request.seed)
    tested = set(parts.test.seen())
    assert tested
    for folder in ("labels", "translator", "synthetic"):
        seen = set(json.loads((chain.run / folder / "seen.json").read_text())["fingerprints"])
        assert seen == set(parts.train.seen())
        assert not seen & tested


def test_real_and_synth_are_both_scored_on_real_photographs(chain: Any) -> None:
    rows = json.loads((chain.run / "evaluation/unet/scores.json").read_text())["scores"]
    found = {(row["name"], row["regime"]): row for row in rows if row["reference"] is None}
    for regime in ("REAL", "SYNTH"):
        for name in (
            "dice",
            "precision",
            "recall",
            "sensitivity",
            "specificity",
            "accuracy",
            "auc_roc",
            "auc_pr",
        ):
            assert found[name, regime]["channel"] == "cell"
            assert 0 <= found[name, regime]["value"] <= 1
    assert any((row["reference"] or "").startswith("ceiling") for row in rows)


def test_a_segmenter_judges_pairs_with_settings_for_that_and_otherwise_as_was_asked(chain: Any) -> None:
    planned = json.loads((chain.run / "run.json").read_text())["configs"]["unet"]
    trained = json.loads((chain.run / "evaluation/unet/synth-seed0/config.json").read_text())["config"]
    for config in (planned, trained):
        assert config["learning_rate"] == UNetConfig.judging["quick"]["learning_rate"]
        assert config["learning_rate"] != UNetConfig.resolve("unet", "quick").learning_rate
        assert (
            config["patch_px"]
            == chain.request.settings["unet"]["patch_px"]
            != UNetConfig.judging["quick"]["patch_px"]
        )


def test_the_same_command_continues_and_redoes_nothing(chain: Any) -> None:
    before = {
        p: p.stat().st_mtime_ns for p in chain.run.rglob("*") if p.suffix in {".safetensors", ".png", ".csv"}
    }
    run_pipeline(chain.request, options=CPU)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_another_request_is_refused_in_the_same_folder(chain: Any) -> None:
    with pytest.raises(RunFolderError, match="another request"):
        run_pipeline(replace(chain.request, count=13), options=CPU)


def test_a_synthetic_set_is_a_data_set(chain: Any) -> None:
    pairs = open_dataset(chain.run / "synthetic")
    assert len(pairs.samples) == 12
    assert pairs.channels == ("cell",)
    labels = pairs.samples[0].label_array("cell")
    assert labels.shape == pairs.samples[0].photo_array().shape[:2] == (32, 32)


def test_no_two_pairs_are_alike(chain: Any) -> None:
    photos = [np.asarray(Image.open(p), int) for p in sorted((chain.run / "synthetic/images").iterdir())]
    nearest = min(float(abs(a - b).mean()) for i, a in enumerate(photos) for b in photos[:i])
    assert nearest > 0


def test_same_seed_same_pairs_whatever_the_shards(chain: Any, tmp_path: Path) -> None:
    stages = (chain.run / "labels", chain.run / "translator")
    whole = generate(*stages, count=12, out=tmp_path / "whole", seed=3, options=CPU)
    assert pair_digests(whole) == pair_digests(chain.run / "synthetic")
    parts: dict[str, str] = {}
    for i in range(3):
        part = generate(*stages, count=12, out=tmp_path / f"part{i}", seed=3, shard=(i, 3), options=CPU)
        assert not parts.keys() & pair_digests(part).keys()
        parts |= pair_digests(part)
    assert parts == pair_digests(whole)


def test_another_seed_gives_other_pairs(chain: Any, tmp_path: Path) -> None:
    other = generate(
        chain.run / "labels", chain.run / "translator", count=2, out=tmp_path / "o", seed=4, options=CPU
    )
    ours, theirs = pair_digests(chain.run / "synthetic"), pair_digests(other)
    assert all(theirs[f"images/00000{i}.png"] != ours[f"images/00000{i}.png"] for i in range(2))


def test_a_set_that_was_stopped_goes_on(chain: Any, tmp_path: Path) -> None:
    class Stop:
        def say(self, line: str) -> None:
            pass

        def progress(self, progress: Any) -> None:
            if progress.done == 5:
                raise KeyboardInterrupt

    stages = (chain.run / "labels", chain.run / "translator")
    with pytest.raises(KeyboardInterrupt):
        generate(*stages, count=12, out=tmp_path / "set", seed=3, options=replace(CPU, listener=Stop()))
    assert not (tmp_path / "set" / "metadata.jsonl").exists()
    assert len(list((tmp_path / "set" / "images").iterdir())) == 5
    generate(*stages, count=12, out=tmp_path / "set", seed=3, options=CPU)
    assert pair_digests(tmp_path / "set") == pair_digests(chain.run / "synthetic")
    assert len((tmp_path / "set" / "metadata.jsonl").read_text().splitlines()) == 12


def test_a_set_of_another_request_is_left_alone(chain: Any, tmp_path: Path) -> None:
    stages = (chain.run / "labels", chain.run / "translator")
    made = generate(*stages, count=2, out=tmp_path / "set", seed=3, options=CPU)
    before = digests(made)
    with pytest.raises(SampleSetError, match="--out"):
        generate(*stages, count=3, out=made, seed=3, options=CPU)
    assert digests(made) == before


def test_every_row_names_its_files_and_its_stages(chain: Any) -> None:
    rows = [json.loads(line) for line in (chain.run / "synthetic/metadata.jsonl").read_text().splitlines()]
    assert [row["index"] for row in rows] == list(range(12))
    for row in rows:
        for column in ("file_name", "cell_file_name", "fov_file_name"):
            assert (chain.run / "synthetic" / row[column]).is_file()
        assert row["seed"] == 3
        assert row["attempt"] == 0
        assert row["labels_stage"]["name"] == "dcgan"
        assert len(row["translator_stage"]["weights"]) == 64


def test_an_evaluation_on_seen_photographs_is_refused(chain: Any, tmp_path: Path) -> None:
    parts = open_dataset(chain.data).split(seed=chain.request.seed)
    leaking = replace(parts, test=parts.train)
    with pytest.raises(LeakError, match="were seen in training"):
        evaluate("unet", chain.run / "synthetic", leaking, tmp_path / "e", preset="quick", options=CPU)
    assert not (tmp_path / "e" / "real-seed0").exists()


def test_a_folder_of_another_role_is_refused(chain: Any, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="image-translator, not a label-generator"):
        generate(chain.run / "translator", chain.run / "translator", count=1, out=tmp_path / "s", options=CPU)


def test_channels_that_do_not_fit_are_refused(chain: Any, tmp_path: Path) -> None:
    other = tmp_path / "labels"
    shutil.copytree(chain.run / "labels", other)
    card = json.loads((other / "config.json").read_text())
    card["channels"] = ["nucleus"]
    card["thresholds"] = {"nucleus": 0.5}
    (other / "config.json").write_text(json.dumps(card))
    with pytest.raises(ChannelError, match=r"needs the channel.* cell"):
        generate(other, chain.run / "translator", count=1, out=tmp_path / "s", options=CPU)


@pytest.mark.parametrize("name", ["model.safetensors", "priors.safetensors"])
def test_a_flipped_byte_is_refused_before_any_work(name: str, chain: Any, tmp_path: Path) -> None:
    other = tmp_path / "labels"
    shutil.copytree(chain.run / "labels", other)
    content = bytearray((other / name).read_bytes())
    content[len(content) // 2] ^= 0xFF
    (other / name).write_bytes(content)
    with pytest.raises(StageFolderError, match=f"{name} is damaged"):
        generate(other, chain.run / "translator", count=1, out=tmp_path / "s", options=CPU)
    assert not (tmp_path / "s").exists()


def test_a_stage_loads_from_its_folder_alone(chain: Any, tmp_path: Path) -> None:
    shutil.copytree(
        chain.run / "translator", tmp_path / "elsewhere", ignore=shutil.ignore_patterns("checkpoints")
    )
    stage = load_stage(tmp_path / "elsewhere", device="cpu")
    assert (stage.name, stage.channels, stage.resolution) == ("pix2pix", ("cell",), 32)


def test_a_generator_that_draws_nothing_is_said(chain: Any, tmp_path: Path) -> None:
    class Told:
        lines: list[str] = []

        def say(self, line: str) -> None:
            self.lines.append(line)

        def progress(self, progress: Any) -> None:
            pass

    blank = tmp_path / "labels"
    shutil.copytree(chain.run / "labels", blank)
    card = json.loads((blank / "config.json").read_text())
    card["thresholds"] = {"cell": 1.0}
    (blank / "config.json").write_text(json.dumps(card))
    told = Told()
    generate(
        blank, chain.run / "translator", count=2, out=tmp_path / "s", options=replace(CPU, listener=told)
    )
    assert any("marked no pixel of cell" in line for line in told.lines)


def test_pairs_in_which_nothing_was_drawn_are_blamed_on_the_generator(chain: Any, tmp_path: Path) -> None:
    pairs = tmp_path / "synthetic"
    shutil.copytree(chain.run / "synthetic", pairs)
    for path in (pairs / "labels" / "cell").iterdir():
        Image.new("L", (32, 32)).save(path)
    with pytest.raises(DatasetError, match=r"cell: nothing is marked .*; train the label generator longer"):
        open_dataset(pairs)


def test_the_fast_mode_paints_nearly_what_float32_paints(chain: Any, tmp_path: Path) -> None:
    """DESIGN: the same label pixels, and photographs that differ by less than 1/255 in the mean."""
    made = {}
    for precision in ("fp32", "bf16"):
        options = FitOptions(device="cpu", precision=precision)
        generate(
            chain.run / "labels", chain.run / "translator", count=8, out=tmp_path / precision, options=options
        )
        made[precision] = open_dataset(tmp_path / precision).samples
    for exact, fast in zip(made["fp32"], made["bf16"], strict=True):
        assert (exact.label_array("cell") == fast.label_array("cell")).all()
        difference = np.abs(exact.photo_array().astype(float) - fast.photo_array().astype(float))
        assert difference.mean() < 1
    assert any(
        exact.fingerprint != fast.fingerprint for exact, fast in zip(made["fp32"], made["bf16"], strict=True)
    )


def test_what_a_training_began_with_stays_seen(chain: Any, draw_cells: Any, tmp_path: Path) -> None:
    others = open_dataset(draw_cells(tmp_path / "others", count=4, side=40))
    settings = {**chain.request.settings["labels"], "seen_images": 8}
    fit(
        "label-generator:dcgan",
        others,
        tmp_path / "again",
        preset="quick",
        settings=settings,
        init=chain.run / "labels",
        options=CPU,
    )
    assert read_seen(tmp_path / "again") == read_seen(chain.run / "labels") | set(others.seen())
    assert len(others.seen()) == 4
    assert read_seen(chain.run / "labels").isdisjoint(others.seen())


def test_real_alone_on_phantoms_works_at_their_size_and_not_four_times_as_large(tmp_path: Path) -> None:
    eyes = open_dataset("phantom", config=DataConfig(phantom_count=6, phantom_px=48, channels=("vessel",)))
    tiny = {"width": 4, "depth": 2, "seen_images": 4}
    evaluate(
        "unet",
        None,
        eyes.split(),
        tmp_path,
        preset="quick",
        settings=tiny,
        regimes=("REAL",),
        seeds=1,
        options=CPU,
    )
    card = json.loads((tmp_path / "real-seed0/config.json").read_text())
    assert card["resolution"] == 48
    assert card["config"]["learning_rate"] == UNetConfig.resolve("unet", "quick").learning_rate
