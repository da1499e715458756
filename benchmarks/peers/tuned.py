"""The best loop we can write by hand for these nets on a processor. Every trick is tried, and the fastest
combination of this workload taken:

- arithmetic: float32, bfloat16 autocast, or weights in bfloat16 with float32 masters
- pictures channels-last; torch.compile; all threads or fewer; fused or foreach optimizer
- attention of short sequences as two products and a softmax: the backward of torch's fused kernel is 3 to 8
  times slower in bfloat16
- dropout's masks from packed random bits, which take a quarter of the time of bernoulli_
- all rows as tensors in memory, a batch is one index; texts in the batches that ours learns from
  (`mapsto.data.order`), which rows go
  together being part of the recipe, as a whole or in two pieces of like length
- memory kept on the heap (mallopt) instead of handed back to the kernel each step; no .item() in a step

Variants are tried in turn for a second each, the best two once more, before the first turn; what won is
remembered beside the arrays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import count, pairwise
from statistics import quantiles

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.clock import Clock
from benchmarks.task import Task
from mapsto.data.order import Order
from mapsto.training.memory import keep_heap

TORCH = F.scaled_dot_product_attention, F.dropout
Piece = tuple[tuple[Tensor, ...], Tensor]
Batch = list[Piece]  # that go backward together


@dataclass(frozen=True)
class Variant:
    """One combination of tricks. precision: float32, autocast, or masters (the net itself in bfloat16)."""

    precision: str = "float32"
    channels_last: bool = False
    compiled: bool = False
    threads: int = 1
    fused: bool = True
    by_hand: bool = False  # attention and dropout
    pieces: bool = False  # texts: the shorter rows of a batch apart from the longer


def run(task: Task, clock: Clock) -> None:
    keep_heap()
    variant = chosen(task, quick=clock.quick)
    for rows in steps(task, variant):
        clock.step(rows)


def chosen(task: Task, quick: bool) -> Variant:
    """The fastest variant, measured here or found beside the arrays. quick: a likely one, not measured."""
    path, kind, threads = task.folder / "tuned.json", task.workload.kind, torch.get_num_threads()
    if path.exists():
        return Variant(**json.loads(path.read_text())["best"])
    base, small = Variant(threads=threads, channels_last=kind == "pictures"), kind != "pictures"
    if quick:
        return replace(base, precision="autocast", by_hand=small)
    tried: dict[Variant, float] = {}
    precise = [replace(base, precision=precision) for precision in ("float32", "autocast", "masters")]
    best = _best(task, tried, [*precise, *(replace(variant, by_hand=True) for variant in precise if small)])
    best = _best(
        task,
        tried,
        [best, *(replace(best, threads=n) for n in range(1, threads)), replace(best, fused=False)],
    )
    best = _best(task, tried, [best, replace(best, pieces=True)]) if kind == "texts" else best
    best = _best(task, tried, [best, replace(best, compiled=True)])
    told = [{**asdict(variant), "milliseconds": round(1000 * took, 3)} for variant, took in tried.items()]
    path.write_text(json.dumps({"best": asdict(best), "tried": told}, indent=1))
    return best


def _best(task: Task, tried: dict[Variant, float], variants: list[Variant], seconds: float = 1.0) -> Variant:
    """Of some variants, timed in turn, twice; the lower quartile counts, for what disturbs only slows
    down."""
    running = [(variant, steps(task, variant)) for variant in variants]
    for _, each in running:
        next(each)  # builds, and compiles
        next(each)
    took: dict[Variant, list[float]] = {variant: [] for variant in variants}
    for _ in range(2):
        for variant, each in running:
            torch.set_num_threads(variant.threads)
            _take_over(variant)
            end = time.perf_counter() + seconds
            while time.perf_counter() < end or len(took[variant]) < 2:
                start = time.perf_counter()
                next(each)
                took[variant].append(time.perf_counter() - start)
    tried |= {variant: quantiles(times)[0] for variant, times in took.items()}
    return min(variants, key=lambda variant: tried[variant])


def steps(task: Task, variant: Variant) -> Iterator[int]:
    """The loop itself, as a generator that yields the rows of each step."""
    torch.set_num_threads(variant.threads)
    _take_over(variant)
    net, batches, cast = task.net(), batches_of(task, variant), variant.precision == "autocast"
    net.train()
    if variant.channels_last:
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    masters = (
        [nn.Parameter(p.detach().clone()) for p in net.parameters()] if variant.precision == "masters" else []
    )
    if masters:
        net.bfloat16()
    optimizer = _optimizer(task, net, masters, variant)
    schedule = task.schedule(optimizer)
    weights = list(net.parameters())
    forward: Callable = torch.compile(net) if variant.compiled else net
    total = torch.zeros(())
    for pieces in batches:
        rows = sum(len(target) for _, target in pieces)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            losses = [
                task.loss(forward(*inputs).float(), target) * (len(target) / rows)
                for inputs, target in pieces
            ]
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).sum()
        loss.backward()
        if masters:
            _step_masters(optimizer, masters, weights)
        else:
            optimizer.step()
        schedule.step()
        for p in weights:
            p.grad = None
        total += loss.detach()
        yield rows


def _take_over(variant: Variant) -> None:
    """Put our own functions where the nets look for torch's, or torch's back."""
    F.scaled_dot_product_attention, F.dropout = (attention, dropout) if variant.by_hand else TORCH


def dropout(values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero a share p (to 1/65536) of the values and scale the others up."""
    if not training or not p:
        return values
    bits = torch.empty((values.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    keep = bits[: values.numel()].view(values.shape) < round((1 - p) * 65536) - 32768
    return values * (keep.to(values.dtype) / (1 - p))


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    is_causal: bool = False,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q kᵀ / √H) v by hand. q, k, v (B, N, T, H) -> (B, N, T, H); attn_mask bool, true where a token
    may be seen."""
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5  # (B, N, T, T)
    if is_causal:
        time = q.shape[2]
        scores = scores + torch.full((time, time), -torch.inf, dtype=q.dtype).triu(1)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    return scores.softmax(-1).to(v.dtype) @ v


def _optimizer(
    task: Task, net: nn.Module, masters: list[nn.Parameter], variant: Variant
) -> torch.optim.Optimizer:
    """Over the net's own weights, or over its float32 masters."""
    how = {"fused": True} if variant.fused else {"foreach": True}
    if not masters:
        return task.optimizer(net, **how)
    holder = nn.Module()
    for i, value in enumerate(masters):
        holder.register_parameter(str(i), value)
    return task.optimizer(holder, **how)


def _step_masters(
    optimizer: torch.optim.Optimizer, masters: list[nn.Parameter], weights: list[nn.Parameter]
) -> None:
    """bfloat16 gradients into float32, one step, and the weights back."""
    for master, weight in zip(masters, weights, strict=True):
        master.grad = None if weight.grad is None else weight.grad.float()
    optimizer.step()
    with torch.no_grad():
        torch._foreach_copy_(weights, masters)  # type: ignore[arg-type]


def batches_of(task: Task, variant: Variant) -> Iterator[Batch]:
    """Endless shuffled batches out of memory."""
    kind, size = task.workload.kind, task.workload.batch
    if kind == "windows":
        return _windows(task.array("tokens"), task.about["block"], size)
    if kind == "texts":
        return _texts(task.array("tokens"), task.array("offsets"), task.array("y"), size, variant.pieces)
    rows = tuple(_laid_out(value, variant) for value in task.inputs())
    return _rows(rows, task.array("y"), size)


def _laid_out(values: Tensor, variant: Variant) -> Tensor:
    values = (
        values.bfloat16()
        if variant.precision != "float32" and values.is_floating_point() and values.ndim == 4
        else values
    )
    values = values.bfloat16() if variant.precision == "masters" and values.is_floating_point() else values
    return values.contiguous(memory_format=torch.channels_last) if variant.channels_last else values


def _rows(inputs: tuple[Tensor, ...], target: Tensor, size: int) -> Iterator[Batch]:
    while True:
        for chosen_rows in torch.randperm(len(target)).split(size):
            if len(chosen_rows) == size:
                yield [(tuple(value[chosen_rows] for value in inputs), target[chosen_rows])]


def _windows(tokens: Tensor, block: int, size: int) -> Iterator[Batch]:
    reach = torch.arange(block + 1)
    while True:
        found = tokens[torch.randint(len(tokens) - block, (size, 1)) + reach]
        yield [((found[:, :-1].contiguous(),), found[:, 1:].contiguous())]


def _texts(tokens: Tensor, offsets: Tensor, target: Tensor, size: int, pieces: bool) -> Iterator[Batch]:
    """Rows in the order in which ours learns from them."""
    lengths = offsets.diff()
    matrix = torch.zeros(len(target), int(lengths.max()), dtype=torch.int64)
    matrix[torch.arange(matrix.shape[1]) < lengths[:, None]] = tokens
    order = Order(len(target), 0, lengths.numpy(), size)
    edges = (0, *(order.cuts if pieces else ()), size)
    for step in count():
        chosen_rows = torch.from_numpy(order.take(step * size, size))
        parts = [chosen_rows[low:high] for low, high in pairwise(edges)]
        yield [((matrix[rows, : int(lengths[rows].max())], lengths[rows]), target[rows]) for rows in parts]
