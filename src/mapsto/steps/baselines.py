"""What is simple, beside the net and on the same rows: learned, measured and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mapsto.data.store import Store
from mapsto.files import read_arrays, write_atomic
from mapsto.learners.base import Learner
from mapsto.measure.baseline import answers, chosen, features_of
from mapsto.measure.scores import score, scored
from mapsto.metrics import Arrays, Metric
from mapsto.prediction import Measured, any_known
from mapsto.run import Run

COMPARED, POOLED = "baselines.npz", "baseline-statistics.npz"  # of each test row; the latter of a fold alone


def compare_baselines(
    run: Run, learner: Learner, store: Store, groups: np.ndarray | None, held: Measured
) -> dict[str, Any]:
    """{slot: {baseline: its scores}}: trivial answers and a linear or nearest-neighbour model on the same
    rows, from every input's plain features. What each says of each row is kept in baselines.npz, so that the
    net can be compared row by row. Where no plain features tell an answer: what the learner or the type calls
    simple."""
    of = None if groups is None else groups[held.rows]
    found: dict[str, Any] = {}
    kept: dict[str, np.ndarray] = {}
    pooled = _Pooled(run)
    simple = learner.baseline("test") if held.whole else {}  # as large as what it predicts
    for slot, by_name in simple.items():
        target, present, metrics = held.sample.target[slot], held.sample.present[slot], learner.metrics(slot)
        found[slot] = {name: score(metrics, one, target, present, of) for name, one in by_name.items()}
        pooled.add(slot, metrics, by_name, target, present, held.rows, of)
    outputs = {slot.name: run.output(slot.name) for slot in run.signature.outputs}
    rows = store.rows("test")
    if any(output.link for output in outputs.values()) and run.signature.inputs:
        train, test = features_of(store, learner.rows), features_of(store, rows, groups)
        rows = rows[chosen(len(rows))]
        for number, slot in enumerate(outputs):
            output = outputs[slot]
            if slot not in train or not output.link:
                continue
            asked, metrics, metric = test[slot], learner.metrics(slot), output.row_metric
            said = answers(train[slot], asked, output)
            found[slot] = {
                name: score(metrics, one, asked.target, asked.present, asked.groups)
                for name, one in said.items()
            }
            pooled.add(slot, metrics, said, asked.target, asked.present, rows, asked.groups)
            if metric is not None:
                kept |= {
                    f"{number}.{name}": metric.rows(one, asked.target).astype(np.float32)
                    for name, one in said.items()
                }
        _save(run.path / COMPARED, {"rows": rows, **kept})
    pooled.save()
    return found


def pool_baselines(run: Run, parts: Sequence[Run]) -> dict[str, Any]:
    """{slot: {baseline: its scores}} of a cross-validation, over the rows of all folds together, as the net's
    are; of baselines that every fold has."""
    kept = [_load(part) for part in parts]
    found: dict[str, Any] = {}
    for number, slot in enumerate(run.signature.outputs):
        names = [name for name in kept[0] if name.startswith(f"{number}.")]
        shared = [name for name in names if all(name in one for one in kept)]
        joined = {name: np.concatenate([one[name] for one in kept]) for name in shared}
        if not joined:
            continue
        order = np.argsort(joined[f"{number}.rows"], kind="stable")
        joined = {name.partition(".")[2]: values[order] for name, values in joined.items()}
        found[slot.name] = _scored(run.metrics_of(slot.name), joined)
    return found


def _scored(metrics: Sequence[Metric], joined: Arrays) -> dict[str, Any]:
    """{baseline: its scores} of one output, of what `_Pooled` kept of it."""
    by_name: dict[str, dict[str, np.ndarray]] = {}
    for name, values in joined.items():
        baseline, _, metric = name.rpartition("/")
        if baseline:
            by_name.setdefault(baseline, {})[metric] = values
    known, groups = joined["known"], joined.get("groups")
    return {baseline: scored(metrics, one, known, groups) for baseline, one in by_name.items()}


class _Pooled:
    """What the metrics know of each test row of a fold, by baseline. Nothing of other runs."""

    def __init__(self, run: Run):
        self.path, self.asked = run.path / POOLED, "fold" in run.record
        self.numbers = {slot.name: number for number, slot in enumerate(run.signature.outputs)}
        self.arrays: dict[str, np.ndarray] = {}

    def add(
        self,
        slot: str,
        metrics: Sequence[Metric],
        said: Mapping[str, Arrays],
        target: np.ndarray,
        present: np.ndarray,
        rows: np.ndarray,
        groups: np.ndarray | None,
    ) -> None:
        if not self.asked or not said:
            return
        own, known = f"{self.numbers[slot]}.", any_known(present)
        self.arrays |= {f"{own}rows": rows[known], f"{own}known": np.ones(known.sum(), bool)}
        if groups is not None:
            self.arrays[f"{own}groups"] = groups[known]
        for name, arrays in said.items():
            shown = {what: values[known] for what, values in arrays.items()}
            for metric in metrics:
                statistics = np.asarray(metric.rows(shown, target[known]), np.float64)  # dates are large
                self.arrays[f"{own}{name}/{metric.name}"] = statistics

    def save(self) -> None:
        if self.arrays:
            _save(self.path, self.arrays)


def _load(run: Run) -> dict[str, np.ndarray]:
    path = run.path / POOLED
    return read_arrays(path, []) if path.exists() else {}


def _save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    write_atomic(path, write)
