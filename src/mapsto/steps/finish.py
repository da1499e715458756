"""What follows the last step: weights written, predictions calibrated, every figure with its interval,
baselines beside them.

The test split is opened here, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from safetensors.torch import save_file

from mapsto.data.split import TEST
from mapsto.data.store import Store
from mapsto.files import append_json, sha256, write_atomic, write_json
from mapsto.learners.base import Learner
from mapsto.measure import ood
from mapsto.measure.predictions import TestPredictions, file_of
from mapsto.measure.scores import Scores, record, score, scored
from mapsto.prediction import Keep, Measured, Predictions, any_known
from mapsto.registry.trust import flags
from mapsto.run import Run
from mapsto.run.folder import WEIGHTS
from mapsto.source import SPLITS
from mapsto.steps.baselines import compare_baselines
from mapsto.steps.cautions import cautions
from mapsto.training import memory
from mapsto.training.checkpoint import unshared
from mapsto.training.trainer import Trainer

Event = dict[str, Any]

TRAIN_ROWS = 5_000  # training rows scored, to show how much was learned by heart


def finish(run: Run, trainer: Trainer, store: Store, seconds: float) -> tuple[Event, dict[str, Predictions]]:
    """Write weights, calibration and metrics; then the run is done. What is to be told of it, as an event,
    and what was predicted, by split."""
    memory.release_heap()
    learner = trainer.learner
    weights = save_weights(run, learner)
    (run.path / "log.jsonl").unlink(missing_ok=True)
    for entry in trainer.best_weights.history:
        append_json(run.path / "log.jsonl", entry)
    found, scales, heard = _measured(run, learner)
    groups = _groups(run)
    metrics = {split: _scores(run, learner, held, scales, groups) for split, held in found.items()}
    metrics = metrics or _own_figures(learner)
    parts = _parts(run, learner, found.get("test"), scales, groups)
    beside = compare_baselines(run, learner, store, groups, found["test"]) if "test" in found else {}
    write_json(run.path / "metrics.json", record(metrics, beside, parts))
    _keep_predictions(run, learner, found.get("test"), scales, groups)
    run.save(
        status="done",
        calibration=scales,
        weights=weights,
        parameters=sum(value.numel() for value in learner.model.parameters()),
        seconds=round(seconds, 2),
        steps=trainer.step,
        best_step=trainer.best_weights.step,
        stopped=trainer.stop,
        plan=str(trainer.plan),
        plan_measured=asdict(trainer.plan),
        speed=trainer.speed(),
        novelty=_novelty(run, learner, store, heard),
        **({"learned": learned} if (learned := learner.record()) else {}),
    )
    for name in ("metrics", "novelty"):
        vars(run).pop(name, None)
    test = metrics.get("test", {})
    more: Event = {"stopped": trainer.stop, "best": trainer.best_weights.of, "parts": values_of(parts)}
    if beside and len(learner.learns_from) > 1:  # else the rows that everyone expects
        more["learned_from"] = {"splits": list(learner.learns_from), "rows": len(learner.rows)}
    more["cautions"] = cautions(run, trainer, test, beside)
    run.save(cautions=more["cautions"])
    samples = {
        split: held.sample.take(np.isin(held.sample.rows, store.rows(split)))
        for split, held in found.items()
        if len(held.sample.rows)
    }
    return result(run, test, beside, seconds, **more), samples


def measure_anew(run: Run, learner: Learner, store: Store, **changes: Any) -> dict[str, Scores]:
    """Of a run whose net has learned on: weights, calibration, figures and what was predicted, made anew;
    baselines know nothing of what came later, and stay. The test figures, by output. Killed midway the run is
    unfinished, never one with another's weights."""
    run.save(status="running")
    weights = save_weights(run, learner)
    found, scales, heard = _measured(run, learner)
    groups = _groups(run)
    metrics = {split: _scores(run, learner, held, scales, groups) for split, held in found.items()}
    parts = _parts(run, learner, found.get("test"), scales, groups)
    write_json(run.path / "metrics.json", record(metrics, run.metrics.get("baselines", {}), parts))
    _keep_predictions(run, learner, found.get("test"), scales, groups)
    novelty = _novelty(run, learner, store, heard)
    run.save(status="done", calibration=scales, weights=weights, novelty=novelty, **changes)
    for name in ("metrics", "novelty", "calibration"):
        vars(run).pop(name, None)
    return metrics.get("test", {})


def _scores(
    run: Run,
    learner: Learner,
    held: Measured,
    scales: Mapping[str, Any],
    groups: np.ndarray | None,
    at: np.ndarray | None = None,
) -> dict[str, Scores]:
    """Every metric of every output over measured rows; at (n,) bool: over these."""
    at = np.ones(len(held), bool) if at is None else at
    of = None if groups is None else groups[held.rows][at]
    if not held.whole:
        return {
            slot: scored(
                learner.metrics(slot),
                {name: rows[at] for name, rows in by_name.items()},
                held.known[slot][at],
                of,
            )
            for slot, by_name in held.statistics.items()
        }
    sample, found = held.sample, {}
    for slot, predicted in sample.predicted.items():
        arrays = run.output(slot).calibrated(predicted, scales.get(slot, {}))
        shown = {name: values[at] for name, values in arrays.items()}
        target, present = sample.target[slot][at], sample.present[slot][at]
        found[slot] = score(learner.metrics(slot), shown, target, present, of)
    return found


def _own_figures(learner: Learner) -> dict[str, dict[str, Scores]]:
    """What a learner says of itself that has no rows to be measured on, as an environment's return; without
    intervals, for these are of rows."""
    return {
        split: {
            slot: {
                name: {
                    "value": value,
                    "low": None,
                    "high": None,
                    "n": 0,
                    "definition": next(m.definition for m in learner.metrics(slot) if m.name == name),
                }
                for name, value in scores.items()
            }
            for slot, scores in found.items()
        }
        for split in ("validation", "test")
        if (found := learner.evaluate(split))
    }


def _parts(
    run: Run,
    learner: Learner,
    held: Measured | None,
    scales: Mapping[str, Any],
    groups: np.ndarray | None,
) -> dict[str, dict[str, Scores]]:
    """Of a run that rows were added to: the test rows it had before, and the new ones, by themselves."""
    if held is None or "rows_before" not in run.record:
        return {}
    before = held.rows < run.record["rows_before"]
    return {
        name: _scores(run, learner, held, scales, groups, at)
        for name, at in (("before", before), ("added", ~before))
        if at.any()
    }


def _measured(
    run: Run, learner: Learner
) -> tuple[dict[str, Measured], dict[str, Any], dict[str, ood.HiddenStates]]:
    """What is said over each split; by which it is calibrated, which validation tells; and what the net made
    of training and validation rows meanwhile."""
    looking = ood.FeatureHook.at(learner.model, run.signature, run.types)
    scales: dict[str, Any] = {}
    found, heard = {}, {}

    def honest(slot: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return run.output(slot).calibrated(arrays, scales.get(slot, {}))

    for split in ("validation", "train", "test"):
        most = min(TRAIN_ROWS, learner.eval_rows) if split == "train" else None
        keep, rows = Keep(most=most, calibrated=honest), learner.size(split)
        if looking is not None and rows and split != "test":
            with looking.listening(rows if most is None else min(most, rows)) as heard[split]:
                held = learner.measure(split, replace(keep, listen=heard[split]))
        else:
            held = learner.measure(split, keep)
        memory.release_heap()  # rows walked by length leave blocks of every length
        if split == "validation":
            scales = _scales(run, held.sample)
            if not held.whole and any(scales.values()):
                held = learner.measure(split, keep)  # its statistics are of what was not yet calibrated
        if len(held):
            found[split] = held
    return {split: found[split] for split in SPLITS if split in found}, scales, heard


def _scales(run: Run, held: Predictions) -> dict[str, Any]:
    """What makes each output's predictions honest, learned on validation rows whose answer is known; {} where
    there are none."""
    scales: dict[str, Any] = {}
    for slot, predicted in held.predicted.items():
        known = any_known(held.present[slot])
        there = {name: values[known] for name, values in predicted.items()}
        scales[slot] = run.output(slot).calibrate(there, held.target[slot][known])
    return scales


def _novelty(
    run: Run, learner: Learner, store: Store, heard: Mapping[str, ood.HiddenStates]
) -> dict[str, Any] | None:
    """novelty.safetensors, by which later rows are known to be far from the training rows; its record, None
    where there can be none."""
    looking = ood.FeatureHook.at(learner.model, run.signature, run.types)
    learned = (
        ood.learn(looking, store, heard["train"], heard["validation"], _most_bytes(run))
        if looking and len(heard) == 2
        else None
    )
    if learned is None:
        (run.path / ood.FILE).unlink(missing_ok=True)  # of an earlier segment
        return None
    learned.save(run.path)
    return learned.record()


def _most_bytes(run: Run) -> float:
    """That what tells rows unlike the training rows may take: a fifth of what an export of it may."""
    from mapsto.training.limit import limit_of

    asked = run.settings.fit_into
    return limit_of(asked).bytes / 5 if asked else float("inf")


def save_weights(run: Run, learner: Learner) -> str:
    """model.safetensors: every weight and buffer by its name in `run.model`; its sha256."""
    state = unshared(
        {name: value.detach().cpu().contiguous() for name, value in learner.model.state_dict().items()}
    )
    write_atomic(run.path / WEIGHTS, lambda path: save_file(state, path))
    return sha256(run.path / WEIGHTS)


def result(
    run: Run, test: Mapping[str, Any], beside: Mapping[str, Any], seconds: float, **more: Any
) -> Event:
    """The last event of a training: test figures (definitions stand in metrics.json) and baselines."""
    figures = values_of({"test": test})["test"]
    outputs = [run.output(slot.name) for slot in run.signature.outputs if not run.signature.inputs]
    usage = next((output.usage for output in outputs if output.usage is not None), None)
    use = f"predict with: mapsto predict {run.path} FILES{flags(run.record)}"
    if usage is not None:
        use = f"{usage.invitation}: mapsto {usage.command} {run.path}"
    elif run.samples:
        use = f"make some: mapsto sample {run.path}"
    return {
        "event": "done",
        "run": str(run.path),
        "use": use,
        "test": figures,
        "seconds": round(seconds, 2),
        "baselines": beside,
        "higher_is_better": {
            slot: {one.name: one.higher_is_better for one in run.output(slot).metrics} for slot in test
        },
        **more,
    }


def values_of(parts: Mapping[str, Mapping[str, Scores]]) -> dict[str, Any]:
    """Figures without their definitions."""

    def bare(scores: Scores) -> Scores:
        return {
            name: {key: value for key, value in found.items() if key != "definition"}
            for name, found in scores.items()
        }

    return {part: {slot: bare(scores) for slot, scores in by_slot.items()} for part, by_slot in parts.items()}


def _keep_predictions(
    run: Run, learner: Learner, held: Measured | None, scales: Mapping[str, Any], groups: np.ndarray | None
) -> None:
    """test-N.npz of each output: all rows of a fold, which is measured together with the others, else some
    thousands. Of predictions too large to be held all, a fold keeps what its metrics know of each row."""
    heads = dict(getattr(learner.model, "heads", {}).items())  # a model of a learner of its own may have none
    for number, slot in enumerate(run.signature.outputs):
        file_of(run.path, number).unlink(missing_ok=True)  # of an earlier segment
        if held is None:
            continue
        if "fold" in run.record and not held.whole:
            of = np.empty(0) if groups is None else groups[held.rows]
            rows, known = held.rows, held.known[slot.name]
            statistics = {name: one.astype(np.float32) for name, one in held.statistics[slot.name].items()}
            hashes, truths = _hashes(run, rows), np.zeros(len(rows), np.uint64)
            TestPredictions(rows, hashes, truths, known, of, {}, statistics).save(run.path, number)
            continue
        sample = held.sample
        if slot.name not in sample.predicted:
            continue
        predicted = run.output(slot.name).calibrated(sample.predicted[slot.name], scales.get(slot.name, {}))
        hashes, of = _hashes(run, sample.rows), np.empty(0) if groups is None else groups[sample.rows]
        tested = TestPredictions(
            sample.rows, hashes, sample.target[slot.name], sample.present[slot.name], of, predicted
        )
        tested = tested if "fold" in run.record else tested.thinned()
        tested.to_statistics(learner.metrics(slot.name), heads.get(slot.name)).save(run.path, number)


def _hashes(run: Run, rows: np.ndarray) -> np.ndarray:
    """(n,) of the inputs of test rows; (0,) where the run does not know them."""
    kept = run.kept_rows()
    if "test_hash" not in kept:
        return np.empty(0, np.uint64)
    return kept["test_hash"][np.searchsorted(np.flatnonzero(kept["split"] == TEST), rows)]


def _groups(run: Run) -> np.ndarray | None:
    if not (run.path / "rows.npz").exists():  # it learned from no rows
        return None
    return run.kept_rows().get("group")
