"""The plan: arithmetic, memory format, threads and micro-batch, measured on this machine with this model's real shapes.

A plan is remembered in the cache by model, shapes, machine and versions: two equal trainings on one machine take the same plan,
so they end in the same weights, and the second does not measure again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mapsto.batch import Batch, Padded
from mapsto.config import Training
from mapsto.errors import ConfigError
from mapsto.files import cache_folder, write_json
from mapsto.training import memory

if TYPE_CHECKING:
    from mapsto.learners.base import Learner

PROBE_SECONDS = 2.0
GAIN = 0.85  # bfloat16 must take less than this share of float32's time: near-ties stay with the exact arithmetic
FEWER = 0.9  # and fewer threads less than this share of what all take
TOLERANCE = 0.05  # relative difference of its loss from float32's on the same batch beyond which a candidate is out


@dataclass(frozen=True)
class Plan:
    """What was decided, and the measurements behind it: seconds per forward and backward pass of `micro_batch` rows, by candidate."""

    device: str
    precision: str = "float32"
    channels_last: bool = False
    threads: int = 1
    micro_batch: int = 1
    seconds: dict[str, float] = field(default_factory=dict)
    seconds_per_micro: float = 0.0
    bytes_per_row: int = 0

    def __str__(self) -> str:
        gain = self.seconds.get("float32", 0) / (self.seconds_per_micro or 1)
        layout = ", channels-last" if self.channels_last else ""
        told = f": {gain:.1f}× float32" if gain > 1.05 else ""
        return f"{self.precision}{layout}, {self.device}, {self.threads} thread{'s' * (self.threads > 1)}, {self.micro_batch} rows at once{told}"


def machine() -> dict[str, Any]:
    """What the arithmetic depends on."""
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def machine_speed(device: torch.device) -> float:
    """FLOP/s of a 3×3 convolution, forward and backward, in bfloat16: measured once a machine (0.3 s) and remembered, so that recipes that
    depend on it decide alike every time."""
    known = hashlib.blake2b(json.dumps([machine(), str(device), torch.get_num_threads()]).encode(), digest_size=12).hexdigest()
    path = cache_folder() / "machine" / f"{known}.json"
    try:
        return float(json.loads(path.read_text())["flops"])
    except (OSError, ValueError, KeyError):
        pass
    x = torch.randn(128, 64, 14, 14, device=device).contiguous(memory_format=torch.channels_last).requires_grad_()
    conv = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False, device=device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    least = float("inf")
    for _ in range(6):
        start = time.monotonic()
        with torch.autocast(device.type, torch.bfloat16):
            value = conv(x).float().mean()
        value.backward()
        value.item()
        least = min(least, time.monotonic() - start)
    speed = 6 * 128 * 14 * 14 * 64 * 64 * 9 / least
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"flops": speed})
    return speed


def choose_device(asked: str | None) -> torch.device:
    """The device asked for, or the GPU where there is one."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it products on a GPU are not deterministic
    try:
        device = torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as problem:
        raise ConfigError(
            f"--device {asked}: this machine does not have it ({str(problem).splitlines()[0][:80]}).\nLeave it out, or name one it has: cpu."
        ) from None
    return device


def measure(
    learner: Learner,
    batch: Batch,
    training: Training,
    loss_of: Callable[[Batch], Any],
    seconds: float = PROBE_SECONDS,
    heaviest: Batch | None = None,
) -> Plan:
    """The fastest plan within `seconds` for a usual `batch`, with as many rows at once as the `heaviest` leaves memory for. The learner
    is left as it was: no step is taken, buffers are put back."""
    heaviest = heaviest or batch
    device = learner.device
    threads = training.threads or torch.get_num_threads()
    known = _cache_key(learner, (batch, heaviest), training, threads)
    if (remembered := _recall(known)) is not None:
        return remembered
    state = {name: value.clone() for name, value in learner.model.state_dict().items()}
    try:
        rows = min(heaviest.size, 8)
        with memory.Saved() as saved:
            loss_of(heaviest.slice(0, rows))
        per_row = max(1, saved.bytes // rows)
        micro = training.micro_batch or _fitting(batch.size, per_row, device)
        plan = Plan(str(device), threads=threads, micro_batch=micro, bytes_per_row=per_row)
        plan = _fastest(learner, batch.slice(0, micro), plan, training, loss_of, seconds)
    finally:
        learner.model.load_state_dict(state)
        for value in learner.model.parameters():
            value.grad = None
    _remember(known, plan)
    return plan


def _fitting(rows: int, per_row: int, device: torch.device) -> int:
    """The largest halving of the batch whose activations, gradients of activations and copies fit."""
    most = max(1, int(memory.SHARE * memory.allowed(device) / (2.5 * per_row)))
    while rows > most:
        rows = -(-rows // 2)
    return rows


def _fastest(learner: Learner, batch: Batch, plan: Plan, training: Training, loss_of: Callable[[Batch], Any], seconds: float) -> Plan:
    """The arithmetic first, on all threads; then whether fewer threads do it faster, as they do for small nets and on busy machines."""
    pictures = any(isinstance(value, Tensor) and value.ndim == 4 for value in batch.inputs.values())
    precisions = [training.precision] if training.precision else ["float32", "bfloat16"]
    fewer = [] if training.threads or learner.device.type != "cpu" else [n for n in dict.fromkeys((plan.threads // 2, 1)) if 1 <= n < plan.threads]
    share = seconds / (len(precisions) + len(fewer))
    measured: dict[str, float] = {}
    best = replace(plan, precision=precisions[0], channels_last=pictures)
    reference, least = _timed(learner, batch, loss_of, share, best)
    measured[best.precision] = least
    for precision in precisions[1:]:
        value, took = _timed(learner, batch, loss_of, share, candidate := replace(best, precision=precision))
        measured[precision] = took
        if took < GAIN * least and abs(value - reference) <= TOLERANCE * max(1e-3, abs(reference)):
            best, least = candidate, took
    for threads in fewer:
        _, took = _timed(learner, batch, loss_of, share, candidate := replace(best, threads=threads))
        measured[f"{best.precision}, {threads} thread{'s' * (threads > 1)}"] = took
        if took < FEWER * least:
            best, least = candidate, took
    return replace(best, seconds={name: round(took, 6) for name, took in measured.items()}, seconds_per_micro=round(least, 6))


def _timed(learner: Learner, batch: Batch, loss_of: Callable[[Batch], Any], seconds: float, plan: Plan) -> tuple[float, float]:
    """(the loss, seconds of one forward and backward under `plan`: the least of those that fit, after one to warm up)."""
    apply(plan, learner)
    value, least, end = 0.0, float("inf"), time.monotonic() + seconds
    for round_ in range(20):
        start = time.monotonic()
        torch.manual_seed(0)
        per_row, count = loss_of(batch)
        loss = per_row.sum() / count.sum().clamp(min=1)
        loss.backward()
        value = float(loss.detach())  # waits for the device
        if round_:
            least = min(least, time.monotonic() - start)
        if round_ and time.monotonic() > end:
            break
    return value, least


def apply(plan: Plan, learner: Learner) -> None:
    """Put the plan into effect."""
    if plan.threads != torch.get_num_threads():
        torch.set_num_threads(plan.threads)
    learner.autocast = torch.autocast(learner.device.type, torch.bfloat16, enabled=plan.precision == "bfloat16")
    learner.channels_last = plan.channels_last
    if plan.channels_last:
        learner.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def forecast(plan: Plan, model: torch.nn.Module, averaged: bool, passes: int, left: float) -> dict[str, float]:
    """What a training will take: seconds (at most `left` and a tenth), bytes of memory and of disk. passes: of micro-batches."""
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    kept = weights * (4 + averaged + 1)  # weights, gradients, two moments; the average; the best
    taken = memory.peak() + kept + int(2.5 * plan.bytes_per_row * plan.micro_batch)
    return {"seconds": 1.1 * min(passes * plan.seconds_per_micro, left), "memory": taken, "disk": 2 * kept + weights}


def _cache_key(learner: Learner, batches: Sequence[Batch], training: Training, threads: int) -> str:
    shapes = [(name, tuple(value.shape)) for name, value in learner.model.named_parameters()]
    inputs = [[batch.size, *((name, _shape(value)) for name, value in batch.inputs.items())] for batch in batches]
    asked = (training.precision, training.micro_batch, str(learner.device), threads)
    text = json.dumps([machine(), shapes, inputs, asked, type(learner).__name__], default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _shape(value: Any) -> tuple[int, ...] | str:
    """Of a batch's input; of sequences with their padding."""
    value = value.values if isinstance(value, Padded) else value
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _recall(known: str) -> Plan | None:
    path = cache_folder() / "plans" / f"{known}.json"
    try:
        return Plan(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _remember(known: str, plan: Plan) -> None:
    path = cache_folder() / "plans" / f"{known}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(plan))
