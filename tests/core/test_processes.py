"""Several processes that train one stage: what they do together is what one does alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from retina_core.errors import InvalidValueError
from retina_core.training.processes import Processes

STEP = '''
import importlib.util, os, sys
from pathlib import Path

import torch
from torch import nn

spec = importlib.util.spec_from_file_location("toy_stage", {toy!r})
toy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(toy)

from safetensors.torch import save_file

from retina_core.data.prepare import prepare
from retina_core.errors import InvalidValueError
from retina_core.stages import Phase
from retina_core.testing import tiny_eyes
from retina_core.training.augmentation import Augmentation
from retina_core.training.context import Learner, StepContext
from retina_core.training.feed import Course, Feed
from retina_core.training.processes import Processes

torch.set_num_threads(1)
out = Path(sys.argv[1])


class Plain(toy.ToyLabels):
    """The toy without batch normalisation: its statistics are those of each process' share."""

    def __init__(self, config, channels):
        super().__init__(config, channels)
        self.generator[1] = nn.Identity()


def step(processes, share=None):
    """Gradients and weights of both networks after one step on the batch of eight."""
    eyes = tiny_eyes(5, image_px=24)
    torch.manual_seed(0)
    stage = Plain(toy.ToyConfig.resolve("toy", "quick", {{"learning_rate": 1e-2}}), eyes.channels)
    samples = prepare(eyes.samples, eyes.channels, 16, out / f"cache{{processes.rank}}-{{processes.world}}")
    learner = Learner.of(stage, processes)
    phase = Phase(16, 8, {{"generator": 1e-2, "other": 1e-3}})
    batch, rngs = Feed([Course(samples)], stage, 0).batch(16, phase, share or processes.share(8))
    context = StepContext(learner, phase, 16, rngs, Augmentation(flips="both", rotation_degrees=20))
    stage.training_step(batch, context)
    found = {{}}
    for name, network in stage.networks().items():
        for key, weight in network.named_parameters():
            found[f"grad.{{name}}.{{key}}"] = weight.grad.clone()
            found[f"weight.{{name}}.{{key}}"] = weight.detach().clone()
    return found


'''

TWO = (
    STEP
    + """
processes = Processes.join(torch.device("cpu"))
assert processes.world == 2 and processes.first == (processes.rank == 0)
save_file(step(processes), out / f"rank{{processes.rank}}.safetensors")

buffers = nn.BatchNorm1d(2)
buffers.running_mean.fill_(float(processes.rank))
buffers.num_batches_tracked.fill_(7)
processes.average_buffers([buffers])
assert buffers.running_mean.tolist() == [0.5, 0.5], buffers.running_mean
assert int(buffers.num_batches_tracked) == 7

try:
    step(processes, share=processes.share(7))
except InvalidValueError as error:
    (out / f"refused{{processes.rank}}.txt").write_text(str(error))
processes.wait()
torch.distributed.destroy_process_group()
# All is done and written; one interpreter in ten aborts while torch's threads are torn down on a busy machine.
os._exit(0)
"""
)

ONE = (
    STEP
    + """
save_file(step(Processes()), out / "whole.safetensors")
save_file(step(Processes(), share=slice(0, 4)), out / "half.safetensors")
"""
)


def run(folder: Path, name: str, text: str, *launcher: str) -> None:
    script = folder / f"{name}.py"
    script.write_text(text.format(toy=str(Path(__file__).with_name("toy_stage.py"))))
    done = subprocess.run(
        [sys.executable, *launcher, str(script), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]


def gradients(path: Path) -> dict[str, torch.Tensor]:
    return {key: value for key, value in load_file(path).items() if key.startswith("grad.")}


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    run(tmp_path, "two", TWO, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    run(tmp_path, "one", ONE)
    first, second = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())  # they never drift apart

    together, whole, half = (gradients(tmp_path / f"{n}.safetensors") for n in ("rank0", "whole", "half"))
    assert len(whole) == 6  # weight and bias of two convolutions, and of the other network's one
    for key, gradient in whole.items():
        torch.testing.assert_close(
            together[key], gradient, rtol=1e-5, atol=1e-5 * float(gradient.abs().max())
        )
        assert not torch.allclose(half[key], gradient, rtol=1e-3)  # one share alone is another gradient
    for rank in (0, 1):
        said = (tmp_path / f"refused{rank}.txt").read_text()
        assert "batch_size=7 cannot be used: 2 processes cannot share it evenly" in said


@pytest.mark.parametrize(("batch_size", "world"), [(1, 2), (7, 2), (8, 3), (3, 4)])
def test_a_batch_that_cannot_be_shared_evenly_is_refused(batch_size: int, world: int) -> None:
    with pytest.raises(InvalidValueError, match=f"choose a multiple of {world}") as caught:
        Processes(rank=0, world=world).share(batch_size)
    assert (caught.value.key, caught.value.value, caught.value.exit_status) == ("batch_size", batch_size, 2)


@pytest.mark.parametrize(("batch_size", "world"), [(1, 1), (8, 2), (12, 3), (4, 4)])
def test_shares_are_equal_and_leave_nothing_out(batch_size: int, world: int) -> None:
    shares = [list(range(batch_size)[Processes(rank, world).share(batch_size)]) for rank in range(world)]
    assert sum(shares, []) == list(range(batch_size))  # noqa: RUF017  (four short lists)
    assert {len(share) for share in shares} == {batch_size // world}


def test_one_process_alone_averages_nothing_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = Processes.join(torch.device("cpu"))
    assert (alone.rank, alone.world, alone.first) == (0, 1, True)
    gradient = torch.tensor([1.0, -2.0])
    alone.average([gradient])
    alone.wait()
    assert gradient.tolist() == [1.0, -2.0]
    assert not torch.distributed.is_initialized()
