"""The plan: in which arithmetic, memory format, threads and micro-batches this machine takes this model's
steps fastest. Found by `mapsto.training.probe`; here is what it is, and how it comes into effect."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from mapsto.batch import Batch
from mapsto.files import cache_folder
from mapsto.training import memory

if TYPE_CHECKING:
    from mapsto.learners.base import Learner

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}  # precisions that autocast brings about


@dataclass(frozen=True)
class Plan:
    """What was decided, and the measurements behind it.

    seconds: of one step of `micro_batch` rows (forward, backward, optimizer), by candidate;
    seconds_per_micro: of the one chosen. compile_seconds: what compiling takes. bytes_per_row: kept for the
    backward pass. operations_per_row: FLOP of forward and backward; 0 where nobody counted. peak: the most
    FLOP/s this machine was seen to reach in this arithmetic. ahead: a thread prepares the next batch.
    processes: how many learn together, each a part of every batch. graphs: compiled, and its kernels replayed
    as CUDA graphs. sharded: each process holds a part of every weight. found_in: seconds that trying
    candidates took. key: under which the timings are remembered; "" where they are not."""

    device: str
    precision: str = "float32"
    channels_last: bool = False
    threads: int = 1
    micro_batch: int = 1
    seconds: dict[str, float] = field(default_factory=dict)
    seconds_per_micro: float = 0.0
    bytes_per_row: int = 0
    compiled: bool = False
    compile_seconds: float = 0.0
    prefetch: bool = False
    processes: int = 1
    operations_per_row: float = 0.0
    peak: float = 0.0
    graphs: bool = False
    sharded: bool = False
    found_in: float = 0.0
    key: str = ""

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> Plan:
        """A plan from a run's decisions; until 0.1 `prefetch` was called `ahead`."""
        return cls(**{"prefetch" if name == "ahead" else name: value for name, value in recorded.items()})

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        each = f"{self.processes} processes of {threads}" if self.processes > 1 else threads
        words = [
            self.name,
            self.device,
            each,
            *["shared weights"] * self.sharded,
            f"{self.micro_batch} rows at once",
        ]
        gain = self.seconds.get("default", 0) / (self.seconds_per_micro or 1)
        found = [f"{gain:.1f}× the default"] if gain > 1.05 else []
        found += [f"{self.share:.0%} of this machine's measured peak"] if self.share else []
        found += [f"found in {self.found_in:.1f} s"] if self.found_in >= 0.05 else []
        return ", ".join(words) + (": " + "; ".join(found) if found else "")

    @property
    def name(self) -> str:
        """The candidate it is: 'bfloat16, channels-last, compiled'."""
        marks = {"channels-last": self.channels_last, "compiled": self.compiled, "CUDA graphs": self.graphs}
        return ", ".join([self.precision, *(mark for mark, held in marks.items() if held)])

    @property
    def rows_per_second(self) -> float:
        """Of one process's steps, as the probe took them; 0 where none was taken."""
        return self.micro_batch / self.seconds_per_micro if self.seconds_per_micro else 0.0

    @property
    def share(self) -> float:
        """Of the machine's peak that a step reaches (MFU); 0 where nobody measured."""
        return self.operations_per_row * self.rows_per_second / self.peak if self.peak else 0.0


def apply(plan: Plan, learner: Learner) -> None:
    """Put the plan into effect."""
    if plan.threads != torch.get_num_threads():
        torch.set_num_threads(plan.threads)
    device = learner.device
    learner.autocast = torch.autocast(
        device.type, HALVES.get(plan.precision, torch.bfloat16), enabled=plan.precision in HALVES
    )
    learner.scaler = torch.amp.GradScaler(
        device.type, init_scale=_first_scale(plan, learner), enabled=plan.precision == "float16"
    )
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = plan.precision == "tf32"
        torch.backends.cudnn.benchmark = False  # it chooses kernels by the clock
    if learner.channels_last != plan.channels_last:
        learner.channels_last = plan.channels_last
        order = torch.channels_last if plan.channels_last else torch.contiguous_format
        learner.model.to(memory_format=order)  # type: ignore[call-overload]
    learner.compiled = compiled(learner, plan.graphs) if plan.compiled else None


def _first_scale(plan: Plan, learner: Learner) -> float:
    """Of float16's loss: 2^16 for a mean over the batch, as PyTorch begins; so much less for a sum over its
    rows, which is what several micro-batches or processes make."""
    rows = learner.training.batch or 1
    summed = plan.processes > 1 or plan.micro_batch < rows
    return 65536.0 / 2 ** math.ceil(math.log2(rows)) if summed else 65536.0


def compiled(learner: Learner, graphs: bool = False) -> Callable[[Batch], Any]:
    """The learner's loss as torch.compile makes it: one graph for each of its few shapes, and nothing tuned
    by the clock, so that two equal runs stay equal. graphs: its kernels are recorded as CUDA graphs; what one
    call gives is overwritten by the next.
    """
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "compiled"))
    dynamo.recompile_limit = dynamo.accumulated_recompile_limit = (
        512  # beyond its limit it would go on without compiling, and not say so
    )
    inductor.deterministic = True
    if not graphs:
        return torch.compile(learner.loss, dynamic=False)
    recorded = torch.compile(learner.loss, dynamic=False, mode="reduce-overhead")

    def loss(batch: Batch) -> Any:
        torch.compiler.cudagraph_mark_step_begin()  # the step before is over, and its gradients are used
        return recorded(batch)

    return loss


def forecast(
    plan: Plan, model: torch.nn.Module, averaged: bool, passes: int, left: float, by_clock: bool
) -> dict[str, float | None]:
    """What a training will take: seconds, None where no step was timed; bytes of memory and of disk. passes:
    of micro-batches; left: seconds of its minutes; by_clock: nothing else ends it."""
    weights = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    kept = (
        weights * (4 + averaged + 1) // (plan.processes if plan.sharded else 1)
    )  # weights, gradients, two moments; the average; the best
    taken = memory.peak() + kept + int(2.5 * plan.bytes_per_row * plan.micro_batch)
    needed = (
        plan.compile_seconds + 1.1 * passes * plan.seconds_per_micro if plan.seconds_per_micro else math.inf
    )
    seconds = left if by_clock else min(needed, left)
    return {
        "seconds": None if math.isinf(seconds) else seconds,
        "memory": taken,
        "disk": 2 * weights * (5 + averaged) + weights,
    }
