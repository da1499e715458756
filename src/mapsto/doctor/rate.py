"""The learning rate: too high, too low. Told from what one step does to the weights, from the curve, and from
where the weights went."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from mapsto.doctor._probes.gradients import NOISE, goes_on, step_sizes, way
from mapsto.doctor.base import PASSES, Issue, NotMeasurable, Subject, percent
from mapsto.errors import MapstoError

# |Δw| / |w| of one step at the peak rate, the median over matrices: a step of half a matrix overwrites what
# others learned
LARGE = 0.5
# about 1/1000 is a good step (Karpathy 2019), our recipes begin at 1/100; a thousandth of them lies far below
SMALL = 5e-4
# how far the training loss may rise above what it started from, beside 3 standard errors of an interval's
# mean
SPIKE = 0.15
AHEAD = (
    1.0  # what lies ahead on the way from the first weights to the trained ones, beside what was gained on it
)
SOUND = "0.1% to 10% in sound runs"

HARMS = (
    "units_died",
    "underfitting",
    "overfitting",
    "same_answer",
    "past_best",
    "stopped_early",
    "vanishing",
    "learned_to_ignore",
    "label_noise",
)


def high(patient: Subject) -> Iterable[Issue]:
    """Rolled back for a loss that was no number; steps as large as the weights; or a training loss that rose.
    Of a run whose data is gone the first and the last are told from what it wrote down."""
    step, start = _or_nan(lambda: typical_step(patient)), _or_nan(lambda: patient.start)
    evidence, figures = [], {}
    backs = [decision["why"] for decision in patient.decisions if "rate" in decision]
    if backs or "became no number" in str(patient.run.record.get("problem", "")):
        evidence.append(backs[0] if backs else str(patient.run.record["problem"]).splitlines()[0].rstrip("."))
        figures["rolled_back"] = len(backs)
    if step > LARGE:
        evidence.append(_said(patient, step))
        figures["step"] = step
    if rise := _rise(patient, start):
        evidence.append(
            f"the training loss rose to {rise[0]:.4g} by step {rise[1]:,}, from {rise[2]:.4g} at the start"
        )
        figures["rise"], figures["start"] = rise[0], rise[2]
    if evidence:
        yield Issue(
            "rate_high",
            "the learning rate is too high: " + "; ".join(evidence),
            _lower(patient, step),
            HARMS,
            figures=figures,
        )


def _said(patient: Subject, step: float) -> str:
    return (
        f"one step at the peak rate {patient.rate:g} changes a typical weight matrix by {percent(step)} of"
        f" its size ({SOUND})"
    )


def typical_step(patient: Subject) -> float:
    """|Δw| / |w| of the first step at the peak rate, the median over matrices; nan when none gets a
    gradient."""
    sizes = step_sizes(patient)
    return float(np.median(list(sizes.values()))) if sizes else math.nan


def _or_nan(find: Callable[[], float]) -> float:
    try:
        return find()
    except MapstoError:
        return math.nan


def _rise(patient: Subject, start: float) -> tuple[float, int, float] | None:
    """(the largest mean training loss of an interval, its step, what it started from), when it lies above the
    loss before the first step by more than chance; above that of the first steps where nobody can measure it
    any more."""
    try:
        steps, losses = patient.training_losses
    except NotMeasurable:
        return None
    rows = np.diff(np.r_[0, steps]) * (patient.run.choice.training.batch or 1)
    start = float(losses[0]) if math.isnan(start) else start
    rises = losses > start * (1 + SPIKE + 3 / np.sqrt(rows))  # a row's loss spreads about as much as its mean
    worst = int(np.argmax(np.where(rises, losses, -np.inf)))
    return (float(losses[worst]), int(steps[worst]), start) if rises.any() else None


def low(patient: Subject) -> Iterable[Issue]:
    """Small steps, and going on straight along the way from the first weights to the trained ones would gain
    more than the whole training did: it has hardly begun."""
    losses, ahead, factor = way(patient)
    step, gained = typical_step(patient), losses[0] - losses[1]
    if step < SMALL and ahead > AHEAD * gained and ahead > NOISE * abs(losses[0]):
        yield Issue(
            "rate_low",
            f"the learning rate is too low: {patient.steps:,} steps brought the training loss from"
            f" {losses[0]:.4g} to {losses[1]:.4g}; {factor:g} times as far along the same straight line it"
            f" would be {losses[1] - ahead:.4g}; {_said(patient, step)}",
            _higher(patient, step),
            ("underfitting", "stopped_early", "same_answer", "learned_to_ignore"),
            figures={
                "gained": gained,
                "ahead": ahead,
                "factor": factor,
                "step": step,
                "steps": patient.steps,
            },
        )


def stopped_early(patient: Subject) -> Iterable[Issue]:
    """Steps of a good size, but few of them: no sickness."""
    losses, ahead, factor = way(patient)
    further = goes_on(patient)
    if further or not patient.settled:
        line = (
            f"{factor:g} times as far along the same straight line the training loss would be"
            f" {losses[1] - ahead:.4g} rather than {losses[1]:.4g}"
        )
        passes = (
            patient.steps * (patient.run.choice.training.batch or 1) / patient.run.record["rows"]["train"]
        )
        few = (
            f"it saw each row {passes:.1f} times"
            if passes < PASSES
            else "the last quarter of the steps brought more than 5% of the whole fall"
        )
        what = line if further else few
        yield Issue(
            "stopped_early",
            f"the net was still learning when it stopped: {what}",
            f"more than {patient.steps:,} steps",
            note=True,
            figures={"steps": patient.steps},
        )


def _lower(patient: Subject, step: float) -> str:
    return _advice(patient, patient.rate * min(0.1, 0.03 / step if step > 0 else 0.1))


def _higher(patient: Subject, step: float) -> str:
    return _advice(patient, patient.rate * max(10.0, 0.01 / max(step, 1e-9)))


def _advice(patient: Subject, wanted: float) -> str:
    """The recipe's rate, where it lies on the side that is wanted; else the one wanted."""
    recipe, chosen = patient.recipe.training, patient.run.choice.training
    usual = float(recipe.lr or 0)
    better = recipe.optimizer == chosen.optimizer and (
        usual < patient.rate / 3 if wanted < patient.rate else usual > 3 * patient.rate
    )
    rate = f"--lr {usual:g} (the recipe's)" if better else f"--lr {wanted:.1g}"
    return f"{rate}; what this net bears is measured by: mapsto doctor {patient.run.path} --rate-range"


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {
    "too high a rate": high,
    "too low a rate": low,
    "a stop too early": stopped_early,
}
