"""What follows the last step: weights written, predictions calibrated, every figure with its interval, baselines beside them.

The test split is opened here, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from safetensors.torch import save_file

from mapsto.data.store import Store
from mapsto.files import append_json, write_atomic, write_json
from mapsto.learners.base import Collected, Learner
from mapsto.measure import calibration
from mapsto.measure.baseline import baselines, features_of
from mapsto.measure.scores import record, score
from mapsto.run import Run
from mapsto.training.checkpoint import unshared
from mapsto.training.trainer import Trainer

Tell = Callable[[Mapping[str, Any]], None]

TRAIN_ROWS = 5_000  # training rows scored, to show how much was learned by heart


def finish(run: Run, trainer: Trainer, store: Store, tell: Tell, seconds: float) -> None:
    """Write weights, calibration and metrics; then the run is done."""
    learner = trainer.learner
    save_weights(run, learner)
    (run.path / "log.jsonl").unlink(missing_ok=True)
    for entry in trainer.history:
        append_json(run.path / "log.jsonl", entry)
    found = {
        split: learner.collect(split, TRAIN_ROWS if split == "train" else None) for split in ("train", "validation", "test") if store.size(split)
    }
    scales = {
        slot.name: calibration.fit(run.choice.kinds[slot.name], held.predicted[slot.name], held.target[slot.name], held.present[slot.name])
        for slot in run.signature.outputs
        if (held := found.get("validation")) is not None
    }
    groups = _groups(run)
    metrics = {
        split: {
            slot: score(
                run.types["output", slot],
                calibration.calibrated(held.predicted[slot], scales.get(slot, {})),
                held.target[slot],
                held.present[slot],
                None if groups is None else groups[held.rows],
            )
            for slot in held.predicted
        }
        for split, held in found.items()
    }
    beside = _baselines(run, store, found, groups) if "test" in found else {}
    write_json(run.path / "metrics.json", record(metrics, beside))
    if run.record.get("fold") is not None and "test" in found:
        _keep_predictions(run, found["test"])
    run.save(
        status="done",
        calibration=scales,
        seconds=round(seconds, 2),
        steps=trainer.step,
        best_step=trainer.best_step,
        stopped=trainer.stop,
        plan=str(trainer.plan),
    )
    vars(run).pop("metrics", None)
    if run.record.get("fold") != -1:  # a cross-validation is told as a whole, by `pooled`
        _tell_result(run, metrics.get("test", {}), beside, seconds, tell, stopped=trainer.stop, best=trainer.best_of)


def save_weights(run: Run, learner: Learner) -> None:
    """model.safetensors: every weight and buffer by its name in `run.model`."""
    state = unshared({name: value.detach().cpu().contiguous() for name, value in learner.model.state_dict().items()})
    write_atomic(run.path / "model.safetensors", lambda path: save_file(state, path))


def pooled(run: Run, parts: list[Run], tell: Tell, seconds: float) -> None:
    """metrics.json of a cross-validation: the test figures are of all folds' predictions together."""
    test: dict[str, Any] = {}
    for slot in run.signature.outputs:
        room = run.types["output", slot.name]
        kept = [_kept_predictions(part, slot.name) for part in parts]
        joined = {name: np.concatenate([one[name] for one in kept]) for name in kept[0]}
        predicted = {name[10:]: value for name, value in joined.items() if name.startswith("predicted.")}
        test[slot.name] = score(room, predicted, joined["target"], joined["present"])
    by_fold = [part.metrics["test"] for part in parts]
    beside = _mean_baselines([part.metrics.get("baselines", {}) for part in parts])
    write_json(run.path / "metrics.json", {**run.metrics, "test": test, "folds": by_fold, "baselines": beside})
    run.save(seconds=round(seconds, 2))
    vars(run).pop("metrics", None)
    folds = [{slot: {name: figures["value"] for name, figures in scores.items()} for slot, scores in one.items()} for one in by_fold]
    _tell_result(run, test, beside, seconds, tell, folds=folds)


def _tell_result(run: Run, test: Mapping[str, Any], beside: Mapping[str, Any], seconds: float, tell: Tell, **more: Any) -> None:
    """The last event of a training: test figures (definitions stand in metrics.json) and baselines."""
    figures = {
        slot: {name: {key: value for key, value in found.items() if key != "definition"} for name, found in scores.items()}
        for slot, scores in test.items()
    }
    tell({"event": "done", "run": str(run.path), "test": figures, "seconds": round(seconds, 2), "baselines": beside, **more})


def _keep_predictions(run: Run, held: Collected) -> None:
    for number, slot in enumerate(held.predicted):
        arrays = {
            "target": held.target[slot],
            "present": held.present[slot],
            **{f"predicted.{name}": value for name, value in held.predicted[slot].items()},
        }

        def write(path: Any, arrays: dict[str, np.ndarray] = arrays) -> None:
            with path.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

        write_atomic(run.path / f"test-{number}.npz", write)


def _kept_predictions(part: Run, slot: str) -> dict[str, np.ndarray]:
    number = [one.name for one in part.signature.outputs].index(slot)
    with np.load(part.path / f"test-{number}.npz") as kept:
        return {name: kept[name] for name in kept.files}


def _mean_baselines(found: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Each baseline's figures over folds: the mean value, and the widest interval of the means of ends."""

    def mean(figures: list[Mapping[str, Any]]) -> dict[str, Any]:
        known = {key: [one[key] for one in figures if one[key] is not None] for key in ("value", "low", "high")}
        ends = {key: math.fsum(values) / len(values) if values else None for key, values in known.items()}
        return {**ends, "n": sum(one["n"] for one in figures), "definition": figures[0]["definition"] + " (mean over folds)"}

    first = found[0]
    return {
        slot: {
            name: {metric: mean([one[slot][name][metric] for one in found if name in one.get(slot, {})]) for metric in scores}
            for name, scores in by_name.items()
        }
        for slot, by_name in first.items()
    }


def _groups(run: Run) -> np.ndarray | None:
    with np.load(run.path / "rows.npz") as kept:
        return kept["group"] if "group" in kept.files else None


def _baselines(run: Run, store: Store, found: Mapping[str, Collected], groups: np.ndarray | None) -> dict[str, Any]:
    """Trivial answers and a linear or nearest-neighbour model on the same rows, from every input's plain features."""
    if not run.signature.inputs:
        return {}
    train, test = features_of(store, store.rows("train")), features_of(store, store.rows("test"), groups)
    return {
        slot.name: baselines(train[slot.name], test[slot.name], run.types["output", slot.name], run.choice.kinds[slot.name])
        for slot in run.signature.outputs
    }
