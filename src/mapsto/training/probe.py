"""How the plan is found: the real step (forward, backward, optimizer) of this model on its real shapes, under
every candidate that matters.

Candidates take turns, so that a machine whose load changes treats them alike; those that fall far behind drop
out. One whose loss differs from float32's on the same rows is no candidate. What was measured is remembered
by model, shapes, machine and versions: two equal trainings on one machine take the same plan, so they end in
the same weights, and the second does not measure again.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import torch
from torch import Tensor

from mapsto.batch import Batch, Padded
from mapsto.errors import ConfigError
from mapsto.files import cache_folder, write_json
from mapsto.learners.base import Learner
from mapsto.training import memory
from mapsto.training.arithmetic import has_bfloat16
from mapsto.training.distributed import Group
from mapsto.training.machine import busy, machine, machine_peak, waited
from mapsto.training.plan import Plan, apply
from mapsto.training.step import Updater

SHARE = 0.01  # of the training that candidates may be timed for
LEAST, MOST = 0.3, 8.0  # seconds, whatever the share
BEHIND, ROUNDS = (
    1.3,
    3,
)  # times the best: no second round; rounds that near ones get, more while LEAST is not over
HOPELESS = 6  # times the best, warming up included: not even a first
# bfloat16 must take less than this share of float32's time, float16 of bfloat16's: near-ties stay with the
# exact arithmetic
LOWER = 0.93
# fewer threads, at most this share of what all take: a neighbour that is busy now may be gone soon, and where
# there is none one may come, from which threads that wait for each other suffer most
FEWER = {"busy": 0.85, "quiet": 1.05}
TOLERANCE = (
    0.05  # relative difference of a loss from float32's on the same rows beyond which a candidate is out
)
GUESS = {"cpu": 0.1, "cuda": 0.3}  # what compiling may gain, where it was never tried
GAINS = 0.95  # compiled, less than this share of the time: nearer is chance
COLD = 60.0  # seconds that compiling takes where it was never tried
WORTH = 1.5  # times its seconds that compiling must gain
# seconds: a batch that is made in less is not worth a thread, which takes the interpreter from the step
HANDOVER = 5e-4
FASTER = 2.0  # times as fast as planned: the plan was measured on a busy machine

Step = Callable[[Batch], Tensor]  # one real step on some rows -> its mean loss


@dataclass
class Timings:
    """What was measured, {candidate: seconds of a step}, in order: as it is remembered."""

    seconds: dict[str, float] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    compiling: dict[str, float] = field(default_factory=dict)  # seconds it took
    bytes_per_row: int = 0
    micro_batch: int = 0
    operations_per_row: float = 0.0
    prepared: float = 0.0  # seconds that preparing a batch takes
    busy: bool = False  # had the machine other work meanwhile? Then it is measured again once it has not


class Probe:
    """Finds the plan of one learner. batch: a usual one; heaviest: the one that takes most memory; step:
    takes one real step; prepared: seconds a batch takes to be made. steps: that the training will take; left:
    seconds that it has; both as far as they are known.
    """

    def __init__(
        self,
        learner: Learner,
        batch: Batch,
        heaviest: Batch,
        step: Step,
        steps: int | None,
        left: float,
        prepared: float = 0.0,
    ):
        self.learner, self.batch, self.heaviest, self.step = learner, batch, heaviest, step
        self.steps, self.left, self.prepared = steps, left, prepared
        self.training, self.device = learner.training, learner.device
        self.threads = self.training.threads or torch.get_num_threads()
        self.rows, self.due = (
            batch,
            LEAST,
        )  # what candidates are timed with, and seconds that may be spent on it
        self.pictures = any(isinstance(value, Tensor) and value.ndim == 4 for value in batch.inputs.values())

    def plan(self) -> Plan:
        """The fastest plan. RunError when not even one row fits into memory."""
        if self.training.precision in ("tf32", "float16") and self.device.type != "cuda":
            raise ConfigError(
                f"--precision {self.training.precision}: this is arithmetic of GPUs.\nLeave it out, or:"
                " --precision bfloat16."
            )
        known = _key(self)
        found = _recall(known) or Timings()
        first = not found.seconds
        if first:
            found.busy = busy()
            found.bytes_per_row, found.operations_per_row = _looked_into(self)
            found.micro_batch = self.training.micro_batch or _fitting(
                self.batch.size, found.bytes_per_row, self.device
            )
            found.prepared = self.prepared
            self._fit_into_memory(found)
        arithmetic = _candidates(self, self._base(found))
        threads = (self.threads, *_fewer(self))
        # the plainest by any number of threads first: beside neighbours these differ most, and time is short
        candidates = [replace(arithmetic[0], threads=n) for n in threads]
        candidates += [replace(plan, threads=n) for n in threads for plan in arithmetic[1:]]
        if first:
            hopeful = self._choose_rows(candidates[0])
            self._take_turns(
                [candidates[0], *(plan for plan in candidates[1:] if plan.threads in hopeful)], found
            )
        best = _best(candidates, found)
        skipped = [
            plan
            for plan in candidates
            if plan.threads == best.threads and _called(plan, self.threads) not in found.seconds
        ]
        if (
            first and skipped
        ):  # its threads were judged hopeless on few rows while others were busy, and won all the same
            self._take_turns([best, *skipped], found)
            best = _best(candidates, found)
        best = self._compiled(best, found)
        _remember(known, found)
        return replace(self._told(best, found), key=known)

    def _base(self, found: Timings) -> Plan:
        known = {"bytes_per_row": found.bytes_per_row, "operations_per_row": found.operations_per_row}
        return Plan(str(self.device), threads=self.threads, micro_batch=found.micro_batch, **known)

    def _fit_into_memory(self, found: Timings) -> None:
        """Half the micro-batch until a step of the heaviest rows passes: on a GPU the estimate is tried, on a
        processor it must do."""
        while self.device.type == "cuda":
            try:
                self._timed(self._base(found), self.heaviest.slice(0, found.micro_batch))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                found.micro_batch = -(-found.micro_batch // 2)
            else:
                return

    def _told(self, best: Plan, found: Timings) -> Plan:
        """The plan with what is to be known of it."""
        seconds = {name: round(took, 6) for name, took in found.seconds.items()}
        least = found.seconds[_called(best, self.threads)]
        apply(replace(best, compiled=False, graphs=False), self.learner)
        # a batch made beside the step is worth a thread once it takes a hundredth of it; on a GPU batches are
        # made there, in the same queue
        whole = least * math.ceil(self.batch.size / best.micro_batch)
        aside = self.device.type == "cpu" and found.prepared > max(HANDOVER, 0.01 * whole)
        reached = (
            best.operations_per_row * best.micro_batch / least
        )  # that, too, the machine was seen to reach
        peak = max(reached, machine_peak(self.device, best.precision))
        return replace(best, seconds=seconds, seconds_per_micro=round(least, 6), prefetch=aside, peak=peak)

    def _take_turns(self, candidates: Sequence[Plan], found: Timings) -> None:
        """Each once to warm up and once for the clock; then those that are near the best, round by round."""
        start, left, least = time.monotonic(), list(candidates), math.inf
        for round_ in count():
            for plan in list(left):
                over = time.monotonic() - start > self.due
                if over and found.seconds:  # what was not tried by now is no candidate
                    break
                took, loss = self._timed(plan, self.rows)
                if not round_ and took < HOPELESS * least and not over:  # that was to warm up
                    took, loss = self._timed(plan, self.rows)
                name, took = _called(plan, self.threads), took * plan.micro_batch / self.rows.size
                found.seconds[name] = min(took, found.seconds.get(name, math.inf))
                found.losses.setdefault(name, loss)
                least = min(least, found.seconds[name])
            near = BEHIND * least
            left = [plan for plan in left if found.seconds.get(_called(plan, self.threads), math.inf) < near]
            spent = time.monotonic() - start
            if len(left) < 2 or spent > self.due or (spent > LEAST and round_ + 1 >= ROUNDS):
                return

    def _choose_rows(self, plan: Plan) -> list[int]:
        """As many rows of the batch as a step of each candidate can be afforded with -> how many threads are
        worth a try."""
        few = self.batch.slice(0, max(1, min(8, plan.micro_batch)))
        took: dict[int, float] = {}
        hopeful = [
            *reversed(_fewer(self)),
            self.threads,
        ]  # fewest first: where others hold the processors, many threads wait for each other
        for _ in range(2):
            took |= {
                n: min(took.get(n, math.inf), self._timed(replace(plan, threads=n), few)[0]) for n in hopeful
            }
            hopeful = [n for n in hopeful if took[n] < HOPELESS * min(took.values())]
        whole = min(took.values()) * plan.micro_batch / few.size
        span = min(self.left, math.inf if self.steps is None else self.steps * whole)
        self.due = min(MOST, max(LEAST, SHARE * span))
        rows = plan.micro_batch
        while rows > 8 and 8 * whole * rows / plan.micro_batch > self.due:
            rows = -(-rows // 2)
        self.rows = self.batch.slice(0, rows)
        return hopeful

    def _timed(self, plan: Plan, rows: Batch) -> tuple[float, float]:
        """(seconds of one step, its loss) under a plan."""
        apply(plan, self.learner)
        rows = self.learner.ready(rows)
        start = waited(self.device)
        loss = self.step(rows)
        took = waited(self.device) - start
        return took, float(loss)

    def _compiled(self, best: Plan, found: Timings) -> Plan:
        """The plan compiled, where that pays back within the training."""
        took = found.seconds[_called(best, self.threads)]
        if not can_compile(self.device) or not self.learner.few_shapes or self.training.plan == "default":
            return best
        passes = (
            math.inf if self.steps is None else self.steps * math.ceil(self.batch.size / best.micro_batch)
        )
        left = min(self.left, passes * took)
        thorough = self.training.plan == "thorough"
        worth = thorough or left * GUESS.get(self.device.type, 0) > WORTH * COLD
        chosen = best
        for plan in _compilable(self, best):
            name = _called(plan, self.threads)
            fast = (
                found.seconds[name]
                if name in found.seconds
                else self._try_compiled(plan, found)
                if worth
                else math.inf
            )
            pays = thorough or left * (1 - fast / took) > WORTH * found.compiling.get(name, 0.0)
            if pays and fast <= GAINS * found.seconds[_called(chosen, self.threads)]:
                chosen = replace(plan, compile_seconds=found.compiling.get(name, 0.0))
        return chosen

    def _try_compiled(self, plan: Plan, found: Timings) -> float:
        """Compile, and time the step in turn with the plain one, which may have been timed on another day:
        what is kept is their ratio. Its loss must be that of the same rows without. Infinite where the
        compiler cannot, as without a place for its files.
        """
        from torch._inductor.exc import InductorError

        name, rows = _called(plan, self.threads), self.batch.slice(0, plan.micro_batch)
        plain = replace(plan, compiled=False, graphs=False)
        _, right = self._timed(plain, rows)
        try:
            took, loss = self._timed(plan, rows)
        except InductorError:
            return math.inf
        found.compiling[name] = round(took, 1)
        fair = abs(loss - right) <= TOLERANCE * max(1e-3, abs(right))
        known = _called(plain, self.threads)
        found.losses[name] = found.losses[known] if fair else math.nan
        pairs = [
            (self._timed(plain, rows)[0], self._timed(plan, rows)[0]) for _ in range(ROUNDS if fair else 0)
        ]
        slow, fast = (min(took) for took in zip(*pairs, strict=True)) if pairs else (1.0, 1e9)
        found.seconds[name] = found.seconds[known] * fast / slow
        return found.seconds[name]


def _called(plan: Plan, threads: int) -> str:
    """A candidate's name among the timings: 'default' is what PyTorch does of itself."""
    if plan.threads == threads:
        return "default" if plan.name == "float32" else plan.name
    return f"{plan.name}, {plan.threads} thread{'s' * (plan.threads > 1)}"


def _candidates(probe: Probe, base: Plan) -> list[Plan]:
    """Arithmetic and memory format; the first is what PyTorch does of itself, by which the others are
    judged."""
    asked = probe.training.precision
    if probe.training.plan == "default":
        return [replace(base, precision=asked or "float32")]
    kinds = [asked] if asked else ["float32", *_lower(probe.device)]
    plain = [replace(base, precision=kind) for kind in kinds]
    lasting = [replace(plan, channels_last=True) for plan in plain] if probe.pictures else []
    return [plain[0], *lasting] if probe.pictures else plain


def _lower(device: torch.device) -> list[str]:
    """Precisions below float32 that a device has."""
    half = ["bfloat16"] * has_bfloat16(device)
    return ["tf32", *half, "float16"] if device.type == "cuda" else half


def _compilable(probe: Probe, best: Plan) -> list[Plan]:
    """The plan compiled; and on a GPU, where each step is one pass of one shape, with its kernels as CUDA
    graphs too."""
    whole = best.micro_batch >= probe.batch.size and not probe.batch.cuts
    plan = replace(best, compiled=True)
    return [plan, *[replace(plan, graphs=True)] * (whole and probe.device.type == "cuda")]


def _fewer(probe: Probe) -> list[int]:
    """Fewer threads than all, as may be better for small nets and on busy machines."""
    if probe.training.threads or probe.device.type != "cpu" or probe.training.plan == "default":
        return []
    return [n for n in dict.fromkeys((probe.threads // 2, 1)) if 1 <= n < probe.threads]


def _best(candidates: Sequence[Plan], found: Timings) -> Plan:
    """The fastest whose loss is the first's; lower precision and fewer threads only where they gain something
    worth having."""
    first = candidates[0]
    threads = max(plan.threads for plan in candidates)
    right = found.losses[_called(first, threads)]
    fewer = FEWER["busy" if found.busy else "quiet"]

    def weighed(plan: Plan) -> float:
        name = _called(plan, threads)
        if name not in found.seconds or not abs(found.losses[name] - right) <= TOLERANCE * max(
            1e-3, abs(right)
        ):
            return math.inf
        exact = plan.precision == "float32" or first.precision == plan.precision
        # float16, of the narrower range, must gain over bfloat16 too, where there is that
        steps = 0 if exact else 2 if plan.precision == "float16" else 1
        return found.seconds[name] / LOWER**steps / (1.0 if plan.threads == threads else fewer)

    return min(candidates, key=weighed)


def can_compile(device: torch.device) -> bool:
    """Is there what torch.compile needs: a C++ compiler, or Triton on a GPU?"""
    if device.type == "cuda":
        from importlib.util import find_spec

        return find_spec("triton") is not None
    return device.type == "cpu" and (shutil.which("g++") or shutil.which("clang++")) is not None


def _looked_into(probe: Probe) -> tuple[int, float]:
    """(bytes kept for the backward pass, FLOP of forward and backward), each for a row of the heaviest
    batch."""
    from mapsto.training.flops import FlopCounter

    rows = probe.learner.ready(probe.heaviest.slice(0, min(probe.heaviest.size, 8)))
    with FlopCounter() as counted, memory.Saved() as saved:
        probe.step(rows)
    return max(1, saved.bytes // rows.size), counted.total / rows.size


def _fitting(rows: int, per_row: int, device: torch.device) -> int:
    """The largest halving of the batch whose activations, gradients of activations and copies fit."""
    most = max(1, int(memory.SHARE * memory.allowed(device) / (2.5 * per_row)))
    while rows > most:
        rows = -(-rows // 2)
    return rows


def _key(probe: Probe) -> str:
    """What the timings depend on, as a name."""
    learner, training = probe.learner, probe.training
    shapes = [(name, tuple(value.shape)) for name, value in learner.model.named_parameters()]
    inputs = [
        [batch.size, *((name, _shape(value)) for name, value in batch.inputs.items())]
        for batch in (probe.batch, probe.heaviest)
    ]
    asked = (
        training.precision,
        training.micro_batch,
        training.plan,
        training.optimizer,
        str(probe.device),
        probe.threads,
        training.devices,
    )
    text = json.dumps([machine(), shapes, inputs, asked, type(learner).__name__], default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _shape(value: Any) -> tuple[int, ...] | str:
    """Of a batch's input; of sequences with their padding."""
    value = value.values if isinstance(value, Padded) else value
    return tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _recall(known: str) -> Timings | None:
    path = cache_folder() / "plans" / f"{known}.json"
    try:
        found = Timings(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return None if found.busy and not busy() else found


def _remember(known: str, found: Timings) -> None:
    path = cache_folder() / "plans" / f"{known}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, vars(found))


def doubt(plan: Plan, seconds: float) -> None:
    """Real steps took so many seconds a micro-batch in the mean: where that is much less than was measured,
    others were busy then, and it is measured again when they are not."""
    if not plan.key or not 0 < seconds < plan.seconds_per_micro / FASTER:
        return
    if (found := _recall(plan.key)) is not None and not found.busy:
        found.busy = True
        _remember(plan.key, found)


def measure(updater: Updater, steps: int | None, left: float) -> Plan:
    """The plan of a training that is to take `steps`, or has `left` seconds. Nothing of the probe stays,
    neither in weights nor in a replay buffer."""
    learner = updater.learner
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    prepared = _seconds_of_a_batch(learner)
    usual, heaviest = (updater.group.share(batch) for batch in learner.probes())
    _put_back(learner, before)
    if (
        type(learner).loss is Learner.loss
    ):  # a learner of explicit updates: there is no one loss to time alone
        threads, micro = (
            learner.training.threads or torch.get_num_threads(),
            learner.training.micro_batch or usual.size,
        )
        return Plan(str(learner.device), learner.training.precision or "float32", False, threads, micro)
    weights = {name: value.clone() for name, value in learner.model.state_dict().items()}
    group, updater.group = updater.group, Group()  # each for itself, all at the same time, as they will learn
    updater.fresh()
    for optimizer in updater.optimizers.values():
        for each in optimizer.param_groups:
            each["lr"] = 0.0  # every candidate is judged at the same weights

    def step(rows: Batch) -> Tensor:
        updater.plan, main = Plan(str(learner.device), micro_batch=rows.size), updater.optimizers["main"]
        updater.begin(0)  # all candidates draw the same noise
        loss = updater.gradients(learner.loss, rows, main)["loss"]
        updater.apply(main)
        return loss

    try:
        start = time.monotonic()
        plan = Probe(learner, usual, heaviest, step, steps, left, prepared).plan()
        return replace(plan, found_in=round(time.monotonic() - start, 2))
    finally:
        updater.group = group
        learner.model.load_state_dict(weights)
        learner.model.zero_grad(set_to_none=True)
        _put_back(learner, before)  # its loss may change what it remembers


def _put_back(learner: Learner, state: Mapping[str, Tensor]) -> None:
    """Copies, which it may change in place."""
    learner.load_state_dict({name: value.clone() for name, value in state.items()})


def _seconds_of_a_batch(learner: Learner) -> float:
    """Seconds that a batch takes to be made, where a thread may make it while the model learns; 0
    elsewhere."""
    if not learner.prefetch:
        return 0.0
    batches = learner.batches("train", 0)
    next(batches)
    start = time.perf_counter()
    learner.ready(next(batches))
    return time.perf_counter() - start
