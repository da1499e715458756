"""Can the net learn one batch by heart? What cannot do even that has a fault in net, loss or optimizer, not
in the data (Karpathy 2019, "A Recipe for Training Neural Networks")."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import nn

from mapsto.batch import Batch
from mapsto.blocks import Line, Lines, Paragraph, Section, Table
from mapsto.doctor.base import Subject, fitted_loss, percent
from mapsto.learners.base import Learner

STEPS = 200
LEFT, ENOUGH = (
    0.1,
    0.02,
)  # of the way from a constant answer's loss to the least possible one: less is "by heart", and where it ends
RATES = (1.0, 0.1, 10.0)  # of the run's own, and then the recipe's, until one does it


def overfit_one_batch(patient: Subject) -> Section:
    """A fresh copy of the net, the run's optimizer at a constant rate, the same rows for at most 200 steps;
    likewise at other rates, where the run's own does not do it. Unseen when the learner has no single
    loss."""
    batch = _plain(patient)
    lines, rows, done, taken = [], [], False, 0
    for factor in dict.fromkeys((*RATES, float(patient.recipe.training.lr or patient.rate) / patient.rate)):
        rate = patient.rate * factor
        losses, left = _learn(patient, batch, factor)
        taken = max(taken, len(losses) - 1)
        lines.append(
            Line(
                f"rate {rate:.3g}",
                tuple(range(len(losses))),
                tuple(value if math.isfinite(value) else None for value in losses),
            )
        )
        rows.append(
            (
                rate,
                losses[0],
                losses[-1] if math.isfinite(losses[-1]) else None,
                percent(left) if math.isfinite(left) else "—",
            )
        )
        if done := left < LEFT:
            break
    return Section(
        "overfit_one_batch",
        "Can the net learn one batch by heart?",
        _headline(rows, batch.size, done, taken),
        (
            Lines(tuple(lines), "step", "loss on the batch"),
            Table(("rate", "loss before", "loss after", "left of a constant answer's"), tuple(rows)),
            Paragraph(
                "Left: how much of the way from the loss of a constant answer to the least possible one is"
                " not done. The same rows, not augmented, at every step."
            ),
        ),
        {"rows": batch.size, "steps": taken, "done": done, "rate": rows[-1][0] if done else None},
    )


def _headline(rows: list[tuple], size: int, done: bool, taken: int) -> str:
    if not done:
        others = ", ".join(f"{row[0]:.2g}" for row in rows[1:])
        return (
            f"No: after {taken} steps on the same {size:,} rows {rows[0][3]} of the loss is left, and no"
            f" better at {others}. Look for a fault in the net, the loss or the optimizer; rows with equal"
            " inputs and different answers cannot be learned by heart either."
        )
    if len(rows) > 1:
        return (
            f"Yes, but not at the run's own rate of {rows[0][0]:g}: at {rows[-1][0]:.2g} it does. Try --lr"
            f" {rows[-1][0]:.1g}."
        )
    return (
        f"Yes: after {taken} steps on the same {size:,} rows {rows[0][3]} of the loss is left. Net, loss and"
        " optimizer work."
    )


def _plain(patient: Subject) -> Batch:
    """The first training batch, neither augmented nor mixed where the store can give its rows again."""
    batch = patient.batches[0]
    if batch.rows is None:
        return replace(batch, parts={})
    return patient.learner(patient.first).ready(patient.store.batch(batch.rows.cpu().numpy()))


def _learn(patient: Subject, batch: Batch, factor: float) -> tuple[list[float], float]:
    """(the loss before each step and after the last, the share of a constant answer's loss that is left). It
    ends when next to nothing is."""
    net = copy.deepcopy(patient.first).train().requires_grad_(True)
    learner = patient.loss_learner(net)
    constant, least = _bounds(patient, batch)
    losses = []
    for loss in steps(learner, (batch for _ in range(STEPS)), lambda step: factor):
        losses.append(float(loss))
        if not math.isfinite(losses[-1]) or losses[-1] - least < ENOUGH * (constant - least):
            break
    with torch.no_grad():
        best = min(_loss(learner, batch, training) for training in (True, False))
    return [*losses, best], max(0.0, (best - least) / max(constant - least, 1e-9))


def _bounds(patient: Subject, batch: Batch) -> tuple[float, float]:
    """The loss of the best constant answer, and the least possible one."""
    with torch.no_grad():
        outputs = copy.deepcopy(patient.first).train()(batch.inputs, size=batch.size)
    heads, known = dict(patient.first.heads.items()), list(patient.rows_of(outputs, batch))  # type: ignore[union-attr, operator]
    constant, least = (
        sum(fitted_loss(heads[name], outputs[name], batch, name, each_row) for name in known)
        for each_row in (False, True)
    )
    return constant, least


def _loss(learner: Learner, batch: Batch, training: bool) -> float:
    """Dropout lies on the one, statistics that lag behind on the other."""
    learner.model.train(training)
    torch.manual_seed(0)
    (rows, counts), _ = learner.loss(batch)
    return float(rows.sum() / counts.sum().clamp(min=1e-8))


def steps(
    learner: Learner, batches: Iterator[Batch], factor_at: Callable[[int], float]
) -> Iterator[torch.Tensor]:
    """Updates as the trainer makes them, at `factor_at(step)` times the peak rate -> the loss before each."""
    optimizers = learner.optimizers()
    clip = learner.training.clip
    for step, batch in enumerate(batches):
        torch.manual_seed(step)
        learner.model.train()
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("peak", group["lr"]) * factor_at(step)
        (rows, counts), _ = learner.loss(learner.ready(batch))
        loss = rows.sum() / counts.sum().clamp(min=1e-8)
        yield loss.detach()
        loss.backward()
        for optimizer in optimizers.values():
            if clip:
                nn.utils.clip_grad_norm_(
                    [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None],
                    clip,
                )
            optimizer.step()
