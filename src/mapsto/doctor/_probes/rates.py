"""The learning rate range test (Smith 2017, "Cyclical Learning Rates", arXiv:1506.01186): the rate grows at
every step, and the loss says which rates the net bears."""

from __future__ import annotations

import copy
import math
from itertools import islice

from mapsto.blocks import Line, Lines, Paragraph, Section
from mapsto.doctor._probes.overfit import steps
from mapsto.doctor.base import Subject

STEPS, LOW, HIGH = 140, 1e-6, 10.0  # 20 steps a power of ten
SMOOTH = 0.85  # of the last smoothed loss in the next
BLOWN = 3.0  # times the lowest smoothed loss, where it ends
FALL = 0.02  # share of its start by which the loss must fall at all
SAFETY = (
    10.0  # the rate of the lowest loss is one at which it is about to rise; a training takes a tenth of it
)


def rate_range(patient: Subject) -> Section:
    """A fresh copy of the net, the run's optimizer and batches. Unseen when the learner has no single
    loss."""
    learner = patient.loss_learner(copy.deepcopy(patient.first))
    grown = [LOW * (HIGH / LOW) ** (step / (STEPS - 1)) for step in range(STEPS)]
    rates, losses, smooth = [], [], []
    for loss in steps(
        learner, islice(learner.batches("train", 0), STEPS), lambda step: grown[step] / patient.rate
    ):
        value = float(loss)
        if not math.isfinite(value):
            break
        rates.append(grown[len(rates)])
        losses.append(value)
        smooth.append(value if not smooth else SMOOTH * smooth[-1] + (1 - SMOOTH) * value)
        if smooth[-1] > BLOWN * min(smooth) and len(smooth) > 10:
            break
    best = min(range(len(smooth)), key=lambda i: smooth[i])
    fell = smooth[best] < (1 - FALL) * smooth[0]
    suggested = rates[best] / SAFETY if fell else None
    blocks = (
        Lines(
            (Line("loss", tuple(rates), tuple(losses)), Line("smoothed", tuple(rates), tuple(smooth))),
            "rate",
            "training loss",
            log_x=True,
        ),
        Paragraph(
            f"From {rates[0]:.1g} to {rates[-1]:.2g} in {len(rates)} steps; the rate to take is a tenth of"
            " that of the lowest smoothed loss."
        ),
    )
    figures = {"suggested": suggested, "lowest_at": rates[best], "rate": patient.rate, "ended_at": rates[-1]}
    return Section(
        "rate_range",
        "Which learning rates does the net bear?",
        _headline(patient.rate, suggested, rates[best]),
        blocks,
        figures,
    )


def _headline(rate: float, suggested: float | None, best: float) -> str:
    if suggested is None:
        return (
            f"None between {LOW:g} and {HIGH:g} lowers the loss in {STEPS} steps: look at the other"
            " complaints first."
        )
    if rate > best:
        beside = f"the run's {rate:g} lies above that: too high"
    elif rate < suggested / 10:
        beside = f"the run's {rate:g} lies far below: too low"
    else:
        beside = f"the run's {rate:g} fits"
    return (
        f"The loss falls up to a rate of {best:.1g}; a training takes about {suggested:.1g} (--lr"
        f" {suggested:.1g}); {beside}."
    )
