"""Learned by heart, not learned at all, or by a net far too large: losses on rows learned from beside rows
held back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from mapsto.doctor._probes.gradients import goes_on
from mapsto.doctor.base import Issue, Losses, NotMeasurable, Subject, percent
from mapsto.errors import MapstoError
from mapsto.models import build

LOST, NEARLY_ALL = 0.5, 0.9  # share of what was learned on training rows that does not hold for others
LOST_LARGE = 0.25  # and with a net far larger than the recipe's
ERRORS = 3.0  # standard errors by which losses on both must differ
LEARNED = 0.05  # share of a constant answer's loss that must be explained before one speaks of learning
BETTER = 0.1  # share of the way from a trivial answer to a linear model by which the net must stay behind
LARGER, PER_ROW = 20.0, 1000.0  # times the weights of the recipe's net, and weights a training row

Both = Mapping[str, tuple[Losses, Losses]]  # by output: on rows learned from, on rows held back
# output, metric, and its figures on test rows: the net's, a linear model's, the trivial answer's
Annotated = tuple[str, str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]


def overfitting(patient: Subject) -> Iterable[Issue]:
    """More than half of what was learned holds for the training rows only. That alone is no harm, as nearest
    neighbours show; it is one where a linear model does better on rows held back, or where next to nothing
    holds."""
    beside = _beside_linear(patient)
    for slot, (learned, held) in _both(patient).items():
        lost = _lost(learned, held)
        if lost <= LOST:
            continue
        worse = beside if beside and beside[0] == slot and _behind(patient, beside) else None
        kept = "nothing" if lost >= 1 else f"only {percent(1 - lost)}"
        linear = (
            f"; a linear model does better (test {worse[1]} {worse[3]['value']:.4g}, the net"
            f" {worse[2]['value']:.4g})"
            if worse
            else ""
        )
        yield Issue(
            "overfitting",
            f"'{slot}' is learned by heart: the loss is {learned.mean:.4g} on training rows, {held.mean:.4g}"
            f" on others, {held.constant:.4g} for a constant answer; {kept} of what was learned holds for"
            f" other rows{linear}",
            "more rows, a smaller net, dropout or a higher --weight-decay, augmentation for pictures",
            ("label_noise", "past_best"),
            note=worse is None and lost <= NEARLY_ALL,
            figures={"output": slot, "train": learned.mean, "held": held.mean, "lost": lost},
        )


def past_best(patient: Subject) -> Iterable[Issue]:
    """Validation got worse long before the end: the best weights are kept, the time is not."""
    best, steps = int(patient.run.record.get("best_step") or 0), patient.steps
    if not best or best > 0.5 * steps or patient.run.choice.best is None or len(patient.curve) < 10:
        return
    slot, name = patient.run.choice.best
    values = [entry["scores"].get(slot, {}).get(name) for entry in patient.curve]
    at = min(range(len(values)), key=lambda i: abs(patient.curve[i]["step"] - best))
    if values[at] is None or values[-1] is None or abs(values[-1] - values[at]) <= 0.1 * abs(values[at]):
        return
    yield Issue(
        "past_best",
        f"validation {name} was best at step {best:,} of {steps:,} ({values[at]:.4g}, at the end"
        f" {values[-1]:.4g}); what followed was lost",
        "the weights kept are those of the best step; fewer steps, or --patience 0.2, save the time",
        note=True,
        figures={"best_step": best, "steps": steps},
    )


def underfitting(patient: Subject) -> Iterable[Issue]:
    """A linear model on the same rows is better, by more than chance and by a good part of what can be
    learned."""
    found = _beside_linear(patient)
    if found is None:
        return
    slot, name, net, linear, _ = found
    if _behind(patient, found) and max(net["low"], linear["low"]) > min(net["high"], linear["high"]):
        yield Issue(
            "underfitting",
            f"a linear model is better: test {name} {linear['value']:.4g} ({linear['low']:.4g} to"
            f" {linear['high']:.4g}), the net {net['value']:.4g} ({net['low']:.4g} to {net['high']:.4g})",
            "more steps, another rate, a wider or deeper net, less dropout; or take the linear model: --model"
            " linear",
            note=not patient.settled or goes_on(patient),  # it was stopped early, and is no worse than that
            figures={"output": slot, "metric": name, "net": net["value"], "linear": linear["value"]},
        )


def _behind(patient: Subject, beside: Annotated) -> bool:
    """Does the net stay behind the linear model by a good part of what can be learned?"""
    slot, name, net, linear, trivial = beside
    far = abs(linear["value"] - net["value"]) > BETTER * abs(linear["value"] - trivial["value"])
    return far and patient.better(slot, name, linear["value"], net["value"])


def _beside_linear(patient: Subject) -> Annotated | None:
    """(output, the metric that decided, the net's figures, a linear model's, the trivial answer's) on test
    rows, where all are known."""
    if patient.run.choice.best is None:
        return None
    (slot, name), metrics = patient.run.choice.best, patient.run.metrics
    beside = metrics.get("baselines", {}).get(slot, {})
    trivial = beside.get("majority") or beside.get("mean") or {}
    found = [
        scores.get(name)
        for scores in (metrics.get("test", {}).get(slot, {}), beside.get("linear", {}), trivial)
    ]
    if (
        any(not one or one["value"] is None or one["low"] is None for one in found[:2])
        or not found[2]
        or found[2]["value"] is None
    ):
        return None
    return slot, name, *found  # type: ignore[return-value]


def too_large(patient: Subject) -> Iterable[Issue]:
    """Many times the weights of the net the recipe would take, on rows too few to hold them down."""
    both = _both(patient)
    weights, usual, rows = (
        _weights(patient.first),
        _recipe_weights(patient),
        patient.run.record["rows"]["train"],
    )
    if weights <= LARGER * usual or weights <= PER_ROW * rows:
        return
    if (
        not both
        or max(
            *(_lost(learned, held, errors=1.0) for learned, held in both.values()),
            _lost_at_the_end(patient, both),
        )
        <= LOST_LARGE
    ):
        return
    yield Issue(
        "too_large",
        f"the net is far too large for the data: {weights:,} weights for {rows:,} training rows; the recipe's"
        f" has {usual:,}. The loss is {_training_loss(patient, both):.4g} on training rows,"
        f" {sum(held.mean for _, held in both.values()):.4g} on others",
        f"a smaller net (leave --model out: {patient.recipe.model}), or more rows",
        ("overfitting", "rate_high", "units_died", "past_best", "label_noise", "underfitting"),
        figures={"weights": weights, "recipe": usual, "rows": rows},
    )


def _lost_at_the_end(patient: Subject, both: Both) -> float:
    """Likewise, of the last training loss rather than that of the weights kept: these may be from before it
    was learned by heart."""
    constant, held = (
        sum(part) for part in zip(*((one.constant, other.mean) for one, other in both.values()), strict=True)
    )
    learned = 1 - _training_loss(patient, both) / constant
    return (learned - (1 - held / constant)) / learned if learned > LEARNED else 0.0


def _training_loss(patient: Subject, both: Both) -> float:
    """The last training loss written down; that of the weights kept, where none was."""
    try:
        return float(patient.training_losses[1][-1])
    except NotMeasurable:
        return sum(learned.mean for learned, _ in both.values())


def _both(patient: Subject) -> Both:
    held = patient.held_losses
    return {slot: (losses, held[slot]) for slot, losses in patient.learned_losses.items() if slot in held}


def _lost(learned: Losses, held: Losses, errors: float = ERRORS) -> float:
    """The share of what was learned on training rows that does not hold for others; 0 where the losses differ
    by no more than so many standard errors, or nothing was learned."""
    if not learned.explained > LEARNED:
        return 0.0
    error = math.hypot(
        *(
            float(np.nanstd(one.rows)) / math.sqrt(max(1, int(np.isfinite(one.rows).sum())))
            for one in (learned, held)
        )
    )
    gap = learned.explained - held.explained
    return gap / learned.explained if held.mean - learned.mean > errors * error else 0.0


def _weights(model: torch.nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


def _recipe_weights(patient: Subject) -> int:
    run, recipe = patient.run, patient.recipe
    if (recipe.model, recipe.model_options) == (run.choice.model, run.choice.model_options):
        return _weights(patient.first)
    try:
        with torch.random.fork_rng(devices=[]):
            return _weights(
                build(recipe.model, run.signature, run.types, recipe.model_options, run.choice.kinds)
            )
    # the model asked for had the inputs read in a way that the recipe's cannot take: nothing to compare with
    except MapstoError:
        return _weights(patient.first)


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {
    "too large a net": too_large,
    "overfitting": overfitting,
    "underfitting": underfitting,
    "steps past the best": past_best,
}
