"""The classifier of grades: trained on pictures with a grade, then asked about others.

Trained on targets that a grade's neighbours share in (Díaz and Marathe 2019, CVPR: soft labels for ordinal
regression), since grades are an order and 3 for a 4 is half right. Rare grades are drawn more often than they come, but
not as often as common ones: of IDRiD's 413 graded photographs 20 have grade 1, and a network that saw each of these
seven times as often as the others would learn them by heart.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from retina_core.config import Precision
from retina_core.devices import autocast, resolve_device, resolve_precision
from retina_core.errors import NonFiniteLossError
from retina_core.grades import GRADES
from retina_core.grading.network import DROPPED, GradeNetwork
from retina_core.grading.settings import GraderSettings
from retina_core.optimizers import fused_adam
from retina_core.randomness import dropout_mask, sample_rng, sample_rngs, sample_seed
from retina_core.training.augmentation import Augmentation
from retina_core.training.averaging import WeightAverage
from retina_core.training.options import Listener, Progress, Silence

NAME = "grader"
REPORTS = 50
"""Times that the listener is told in a training."""
ASKED = 16
"""Pictures in one pass of a finished grader; the last pass is filled up, so that no answer depends on its batch."""


class Grader:
    """A trained classifier of grades."""

    def __init__(
        self, network: GradeNetwork, settings: GraderSettings, grades: Sequence[int], precision: str
    ) -> None:
        self.settings, self.grades = settings, tuple(grades)
        """``grades``: those that the training set holds; no other is ever given."""
        self._network, self._precision = network, precision

    @torch.no_grad()
    def probabilities(self, pictures: Tensor) -> Tensor:
        """(b c h w), as in ``fit_grader`` -> (b 5) float32 on the CPU; a grade that was not learnt has 0."""
        device = next(self._network.parameters()).device
        found = []
        for part in torch.split(pictures, ASKED):
            shown = _shown(_resized(part, self.settings.resolution), device)
            count = len(shown)
            shown = F.pad(shown, (0, 0, 0, 0, 0, 0, 0, ASKED - count))
            with autocast(device, self._precision):
                logits = self._network(shown.contiguous(memory_format=torch.channels_last))
            found.append(_without_unlearnt(logits.float(), self.grades).softmax(1)[:count].cpu())
        return torch.cat(found) if found else torch.zeros(0, len(GRADES))

    def predict(self, pictures: Tensor) -> Tensor:
        """(b c h w) -> (b) int64: the likeliest grade of each."""
        return self.probabilities(pictures).argmax(1)

    def digest(self) -> str:
        """SHA-256 of the weights, in hexadecimal: which grader it is."""
        digest = hashlib.sha256()
        for name, weight in sorted(self._network.state_dict().items()):
            digest.update(f"{name} {tuple(weight.shape)}\n".encode())
            digest.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def fit_grader(
    pictures: Tensor,
    grades: Tensor,
    *,
    settings: GraderSettings | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Precision = "auto",
    listener: Listener | None = None,
) -> Grader:
    """A grader that learnt from some pictures; on one device the same seed gives the same grader.

    Args:
        pictures: (n c h w) photographs or label maps, float32 in [0, 1] or uint8; resized where they have another side.
        grades: (n) int64, 0 to 4. Those that are not among them are never predicted.
        settings: None: the defaults.
        seed: of weights, order and augmentation.
        device: as ``--device``.
        precision: as ``--precision``; ``auto`` is fp32 on a CPU.
        listener: told how far the training is.

    Raises:
        ValueError: there is no picture, another number of grades, or a grade outside 0 to 4.
        NonFiniteLossError: the loss is infinite or not a number.
    """
    _check(pictures, grades)
    chosen, told = settings or GraderSettings(), listener or Silence()
    place = resolve_device(device)
    # Networks so small gain nothing from bf16 on a CPU: 164 pictures a second in fp32, 101 in bf16.
    exact = "fp32" if precision == "auto" and place.type == "cpu" else resolve_precision(precision, place)
    network = _fresh(pictures.shape[1], chosen.width, seed).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = fused_adam(network, chosen.learning_rate, (0.9, 0.99), chosen.weight_decay)
    average = WeightAverage(network, chosen.average_half_life)
    learnt = tuple(sorted(set(grades.tolist())))
    pictures = _resized(pictures, chosen.resolution)
    clock = _Clock(told, chosen.seen_images)
    for seen, places in _batches(grades, chosen, seed):
        rngs = sample_rngs(seed, len(places), start=seen, stream=f"{NAME}-change")
        shown = _augmented(_shown(pictures[places], place), rngs, chosen)
        kept = dropout_mask(DROPPED, rngs, network.pooled_features, 1, 1)[:, :, 0, 0].to(place)
        for group in optimizer.param_groups:
            group["lr"] = chosen.learning_rate * 0.5 * (1 + math.cos(math.pi * seen / chosen.seen_images))
        with autocast(place, exact):
            logits = network(shown, kept)
        loss = ordinal_loss(logits.float(), grades[places].to(place), learnt, chosen.nearness)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        average.update(seen, len(places))
        clock.tick(seen + len(places), loss)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.copy_(average.weights[name])
    return Grader(network.eval().requires_grad_(False), chosen, learnt, exact)


def ordinal_loss(logits: Tensor, grades: Tensor, learnt: Sequence[int], nearness: float) -> Tensor:
    """Cross-entropy with soft targets: -Σ t_j log p_j, t = softmax(-nearness |j - grade|), over the grades learnt.

    ``logits`` (b 5), ``grades`` (b); with ``nearness`` 0 the targets are the grades alone.
    """
    known = torch.tensor(learnt, device=logits.device)
    steps = (known[None] - grades[:, None]).abs()  # b g
    targets = (-nearness * steps).softmax(1) if nearness else (steps == 0).float()
    return -(targets * logits[:, known].log_softmax(1)).sum(1).mean()


class _Clock:
    """Tells the listener, and stops at a loss that is no number."""

    def __init__(self, listener: Listener, total: int) -> None:
        self._listener, self._total = listener, total
        self._every, self._next, self._start = max(1, total // REPORTS), 0, time.monotonic()

    def tick(self, seen: int, loss: Tensor) -> None:
        if seen < self._next and seen < self._total:
            return
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NonFiniteLossError(NAME, seen, {"loss": value}, None)
        rate = seen / max(time.monotonic() - self._start, 1e-6)
        left = (self._total - seen) / rate
        self._listener.progress(Progress(NAME, seen, self._total, "images", rate, left, {"loss": value}))
        self._next = seen + self._every


def _check(pictures: Tensor, grades: Tensor) -> None:
    if not len(pictures) or pictures.ndim != 4:
        raise ValueError(f"pictures are {tuple(pictures.shape)}; give (n c h w), at least one")
    if grades.shape != (len(pictures),):
        raise ValueError(f"grades are {tuple(grades.shape)}; give one for each of {len(pictures)} pictures")
    if int(grades.min()) < 0 or int(grades.max()) > GRADES[-1]:
        raise ValueError(f"grades are {int(grades.min())} to {int(grades.max())}; give 0 to {GRADES[-1]}")


def _fresh(channels: int, width: int, seed: int) -> GradeNetwork:
    """A network whose weights the seed alone determines."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sample_seed(seed, f"{NAME}-weights", 0))
        return GradeNetwork(channels, width)


def _batches(grades: Tensor, settings: GraderSettings, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Images seen before, and the pictures of the next step."""
    order = _order(grades, settings.balance, seed)
    for seen in range(0, settings.seen_images, settings.batch_size):
        yield seen, [next(order) for _ in range(min(settings.batch_size, settings.seen_images - seen))]


def _order(grades: Tensor, balance: float, seed: int) -> Iterator[int]:
    """Which picture comes next, without end: grades by their shares, the pictures of one in turn, each time shuffled."""
    members = {grade: (grades == grade).nonzero()[:, 0] for grade in sorted(set(grades.tolist()))}
    turns = {grade: _in_turn(of_it, seed, grade) for grade, of_it in members.items()}
    shares = torch.tensor([len(one) ** (1 - balance) for one in members.values()], dtype=torch.float64)
    credit = torch.zeros_like(shares)
    while True:
        credit += shares / shares.sum()
        place = int(credit.argmax())  # the grade that is furthest behind its share
        credit[place] -= 1
        yield next(turns[list(members)[place]])


def _in_turn(members: Tensor, seed: int, grade: int) -> Iterator[int]:
    turn = 0
    while True:
        rng = sample_rng(seed, f"{NAME}-order-{grade}", turn)
        yield from (int(members[place]) for place in torch.randperm(len(members), generator=rng))
        turn += 1


def _augmented(shown: Tensor, rngs: Sequence[torch.Generator], settings: GraderSettings) -> Tensor:
    """Pictures (b c h w), each changed by its own numbers."""
    change = Augmentation(
        flips=settings.flips,
        quarter_turns=settings.quarter_turns,
        rotation_degrees=settings.rotation_degrees,
        scale=settings.scale,
        shift=settings.shift,
        colour=settings.colour,
    )
    # What is black in all colours is the outside of the eye, and stays black; where colours stay, all is kept.
    fov = (shown.amax(1, keepdim=True) > 0).float() if settings.colour else torch.ones_like(shown[:, :1])
    if not settings.colour:
        return change(shown, fov, shown[:, :0], rngs)[0]
    return change(shown[:, :0], fov, shown, rngs)[2]


def _resized(pictures: Tensor, side: int) -> Tensor:
    """(n c h w) at the side that the network works at, of the kind that they were, and never all as float at once."""
    if pictures.shape[-2:] == (side, side):
        return pictures
    parts = []
    for part in torch.split(pictures, 64):
        small = F.interpolate(
            part.float(), (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        parts.append(small.round().byte() if part.dtype == torch.uint8 else small)
    return torch.cat(parts)


def _shown(pictures: Tensor, device: torch.device) -> Tensor:
    """(b c h w) on the device, float32 in [0, 1], channels-last."""
    moved = pictures.to(device)
    shown = moved.float() / 255 if moved.dtype == torch.uint8 else moved.float()
    return shown.contiguous(memory_format=torch.channels_last)


def _without_unlearnt(logits: Tensor, grades: Sequence[int]) -> Tensor:
    """Logits (b 5) in which grades that were not learnt cannot be."""
    learnt = torch.zeros(len(GRADES), dtype=torch.bool, device=logits.device)
    learnt[list(grades)] = True
    return logits.masked_fill(~learnt, -math.inf)
