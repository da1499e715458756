"""Gradients that vanish on their way back, or explode (Hochreiter 1991; Bengio, Simard & Frasconi 1994)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

from mapsto.doctor._probes.gradients import Slope, gradients
from mapsto.doctor.base import Issue, NotMeasurable, Subject

# smallest beside largest gradient per weight's size between a net's layers; 1/300 to 1 in sound nets
VANISHED = 1e-5
# |gradient| · |weight| / loss: changing a matrix by one percent then changes the loss by all of itself; about
# 1 in sound nets
EXPLODED = 100.0


def vanishing(patient: Subject) -> Iterable[Issue]:
    """Layers behind the stems of which one hardly gets a gradient, beside the one that gets most. Stems are
    left out: of an embedding's rows a batch touches few. Measured at the trained weights: blocks that begin
    as the identity have no gradient before the first step.
    """
    try:
        model = patient.trained
    except NotMeasurable:
        model = patient.first
    slopes = {
        name: slope
        for name, slope in gradients(patient, model).items()
        if "stems" not in name.split(".") and slope.weight
    }
    sizes = {name: slope.gradient / slope.weight for name, slope in slopes.items()}
    if len(sizes) < 2 or not max(sizes.values()) or not all(map(math.isfinite, sizes.values())):
        return
    least, most = min(sizes, key=lambda name: sizes[name]), max(sizes, key=lambda name: sizes[name])
    if sizes[least] < VANISHED * sizes[most]:
        yield Issue(
            "vanishing",
            f"the gradient vanishes: beside its weights it is {sizes[least]:.1e} in '{least}',"
            f" {sizes[most]:.1e} in '{most}'",
            "normalise between layers (norm=layer or batch), use relu or gelu with He's first weights, or"
            " shortcuts as in resnet",
            (
                "underfitting",
                "rate_low",
                "stopped_early",
                "frozen_layers",
                "same_answer",
                "learned_to_ignore",
            ),
            figures={"least": sizes[least], "most": sizes[most], "where": least},
        )


def exploding(patient: Subject) -> Iterable[Issue]:
    """At the first weights: how many times the loss changes by its own size when a matrix does."""
    slopes, loss = gradients(patient, patient.first), patient.start
    wrong = next((name for name, slope in slopes.items() if not math.isfinite(slope.gradient)), None)
    if wrong is not None or not math.isfinite(loss):
        what = (
            f"the gradient of '{wrong}' is no number before the first step"
            if wrong
            else "the loss is no number before the first step"
        )
        yield Issue(
            "exploding",
            what,
            "look for infinite or huge values in the inputs and in the net's first weights",
            figures={"where": wrong or ""},
        )
        return
    steep = {name: _elasticity(slope, loss) for name, slope in slopes.items()}
    worst = max(steep, key=lambda name: steep[name], default=None)
    if worst is not None and steep[worst] > EXPLODED:
        yield Issue(
            "exploding",
            f"the gradient explodes: before the first step, a change of '{worst}' by 1% changes the loss by"
            f" {steep[worst]:,.0f}% (1% in sound nets)",
            "normalise inputs and layers, use He's or Xavier's first weights, and a --clip of 1",
            ("rate_high", "units_died", "underfitting"),
            figures={"elasticity": steep[worst], "where": worst},
        )


def _elasticity(slope: Slope, loss: float) -> float:
    return slope.gradient * slope.weight / max(abs(loss), 1e-12)


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {
    "vanishing gradients": vanishing,
    "exploding gradients": exploding,
}
