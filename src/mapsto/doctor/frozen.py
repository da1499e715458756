"""Weights that never moved: is a layer frozen that should learn?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import nn

from mapsto.doctor._probes.gradients import gradients
from mapsto.doctor.base import Issue, Subject, listed, matrices, percent


def frozen(patient: Subject) -> Iterable[Issue]:
    """Matrices that equal their first values bit for bit, although their gradient is not zero: a head is a
    fault, a body may be meant. When nothing at all has moved, the rate is to blame, and `rate` says so."""
    before, after = matrices(patient.first), matrices(patient.trained)
    still = {name for name, value in after.items() if torch.equal(value, before[name])}
    able = {name for name, value in after.items() if value.requires_grad}
    if not still or (able and still >= able):
        return
    slopes = gradients(patient, patient.first)
    still = {name for name in still if slopes[name].gradient > 0}
    heads: Mapping[str, nn.Module] = dict(patient.trained.heads.items())  # type: ignore[union-attr, operator, assignment]
    names = {id(value): name for name, value in patient.trained.named_parameters()}
    of_heads = {
        slot: {names[id(value)] for value in head.parameters() if value.ndim >= 2}
        for slot, head in heads.items()
    }
    for slot, own in of_heads.items():
        if own and own <= still:
            yield Issue(
                "frozen_head",
                f"the head of '{slot}' never learned: after {patient.steps:,} steps its"
                f" {sum(after[n].numel() for n in own):,} weights equal their first ones bit for bit, while"
                f" their gradient's norm is {max(slopes[n].gradient for n in own):.2g}",
                "let it learn: `requires_grad` of its parameters, and the groups of the learner's"
                " `optimizers`",
                ("rate_low", "underfitting", "stopped_early", "units_died", "frozen_layers"),
                figures={
                    "output": slot,
                    "gradient": max(slopes[n].gradient for n in own),
                    "steps": patient.steps,
                },
            )
    others = still - set().union(*of_heads.values())
    if others:
        share = sum(after[name].numel() for name in others) / sum(value.numel() for value in after.values())
        yield Issue(
            "frozen_layers",
            f"{percent(share)} of the weights never moved, although they have a gradient:"
            f" {listed(sorted(others))}",
            "fine if they are frozen on purpose; else let them learn: `requires_grad`, and the groups of the"
            " learner's `optimizers`",
            note=True,
            figures={"share": share},
        )


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {"frozen layers": frozen}
