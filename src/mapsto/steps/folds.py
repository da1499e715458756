"""The figures of a cross-validation: all folds' predictions together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mapsto.files import write_json
from mapsto.measure.predictions import TestPredictions, joined
from mapsto.measure.scores import score, scored
from mapsto.run import Run
from mapsto.steps.finish import Event, result


def pooled(run: Run, parts: list[Run], seconds: float) -> Event:
    """metrics.json of a cross-validation: the test figures are of all folds' predictions together. What is to
    be told of it, as an event."""
    test: dict[str, Any] = {}
    for number, slot in enumerate(run.signature.outputs):
        kept = [found for part in parts if (found := TestPredictions.load(part.path, number)) is not None]
        if len(kept) == len(parts):
            whole = joined(kept)
            groups = whole.groups if len(whole.groups) else None
            metrics = run.metrics_of(slot.name)
            if whole.statistics:
                test[slot.name] = scored(metrics, whole.statistics, whole.present, groups)
            elif whole.predicted:
                test[slot.name] = score(metrics, whole.predicted, whole.target, whole.present, groups)
            whole.thinned().save(run.path, number)
    by_fold = [part.metrics["test"] for part in parts]
    beside = _mean_baselines([part.metrics.get("baselines", {}) for part in parts])
    write_json(
        run.path / "metrics.json", {**run.metrics, "test": test, "folds": by_fold, "baselines": beside}
    )
    run.save(seconds=round(seconds, 2))
    vars(run).pop("metrics", None)
    folds = [
        {slot: {name: figures["value"] for name, figures in scores.items()} for slot, scores in one.items()}
        for one in by_fold
    ]
    return result(run, test, beside, seconds, folds=folds)


def _mean_baselines(found: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Each baseline's figures over folds: the mean value, and the widest interval of the means of ends."""

    def mean(figures: list[Mapping[str, Any]]) -> dict[str, Any]:
        known = {
            key: [one[key] for one in figures if one[key] is not None] for key in ("value", "low", "high")
        }
        ends = {key: math.fsum(values) / len(values) if values else None for key, values in known.items()}
        return {
            **ends,
            "n": sum(one["n"] for one in figures),
            "definition": figures[0]["definition"] + " (mean over folds)",
        }

    first = found[0]
    return {
        slot: {
            name: {
                metric: mean([one[slot][name][metric] for one in found if name in one.get(slot, {})])
                for metric in scores
            }
            for name, scores in by_name.items()
        }
        for slot, by_name in first.items()
    }
