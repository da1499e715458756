"""The figures of a cross-validation: all folds' predictions together."""

from __future__ import annotations

from typing import Any

from mapsto.files import write_json
from mapsto.measure.predictions import TestPredictions, joined
from mapsto.measure.scores import score, scored
from mapsto.run import Run
from mapsto.steps.baselines import pool_baselines
from mapsto.steps.finish import Event, result


def pooled(run: Run, parts: list[Run], seconds: float) -> Event:
    """metrics.json of a cross-validation: the test figures, those of baselines too, are of all folds'
    predictions together. What is to be told of it, as an event."""
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
    beside = pool_baselines(run, parts)
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
