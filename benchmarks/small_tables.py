"""Small tables by five folds: the net beside a linear model, five neighbours and boosted trees, on the same
test rows, and what its 90% sets and intervals hold.

    python -m benchmarks.small_tables FOLDER [--seeds 3] [--only pima sonar] [--minutes 1]

FOLDER: the csv files of TABLES, from the UCI repository, ProPublica and Kaggle. A line of JSON a table: each
answer's metric in the mean over folds and seeds, its rank, and the coverage.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mapsto import api
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked
from mapsto.measure.predictions import TestPredictions
from mapsto.outputs._conformal import in_class_set
from mapsto.run import Run
from mapsto.steps.prepare import record_of

COMPAS = (
    "age sex race priors_count c_charge_degree juv_fel_count juv_misd_count juv_other_count two_year_recid"
)
TABLES: dict[str, dict[str, Any]] = {
    "titanic": {"file": "titanic.csv", "target": "Survived:category"},
    "pima": {"file": "pima-indians-diabetes.csv", "target": "8:category", "header": None},
    "sonar": {"file": "sonar.csv", "target": "60:category", "header": None},
    "wine red": {"file": "winequality-red.csv", "target": "11:number", "header": None},
    "wine white": {"file": "winequality-white.csv", "target": "11:number", "header": None},
    "bike day": {
        "file": "bike-sharing-day.csv",
        "target": "cnt:number",
        "drop": ["instant", "casual", "registered"],
    },
    "compas": {
        "file": "compas-two-years.csv",
        "target": "two_year_recid:category",
        "columns": COMPAS.split(),
    },
}
METRICS = {"category": ("auc", "log_loss"), "number": ("r2", "mae")}
LOWER = ("log_loss", "mae")
FOLDS = 5


def table(folder: Path, told: dict[str, Any]) -> list[dict[str, Any]]:
    """Its rows; names of columns where it has none are their numbers."""
    frame = pd.read_csv(folder / told["file"], header=told.get("header", 0))
    frame = frame[told["columns"]] if "columns" in told else frame.drop(columns=told.get("drop", []))
    frame.columns = [f"x{name}" if isinstance(name, int) else name for name in frame.columns]
    return json.loads(frame.to_json(orient="records"))


def folds(rows: list[dict[str, Any]], signature: str, seed: int, minutes: float, out: Path) -> Iterator[Run]:
    """A run tested on each fold."""
    options = {"folds": FOLDS, "seed": seed, "split_seed": seed, "minutes": minutes}
    for fold in range(FOLDS):
        settings = api.settings_of(options)
        source = as_asked(signature, open_source(rows, settings.reading))
        record = {"data": record_of(source), "asked": signature, "settings": settings.to_json(), "fold": fold}
        yield api.fit(Run.create(out, f"fold-{fold}", record), source, lambda event: None)


def coverage(run: Run) -> np.ndarray:
    """(n,) bool of the test rows: is the truth in its set, or its interval?"""
    (slot,) = run.signature.outputs
    found = TestPredictions.load(run.path, 0)
    assert found is not None
    output, fitted = run.output(slot.name), run.record["calibration"][slot.name]
    if "probability" in found.predicted:
        inside = in_class_set(found.predicted["probability"], fitted["set"])
        return inside[np.arange(len(found.target)), found.target]
    half = output.interval(found.predicted, fitted)
    assert half is not None
    return np.abs(found.predicted["value"] - found.target) <= half


def measured(folder: Path, name: str, seeds: int, minutes: float) -> dict[str, Any]:
    told = TABLES[name]
    target = told["target"] if "header" not in told else f"x{told['target']}"
    rows, metrics = table(folder, told), METRICS[target.split(":")[1]]
    figures: dict[str, dict[str, list[float]]] = {}
    inside, seconds = [], []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as out:
            for run in folds(rows, f"* -> {target}", seed, minutes, Path(out)):
                slot = run.signature.outputs[0].name
                beside = {**run.metrics["baselines"][slot], "net": run.metrics["test"][slot]}
                for answer, scores in beside.items():
                    for metric in metrics:
                        by_metric = figures.setdefault(answer, {}).setdefault(metric, [])
                        by_metric.append(scores[metric]["value"])
                inside.append(coverage(run))
                seconds.append(run.record["seconds"])
    means = {
        answer: {metric: float(np.mean(all_)) for metric, all_ in one.items()}
        for answer, one in figures.items()
    }
    best = sorted(means, key=lambda answer: means[answer][metrics[0]], reverse=metrics[0] not in LOWER)
    return {
        "table": name,
        "rows": len(rows),
        "means": {
            answer: {metric: round(value, 4) for metric, value in one.items()}
            for answer, one in means.items()
        },
        "ranks": {answer: place for place, answer in enumerate(best, start=1)},
        "coverage": round(float(np.concatenate(inside).mean()), 4),
        "seconds": round(float(np.mean(seconds)), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(TABLES))
    parser.add_argument("--minutes", type=float, default=1.0)
    asked = parser.parse_args()
    for name in asked.only:
        print(json.dumps(measured(asked.folder, name, asked.seeds, asked.minutes)), flush=True)


if __name__ == "__main__":
    main()
