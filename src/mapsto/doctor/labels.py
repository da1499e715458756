"""Labels that the inputs do not tell, or that are partly wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mapsto.doctor.base import Complaint, Patient, Unseen, percent

BY_CHANCE = ("auc", "r2", "accuracy")  # metrics at which no answer that ignores the inputs beats the trivial one; the first known is taken
WAY = 0.4  # of the way from trivial to perfect: where an interval reaches further, the rows are too few to say "no signal"
ROWS = 50  # test rows, likewise
SURE = 0.6  # errors among the surer half of rows, beside those among all: a third or less where hard rows are the unsure ones
ERRORS, LEAST = 8, 0.03  # errors among the surer half, as a number and as a share
CLASSES, HALF = 5, 0.5  # fewest classes, and the largest share of errors among all, at which wrong labels can be told from a weak net
SPREAD = 1.6  # the true label's mean place among the classes not chosen, beside what chance gives: hard rows have it second


def no_signal(patient: Patient) -> Iterable[Complaint]:
    """Neither the net nor a linear model nor nearest neighbours beat a constant answer, and the rows are enough to see it if they did."""
    metrics = patient.run.metrics
    if "test" not in metrics:
        raise Unseen("whether the inputs tell the answer: that is measured on test rows when a training is done")
    for slot in patient.run.signature.outputs:
        beside = metrics.get("baselines", {}).get(slot.name, {})
        trivial = next((beside[name] for name in ("majority", "mean") if name in beside), None)
        found = {
            "the net": metrics["test"].get(slot.name, {}),
            **{f"a {name} model": beside[name] for name in ("linear", "nearest") if name in beside},
        }
        name = next((name for name in BY_CHANCE if trivial and trivial.get(name, {}).get("value") is not None), None)
        if name is None or trivial is None or len(found) < 2:
            continue
        base = trivial[name]["value"]
        figures = {who: scores[name] for who, scores in found.items() if scores.get(name, {}).get("low") is not None}
        enough = len(figures) == len(found) and figures["the net"]["n"] >= ROWS
        if enough and all(one["low"] <= base and one["high"] < base + WAY * (1 - base) for one in figures.values()):
            said = ", ".join(f"{who} {one['value']:.3g} ({one['low']:.3g} to {one['high']:.3g})" for who, one in figures.items())
            yield Complaint(
                "no_signal",
                f"the inputs do not tell '{slot.name}': test {name} of {said}; knowing nothing gives {base:.3g}",
                "do the labels stand in their rows? Shuffled, shifted or joined wrongly they look like this; otherwise other inputs are needed",
                (
                    "overfitting",
                    "underfitting",
                    "too_large",
                    "rate_low",
                    "stopped_early",
                    "past_best",
                    "same_answer",
                    "learned_to_ignore",
                    "label_noise",
                ),
                figures={"output": slot.name, "metric": name, "value": figures["the net"]["value"], "trivial": base},
            )


def label_noise(patient: Patient) -> Iterable[Complaint]:
    """Of hard rows the net is unsure, and takes the true class for the second most probable; wrong labels stand among the surest rows too,
    and anywhere among the other classes (the first of these is how Northcutt, Jiang & Chuang 2021 find them). With fewer than five classes
    wrong labels cannot be told from answers that the inputs only partly decide, nor from the answers of a net that is wrong half the time."""
    outputs = patient.learner(patient.trained).arrays(patient.held)
    for slot in patient.run.signature.outputs:
        if patient.run.choice.kinds[slot.name] != "classes":
            continue
        target = patient.held.targets[slot.name].cpu().numpy()  # type: ignore[union-attr]
        found = noise(outputs[slot.name]["probability"][target >= 0], target[target >= 0])
        if found is not None and found["place"] > found["classes"] / 2 / SPREAD:
            yield Complaint(
                "label_noise",
                f"labels of '{slot.name}' seem wrong: {percent(found['share'])} are denied where the net is surest ({found['errors']} of the surer "
                f"{found['rows']:,} rows held back; {percent(found['among'])} of all), and the label given is the net's choice number "
                f"{found['place'] + 1:.1f} of {found['classes']} (near 2 where rows are merely hard, {found['classes'] / 2 + 1:g} by chance)",
                "look at them: mapsto check, and the report's worst errors; mend or drop them, or soften labels: category(smoothing=0.1)",
                ("overfitting",),
                figures=found,
            )


def noise(probability: np.ndarray, target: np.ndarray) -> dict[str, Any] | None:
    """probability (n, K), target (n,) -> how many labels are denied where the net is surest, and where they stand among the classes it did
    not choose (1: second most probable, … K − 1: last; K / 2 by chance). None when there is too little to say."""
    n, classes = probability.shape
    if n < 2 * ERRORS or classes < CLASSES:
        return None
    wrong = probability.argmax(1) != target
    surer = np.argsort(-probability.max(1), kind="stable")[: n // 2]
    errors, share, among = int(wrong[surer].sum()), float(wrong[surer].mean()), float(wrong.mean())
    if errors < ERRORS or not max(LEAST, SURE * among) <= share or among > HALF:
        return None
    place = (probability[wrong] > probability[wrong, target[wrong]][:, None]).sum(1)
    return {"share": share, "among": among, "errors": errors, "rows": len(surer), "classes": classes, "place": float(place.mean())}


LOOKS: Mapping[str, Callable[[Patient], Iterable[Complaint]]] = {"labels the inputs do not tell": no_signal, "label noise": label_noise}
