"""VGG-19: its plan, and the file of its weights, which is found, checked, and only then read."""

from __future__ import annotations

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from retina_core.errors import PathError
from retina_core.perceptual import weights
from retina_core.perceptual.vgg19 import VGG19, WIDTHS, VGG19Features
from retina_core.perceptual.weights import FILE, SHA256, URL, WeightsFile, find_weights, read_vgg19

NARROW = (4, 5, 6, 7, 8)
PLAN = [0, 0, "M", 1, 1, "M", 2, 2, 2, 2, "M", 3, 3, 3, 3, "M", 4, 4, 4, 4, "M"]
"""Column E of the paper's table 1: which width each convolution has, and where the halvings are."""


def table(widths: tuple[int, ...] = NARROW, *, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under torchvision's names, its classifier included."""
    rng = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}
    channels, index = 3, 0
    for step in PLAN:
        if isinstance(step, str):
            index += 1
            continue
        width = widths[step]
        state[f"features.{index}.weight"] = torch.randn(width, channels, 3, 3, generator=rng) / 3
        state[f"features.{index}.bias"] = torch.randn(width, generator=rng) / 10
        channels, index = width, index + 2
    return {**state, "classifier.0.weight": torch.zeros(2, 3), "classifier.6.bias": torch.zeros(2)}


def maps_by_hand(state: dict[str, Tensor], photos: Tensor) -> list[Tensor]:
    """relu1_1 to relu5_1, written down from the paper's table."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (photos - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
    found, index, fresh = [], 0, True
    for step in PLAN:
        if isinstance(step, str):
            x, index, fresh = F.max_pool2d(x, 2), index + 1, True
            continue
        x = F.conv2d(x, state[f"features.{index}.weight"], state[f"features.{index}.bias"], padding=1).relu()
        found += [x] if fresh else []
        index, fresh = index + 2, False
    return found


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def photos(side: int = 32) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a narrow file that passes for torchvision's, whose hash is taken for the known one."""

    def write(state: Any = None, *, legacy: bool = False, known: bool = True) -> Path:
        path = tmp_path / "hub" / "checkpoints" / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(table() if state is None else state, path, _use_new_zipfile_serialization=not legacy)
        if known:
            monkeypatch.setattr(weights, "SHA256", digest(path))
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        return path

    return write


def find(path: Path | str = "", *, download: bool = False) -> WeightsFile:
    return find_weights(str(path), download=download, say=lambda line: None)


class TestNetwork:
    def test_weights_have_torchvisions_names_and_shapes(self) -> None:
        with torch.device("meta"):
            state = VGG19().state_dict()
        shapes = {key: tuple(value.shape) for key, value in state.items()}
        convolutions = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128)}
        convolutions |= dict.fromkeys((12, 14, 16), (256, 256))
        convolutions |= {19: (512, 256), **dict.fromkeys((21, 23, 25, 28), (512, 512))}
        assert shapes == {
            f"features.{index}.{name}": shape
            for index, (width, channels) in convolutions.items()
            for name, shape in (("weight", (width, channels, 3, 3)), ("bias", (width,)))
        }

    def test_maps_are_those_of_the_papers_table(self, tmp_path: Path) -> None:
        path = tmp_path / "own.safetensors"
        save_file(table(), path)
        # In double precision: the order of a convolution's sums, which threads decide, shows in the last bits of a float.
        network = read_vgg19(find(path)).double()
        expected = maps_by_hand({key: value.double() for key, value in table().items()}, photos().double())
        assert [tuple(level.shape) for level in expected] == [
            (2, width, 32 >> i, 32 >> i) for i, width in enumerate(NARROW)
        ]
        for level, by_hand in zip(network(photos().double()), expected, strict=True):
            torch.testing.assert_close(level, by_hand)

    def test_the_network_is_frozen(self, tmp_path: Path) -> None:
        save_file(table(), tmp_path / "own.safetensors")
        network = read_vgg19(find(tmp_path / "own.safetensors"))
        VGG19Features(network, {})
        assert not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())


class TestReading:
    @pytest.mark.parametrize("legacy", [True, False])
    def test_torchvisions_file_is_read_in_both_of_torchs_formats(
        self, legacy: bool, torchvision: Callable[..., Path]
    ) -> None:
        path = torchvision(legacy=legacy)
        network = read_vgg19(find())
        assert find() == WeightsFile(path, digest(path))
        state = network.state_dict()
        assert all(torch.equal(value, table()[key]) for key, value in state.items())
        assert len(state) == 26

    def test_own_weights_in_half_precision_become_float32(self, tmp_path: Path) -> None:
        save_file({key: value.half() for key, value in table().items()}, tmp_path / "own.safetensors")
        network = read_vgg19(find(tmp_path / "own.safetensors"))
        assert {value.dtype for value in network.state_dict().values()} == {torch.float32}

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"features.7.bias": None}, r"features\.7\.bias is missing"),
            ({"features.10.weight": None}, r"features\.10\.weight is missing or too wide"),
            (
                {"features.28.weight": torch.zeros(513, 7, 3, 3)},
                r"features\.28\.weight is missing or too wide",
            ),
            ({"features.5.weight": torch.zeros(5, 4, 1, 1)}, r"features\.5\.weight has shape \(5, 4, 1, 1\)"),
            ({"features.21.bias": torch.full((7,), torch.nan)}, r"features\.21\.bias holds values"),
            ({"features.21.bias": torch.zeros(7, dtype=torch.int64)}, r"features\.21\.bias holds values"),
        ],
    )
    def test_weights_that_do_not_fit_are_refused(
        self, change: dict[str, Tensor | None], reason: str, tmp_path: Path
    ) -> None:
        state = {key: value for key, value in {**table(), **change}.items() if value is not None}
        save_file(state, tmp_path / "own.safetensors")
        with pytest.raises(PathError, match=reason) as caught:
            read_vgg19(find(tmp_path / "own.safetensors"))
        assert caught.value.exit_status == 2

    def test_own_weights_that_were_cut_off_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "own.safetensors"
        save_file(table(), path)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(PathError, match="holds no weights of VGG-19: cannot be read"):
            read_vgg19(find(path))

    @pytest.mark.parametrize("legacy", [True, False])
    @pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
    def test_a_file_that_was_cut_off_is_refused_even_where_its_hash_is_known(
        self, share: float, legacy: bool, torchvision: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = torchvision(legacy=legacy)
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        monkeypatch.setattr(weights, "SHA256", digest(path))
        with pytest.raises(PathError, match="cannot be read"):
            read_vgg19(find())

    @pytest.mark.parametrize("state", [[1, 2], 7, {"features": {"0": torch.zeros(3)}}, {}])
    def test_a_pickle_of_something_else_is_refused(
        self, state: Any, torchvision: Callable[..., Path]
    ) -> None:
        torchvision(state)
        with pytest.raises(PathError, match="holds no weights of VGG-19"):
            read_vgg19(find())


class Malice:
    """Whoever unpickles it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


class TestFinding:
    def test_the_known_hash_is_the_one_in_the_files_name(self) -> None:
        assert SHA256.startswith("dcbb9e9d")
        assert f"vgg19-{SHA256[:8]}.pth" == FILE
        assert len(SHA256) == 64
        assert len(WIDTHS) == len(NARROW)

    def test_code_in_a_pickle_is_never_run(
        self, tmp_path: Path, torchvision: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = torchvision(known=False)
        for content in (pickle.dumps(Malice(tmp_path / "made"), 2), None):
            if content is None:
                torch.save({"features.0.weight": Malice(tmp_path / "made")}, path)
            else:
                path.write_bytes(content)
            with pytest.raises(PathError, match="is not torchvision's"):
                find()  # refused by its hash, unopened
            with monkeypatch.context() as patched:
                patched.setattr(weights, "SHA256", digest(path))
                with pytest.raises(PathError, match="cannot be read"):
                    read_vgg19(find())  # and even if the hash were right, nothing is run
        assert not (tmp_path / "made").exists()

    @pytest.mark.parametrize("name", [FILE, "vgg.pth", "vgg.pt", "vgg"])
    def test_another_file_is_refused_by_its_hash_whatever_its_name(self, name: str, tmp_path: Path) -> None:
        torch.save(table(), tmp_path / name)
        with pytest.raises(PathError, match=r"is not torchvision's .* as \.safetensors"):
            find(tmp_path / name)

    def test_a_missing_file_is_said_with_all_ways_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr(torch.hub, "download_url_to_file", pytest.fail)
        with pytest.raises(PathError) as caught:
            find()
        said = str(caught.value)
        assert said.startswith(str(tmp_path / "hub" / "checkpoints" / FILE))
        for way in (URL, "perceptual_path", "perceptual_download=true", "perceptual=segmenter"):
            assert way in said
        assert caught.value.exit_status == 2
        assert list(tmp_path.iterdir()) == []

    def test_a_path_that_is_not_there_is_said_and_nothing_is_fetched_instead(
        self, tmp_path: Path, torchvision: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torchvision()
        monkeypatch.setattr(torch.hub, "download_url_to_file", pytest.fail)
        for wrong in (tmp_path / "none.pth", tmp_path, tmp_path / ("x" * 300)):
            with pytest.raises(PathError, match="give the right perceptual_path"):
                find(wrong, download=True)

    def test_what_is_in_torchs_cache_is_not_fetched_again(
        self, torchvision: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = torchvision()
        monkeypatch.setattr(torch.hub, "download_url_to_file", pytest.fail)
        assert find(download=True).path == path

    def test_a_download_is_said_and_checked_by_its_whole_hash(
        self, tmp_path: Path, torchvision: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = torchvision()
        content = path.read_bytes()
        path.unlink()
        asked: list[Any] = []

        def fetch(url: str, place: str, hash_prefix: str, progress: bool) -> None:
            asked.append((url, place, hash_prefix, progress))
            Path(place).write_bytes(content)

        monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
        said: list[str] = []
        found = find_weights("", download=True, say=said.append)
        assert asked == [(URL, str(path), weights.SHA256, False)]
        assert found == WeightsFile(path, weights.SHA256)
        assert len(said) == 1
        assert URL in said[0]

    @pytest.mark.parametrize("error", [OSError("no route to host"), RuntimeError("invalid hash value")])
    def test_a_download_that_fails_is_one_clear_error(
        self, error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))

        def fail(*_: Any, **__: Any) -> None:
            raise error

        monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
        with pytest.raises(PathError, match=rf"could not be downloaded \({error}\)"):
            find(download=True)

    def test_no_path_of_this_machine_goes_into_a_stages_folder(self, tmp_path: Path) -> None:
        save_file(table(), tmp_path / "own.safetensors")
        facts = find(tmp_path / "own.safetensors").facts
        assert facts == {
            "source": "vgg19",
            "file": "own.safetensors",
            "sha256": digest(tmp_path / "own.safetensors"),
        }
