"""What a step learns from: are rows shuffled, and does a batch hold the answers as the whole set does? Asked
of the learner's own batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor

from mapsto.doctor.base import Issue, NotMeasurable, Subject, percent

# share of rows followed by the next or last row of the file: 2 in n by chance, all of them in file order
NEIGHBOURS = 0.5
WINDOW = 0.5  # how far a batch reaches through the file, beside what chance gives
BETWEEN, SOME = (
    0.7,
    0.3,
    # share of the answers' variation between batches: 1 in B by chance, 1 where each batch has one class;
    # texts
    # of like
)
# length, which stand together to save time, often have like answers, so that a share in between is no more
# than worth knowing
CERTAIN = 4.0  # and so many times what chance gives: of eight batches, less than once in ten thousand


def order(patient: Subject) -> Iterable[Issue]:
    """Rows in the order of the file, or from a narrow window of it."""
    batches = [batch.rows.cpu().numpy() for batch in patient.batches if batch.rows is not None]
    rows = patient.store.rows("train")
    if len(batches) < len(patient.batches):
        raise NotMeasurable("the order of rows: the learner's batches do not say which rows they hold")
    size = len(batches[0])
    if size < 4 or len(rows) < 2 * size:
        return
    places = [np.searchsorted(rows, batch) for batch in batches]
    beside = float(np.mean([np.mean(np.abs(np.diff(place)) == 1) for place in places]))
    reach = float(np.median([np.ptp(place) for place in places])) / (len(rows) - 1)
    chance = (size - 1) / (size + 1)
    if beside > NEIGHBOURS:
        by_chance = f"{percent(2 / len(rows))} by chance"
        what = (
            f"training rows are not shuffled: {percent(beside)} of a batch's rows are followed by their"
            f" neighbour in the file, {by_chance}"
        )
    elif size >= 8 and reach < WINDOW * chance and not list(uniform_classes(patient)):
        what = (
            f"training rows are hardly shuffled: a batch reaches over {percent(reach)} of the file,"
            f" {percent(chance)} if drawn from all of it"
        )
    else:
        return
    advice = (
        "draw each batch from all rows: the default learner does (leave --learner out), or shuffle in the"
        " learner's `batches`"
    )
    follows = (
        "one_class_batches",
        "rate_high",
        "exploding",
        "units_died",
        "overfitting",
        "underfitting",
        "past_best",
        "stopped_early",
    )
    yield Issue("no_shuffle", what, advice, follows, figures={"neighbours": beside, "reach": reach})


def uniform_classes(patient: Subject) -> Iterable[Issue]:
    """Batches whose rows share their answer."""
    whole = patient.learned
    for slot in patient.run.signature.outputs:
        answers = _answers(whole.targets[slot.name], whole.present.get(slot.name), None)
        if answers is None:
            continue
        width = answers.shape[1]
        mean = _mean(answers)
        spread = _mean((answers - mean) ** 2)  # (K,)
        found = [
            _answers(batch.targets[slot.name], batch.present.get(slot.name), width)
            for batch in patient.batches
        ]
        means = np.stack([_mean(one) for one in found if one is not None])  # (batches, K)
        told = spread > 0
        if not told.any():
            continue
        between = float(np.nansum((means - mean)[:, told] ** 2) / len(means) / spread[told].sum())
        size = patient.batches[0].size
        if between > SOME and between * size > CERTAIN:
            yield Issue(
                "one_class_batches",
                f"the rows of a batch have the same answers: {percent(between)} of the variation of"
                f" '{slot.name}' lies between batches rather than within them, {percent(1 / size)} by chance",
                "draw each batch from all rows and all classes (the default learner does: leave --learner"
                " out)",
                (
                    "rate_high",
                    "exploding",
                    "units_died",
                    "overfitting",
                    "underfitting",
                    "past_best",
                    "stopped_early",
                    "same_answer",
                ),
                note=between <= BETWEEN,
                figures={"between": between, "chance": 1 / size, "output": slot.name},
            )


def _mean(columns: np.ndarray) -> np.ndarray:
    """(B, K) -> (K,): of what is known; nan where nothing is."""
    known = np.isfinite(columns)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, columns, 0).sum(0) / np.maximum(count, 1), np.nan)


def _answers(target: object, present: Tensor | None, width: int | None) -> np.ndarray | None:
    """Targets as columns (B, K): a class each, labels, or the number; nan where not known. None for other
    shapes."""
    if not isinstance(target, Tensor) or target.ndim > 2:
        return None
    known = torch.ones_like(target, dtype=torch.bool) if present is None else present
    if target.is_floating_point():
        known = known[:, None] if known.ndim < target.ndim else known  # several numbers a row, known together
        values = torch.where(known, target.double(), torch.nan)
        return (values[:, None] if values.ndim == 1 else values).cpu().numpy()
    if target.ndim > 1:
        return None
    count = width or int(target.max()) + 1
    return np.where(
        known.cpu().numpy()[:, None], np.eye(count)[target.clamp(0, count - 1).cpu().numpy()], np.nan
    )


PROBES: Mapping[str, Callable[[Subject], Iterable[Issue]]] = {
    "shuffling": order,
    "classes within batches": uniform_classes,
}
