"""Models over one device's memory: of each weight, its gradient, moments and average every process keeps a
part (FSDP, Zhao et al. 2023, arXiv:2304.11277; here PyTorch's `fully_shard`). Blocks are put together when
they compute, and let go again.

Where all fits, processes hold copies: only gradients travel then. What is evaluated and used is a whole model
in the first process, so the weights alone must fit into a device. Candidates are not timed: they would have
to be whole for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from mapsto.batch import Batch
from mapsto.errors import ConfigError
from mapsto.learners.base import Learner
from mapsto.training import memory
from mapsto.training.arithmetic import has_bfloat16
from mapsto.training.distributed import Copies, Group
from mapsto.training.machine import waited
from mapsto.training.plan import Plan, apply
from mapsto.training.step import Updater

ROWS = 2  # that activations are measured with: batch norm takes no single one
MOMENTS = {"sgd": 1, "adamw": 2, "muon": 2}
STEPS = 3  # that are timed, of which the least counts


def weights(learner: Learner, group: Group, recorded: Mapping[str, Any] | None) -> Copies:
    """How the weights of a learner in a group are held: as the record says, or by what the first process
    finds. ConfigError where they must be shared and the settings do not allow it."""
    if recorded:
        shared, per_row = recorded.get("sharded", False), recorded.get("bytes_per_row", 0)
    else:
        per_row = _bytes_per_row(learner)
        shared, per_row = group.broadcast((_beyond(learner, group, per_row), per_row))
    if not shared:
        return Copies()
    from mapsto.training.shares import Shares  # a second to import

    _refuse(learner, group)
    return Shares(learner, group, per_row)


def _beyond(learner: Learner, group: Group, per_row: int) -> bool:
    """Is a device, which holds the weights already, too small for gradients, moments, average and the
    activations of a few rows?"""
    allowed = (
        memory.SHARE * memory.allowed(learner.device) / (group.size if learner.device.type == "cpu" else 1)
    )
    return not per_row or _state(learner) + ROWS * per_row > allowed


def _state(learner: Learner) -> int:
    """Bytes of gradients, moments and average."""
    values = sum(p.numel() * p.element_size() for p in learner.model.parameters() if p.requires_grad)
    return values * (1 + MOMENTS.get(learner.training.optimizer or "", 2) + bool(learner.training.ema))


def _bytes_per_row(learner: Learner) -> int:
    """Kept for the backward pass; 0 where a few rows do not pass, 1 where there is no one loss to ask.
    Buffers and the learner's state stay."""
    if type(learner).loss is Learner.loss:
        return 1
    model = learner.model.train()
    before = [(value, value.clone()) for value in model.buffers()]
    held = {name: value.clone() for name, value in learner.state_dict().items()}
    heaviest = learner.probes()[1]
    rows = learner.ready(heaviest.slice(0, min(ROWS, heaviest.size)))
    try:
        with memory.Saved(model.parameters()) as saved:
            learner.loss(rows)
    except torch.OutOfMemoryError:
        return 0
    finally:
        for value, was in before:
            value.copy_(was)
        learner.load_state_dict(held)
    return max(1, saved.bytes // rows.size)


def _refuse(learner: Learner, group: Group) -> None:
    """ConfigError where a setting does not go with parts of weights."""
    training, size = learner.training, group.size
    batch, large = (
        training.batch or 1,
        "the model is too large for one device, so its weights must be shared out, but",
    )
    if type(learner).step is not Learner.step or type(learner).loss is Learner.loss:
        raise ConfigError(f"{large} this way of learning makes its updates itself.\nChoose a smaller model.")
    if training.optimizer == "muon":
        raise ConfigError(
            f"{large} muon needs whole matrices.\nGive --optimizer adamw, or choose a smaller model."
        )
    if training.precision == "float16":
        raise ConfigError(
            f"{large} float16 needs one scale for all.\nGive --precision bfloat16, or choose a smaller model."
        )
    if batch % size:
        raise ConfigError(
            f"{large} {size} processes can not share {batch} rows alike.\nGive --batch"
            f" {-(-batch // size) * size}."
        )


def plan(updater: Updater, steps: int | None, left: float) -> Plan:
    """The plan for shared weights. Its steps are timed, but nothing is compared: candidates that each process
    would choose by its own clock can not wait for each other. bfloat16 on GPUs that have it, unless asked
    otherwise; as many rows at once as are estimated to fit.
    """
    learner, group, weights = updater.learner, updater.group, updater.weights
    training = learner.training
    device, low = learner.device, learner.device.type == "cuda" and has_bfloat16(learner.device)
    batch = group.share(next(learner.batches("train", 0)))
    left_over = memory.SHARE * memory.allowed(device) - _state(learner) / group.size
    micro, most = (
        training.micro_batch or batch.size,
        max(1, int(left_over / (2.5 * weights.per_row))) if weights.per_row else 1,
    )
    while not training.micro_batch and micro > most:
        micro = -(-micro // 2)
    precision = training.precision or ("bfloat16" if low else "float32")
    threads = training.threads or torch.get_num_threads()
    found = Plan(
        str(device),
        precision,
        threads=threads,
        micro_batch=micro,
        bytes_per_row=weights.per_row,
        processes=group.size,
        sharded=True,
    )
    updater.plan = found = Plan(**group.broadcast(asdict(found)))
    apply(found, learner)
    took = _timed(updater, batch) / len(batch.pieces(found.micro_batch))
    return replace(found, seconds={"default": took}, seconds_per_micro=took)


def _timed(updater: Updater, batch: Batch) -> float:
    """Seconds of a step. Nothing stays of it."""
    learner = updater.learner
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    updater.fresh()
    optimizer = updater.optimizers["main"]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    ready, took = learner.ready(batch), math.inf
    for _ in range(STEPS):
        start = waited(learner.device)
        updater.begin(0)
        updater.gradients(learner.loss, ready, optimizer)
        updater.apply(optimizer)
        took = min(took, waited(learner.device) - start)
    learner.model.load_state_dict(before)
    learner.model.zero_grad(set_to_none=True)
    return took
