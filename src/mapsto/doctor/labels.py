"""Labels that the inputs do not tell, or that are partly wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mapsto.batch import key
from mapsto.doctor.base import Issue, NotMeasurable, Subject, percent
from mapsto.measure.baseline import Features, answers, features_of
from mapsto.measure.scores import score

BY_CHANCE = (
    "auc",
    "r2",
    "accuracy",
)  # metrics at which no answer that ignores the inputs beats the trivial one; the first known is taken
ROWS, MOST_ROWS = (
    50,
    4_000,
)  # fewest test rows to say anything from; most rows that plain models are asked about
DOUBTFUL, CERTAIN = (
    2.0,
    1.5,
)  # intervals (95%) by which a value must lie above chance: to be beyond suspicion, and to be signal
# of the way from chance to perfect: where an interval reaches further, the rows are too few to say "no
# signal"
WAY = 0.3
# errors among the surer half of rows, beside those among all: a third or less where hard rows are the unsure
# ones
SURE = 0.6
ERRORS, LEAST = 8, 0.03  # errors among the surer half, as a number and as a share
CLASSES, HALF = (
    5,
    0.5,
    # fewest classes, and the largest share of errors among all, at which wrong labels can be told from a weak
    # net
)
# the true label's mean place among the classes not chosen, beside what chance gives: hard rows have it second
SPREAD = 1.6


EXPLAINED_BY_NO_SIGNAL = (
    *("overfitting", "underfitting", "too_large", "rate_low", "stopped_early", "past_best"),
    *("same_answer", "learned_to_ignore", "label_noise"),
)


def no_signal(patient: Subject) -> Iterable[Issue]:
    """Neither the net nor plain models beat a constant answer. Where those on the test rows may have failed
    by chance, plain models are asked again about all rows, each half of them predicted from the other."""
    metrics = patient.run.metrics
    if "test" not in metrics:
        raise NotMeasurable(
            "whether the inputs tell the answer: that is measured on test rows when a training is done"
        )
    for slot in patient.run.signature.outputs:
        net, beside = (
            metrics["test"].get(slot.name, {}),
            dict(metrics.get("baselines", {}).get(slot.name, {})),
        )
        name = next((name for name in BY_CHANCE if net.get(name, {}).get("low") is not None), None)
        if name is None or net[name]["n"] < ROWS or not _unlike(beside):
            continue
        if any(
            _above(one[name], _chance(beside, name), DOUBTFUL) for one in (net, *_unlike(beside).values())
        ):
            continue
        again = cross_fitted(patient, slot.name)
        found, base = _unlike(again), _chance(again, name)
        if found and all(_no_better(one[name], base) for one in found.values()):
            plain = ", ".join(f"a {who} model {_said(one[name])}" for who, one in found.items())
            rows = next(iter(found.values()))[name]["n"]
            yield Issue(
                "no_signal",
                f"the inputs do not tell '{slot.name}': test {name} of the net {_said(net[name])}; of all"
                f" {rows:,} rows, each half predicted from the other: {plain}; knowing nothing gives"
                f" {base:.3g}",
                "do the labels stand in their rows? Shuffled, shifted or joined wrongly they look like this;"
                " otherwise other inputs are needed",
                EXPLAINED_BY_NO_SIGNAL,
                figures={
                    "output": slot.name,
                    "metric": name,
                    "net": net[name]["value"],
                    "trivial": base,
                    "rows": rows,
                },
            )


def cross_fitted(patient: Subject, slot: str) -> Mapping[str, Any]:
    """{"majority" or "mean", "linear", "nearest": scores} over a sample of all rows, each half predicted from
    the other."""
    output = patient.run.output(slot)
    rows = np.concatenate([patient.store.rows(split) for split in ("train", "validation", "test")])
    rows = np.random.default_rng(key("doctor", "halves")).permutation(rows)[:MOST_ROWS]
    whole = features_of(patient.store, rows)[slot]
    halves = [np.arange(len(rows)) % 2 == k for k in (0, 1)]
    weights = [None if whole.weight is None else whole.weight[half] for half in halves]
    parts = [
        Features(whole.values[half], whole.target[half], whole.present[half], weight=weight)
        for half, weight in zip(halves, weights, strict=True)
    ]
    found = [
        answers(learned, asked, output) for learned, asked in (parts, reversed(parts))
    ]  # of the second half, of the first
    target, present = (
        np.concatenate([getattr(part, what) for part in reversed(parts)]) for what in ("target", "present")
    )
    shared = [name for name in found[0] if name in found[1]]
    return {
        name: score(
            output.metrics,
            {k: np.concatenate([one[name][k] for one in found]) for k in found[0][name]},
            target,
            present,
        )
        for name in shared
    }


def _unlike(beside: Mapping[str, Any]) -> dict[str, Any]:
    """Models that look at the inputs."""
    return {name: scores for name, scores in beside.items() if name in ("linear", "nearest")}


def _chance(beside: Mapping[str, Any], name: str) -> float:
    return next(
        (float(beside[trivial][name]["value"]) for trivial in ("majority", "mean") if trivial in beside),
        math.nan,
    )


def _above(figures: Mapping[str, Any], base: float, intervals: float) -> bool:
    """Does a value lie above chance by so many times its distance from its interval's lower end?"""
    return (
        figures["value"] is not None
        and figures["value"] - intervals * (figures["value"] - figures["low"]) > base
    )


def _no_better(figures: Mapping[str, Any], base: float) -> bool:
    """Can chance have given this value, and is nothing good among those it could be?"""
    return (
        figures["high"] is not None
        and not _above(figures, base, CERTAIN)
        and figures["high"] < base + WAY * (1 - base)
    )


def _said(figures: Mapping[str, Any]) -> str:
    return f"{figures['value']:.3g} ({figures['low']:.3g} to {figures['high']:.3g})"


def label_noise(patient: Subject) -> Iterable[Issue]:
    """Of hard rows the net is unsure, and takes the true class for the second most probable; wrong labels
    stand among the surest rows too, and anywhere among the other classes (the first of these is how
    Northcutt, Jiang & Chuang 2021 find them). With fewer than five classes wrong labels cannot be told from
    answers that the inputs only partly decide, nor from the answers of a net that is wrong half the time.
    """
    outputs = patient.learner(patient.trained).arrays(patient.held)
    for slot in patient.run.signature.outputs:
        if not patient.run.output(slot.name).exclusive:
            continue
        target = patient.held.targets[slot.name].cpu().numpy()  # type: ignore[union-attr]
        found = noise(outputs[slot.name]["probability"][target >= 0], target[target >= 0])
        if found is not None and found["place"] > found["classes"] / 2 / SPREAD:
            yield Issue(
                "label_noise",
                f"labels of '{slot.name}' seem wrong: {percent(found['share'])} are denied where the net is"
                f" surest ({found['errors']} of the surer {found['rows']:,} rows held back;"
                f" {percent(found['among'])} of all), and the label given is the net's choice number"
                f" {found['place'] + 1:.1f} of {found['classes']} (near 2 where rows are merely hard,"
                f" {found['classes'] / 2 + 1:g} by chance)",
                "look at them: mapsto check, and the report's worst errors; mend or drop them, or soften"
                " labels: category(smoothing=0.1)",
                ("overfitting",),
                figures=found,
            )


def noise(probability: np.ndarray, target: np.ndarray) -> dict[str, Any] | None:
    """probability (n, K), target (n,) -> how many labels are denied where the net is surest, and where they
    stand among the classes it did not choose (1: second most probable, … K − 1: last; K / 2 by chance). None
    when there is too little to say.
    """
    n, classes = probability.shape
    if n < 2 * ERRORS or classes < CLASSES:
        return None
    wrong = probability.argmax(1) != target
    surer = np.argsort(-probability.max(1), kind="stable")[: n // 2]
    errors, share, among = int(wrong[surer].sum()), float(wrong[surer].mean()), float(wrong.mean())
    if errors < ERRORS or not max(LEAST, SURE * among) <= share or among > HALF:
        return None
    place = (probability[wrong] > probability[wrong, target[wrong]][:, None]).sum(1)
    return {
        "share": share,
        "among": among,
        "errors": errors,
        "rows": len(surer),
        "classes": classes,
        "place": float(place.mean()),
    }


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {
    "labels the inputs do not tell": no_signal,
    "label noise": label_noise,
}
