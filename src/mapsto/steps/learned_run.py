"""The run that comes of learning on from a stream: a folder of its own beside the one it began with, which is
left as it is. Its record says under "stream" what was learned.

    stream.safetensors   all that learning goes on from: weights, positions in the stream, rows that wait
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from mapsto import models
from mapsto.config import VERSION
from mapsto.errors import ConfigError, RunError
from mapsto.files import disk_error, sha256, write_atomic
from mapsto.run import Run
from mapsto.run.folder import FORMAT, WEIGHTS
from mapsto.run.segments import NOVELTY
from mapsto.steps.finish import measure_anew
from mapsto.steps.online import COUNTED, Online
from mapsto.steps.prepare import reopen, store_of
from mapsto.training import checkpoint

STATE = "stream.safetensors"
TAKEN = ("rows.npz", "metrics.json", "baselines.npz", "quarantine.csv", "findings.json", "log.jsonl", NOVELTY)
OWN = (
    "status",
    "created",
    "format",
    "mapsto",
    "weights",
    "segment",
    "start_from",
    "cautions",
)  # not taken over
SAID = "learned on from a stream of"  # how the record's sentence of it begins
WINDOW = 500  # labelled rows of a point of the curve


def refuse_unable(run: Run) -> None:
    """RunError: a run that cannot learn on from a stream, with what can."""
    kind, name = type(run.learner), run.choice.learner
    if not kind.incremental:
        raise RunError(
            f"{run.path}: was learned by '{name}', which cannot go on with single rows.\nTrain one that can:"
            " --learner supervised, or learn with all rows: mapsto extend"
        )
    solved = models.solved(run.choice.model, run.choice.model_options)
    if solved or not any(value.requires_grad for value in run.model.parameters()):
        raise RunError(
            f"{run.path}: its model, {run.choice.model}, is solved, not learned step by step.\nTrain another:"
            " --model mlp --learner supervised"
        )
    if not run.record.get("rows", {}).get("test"):
        raise RunError(
            f"{run.path}: has no test rows, by which forgetting is measured.\nTrain with some: leave --folds"
            " out, or name them by --test."
        )


def beside(run: Run) -> Path:
    """Where the learned run stands unless somebody says otherwise."""
    return run.path.with_name(f"{run.path.resolve().name}-learned")


def opened(run: Run, path: Path) -> Run:
    """The learned run in a folder, which is made where there is none. RunError: something else lies there."""
    weights = run.record.get("weights") or sha256(run.path / WEIGHTS)
    if path.resolve() == run.path.resolve():
        raise ConfigError(f"{path}: is the run itself, which is left as it is.\nName another with --out.")
    if (path / "run.json").is_file():
        found = Run.open(path)
        if found.record.get("stream", {}).get("weights") != weights:
            raise RunError(f"{path}: did not come of {run.path}.\nName another folder with --out.")
        if "segment" in found.record:
            raise RunError(f"{path}: was extended since.\nLearn on from there: mapsto stream {path} FROM TO")
        return found
    kept = {name: value for name, value in run.record.items() if name not in OWN}
    stamp = datetime.now().isoformat(timespec="seconds")
    head = {"format": FORMAT, "mapsto": VERSION, "created": stamp, "status": "running"}
    found = Run(path, {**head, **kept, "stream": {"run": str(run.path.resolve()), "weights": weights}})
    try:
        path.mkdir(parents=True, exist_ok=True)
        if any(one.name not in (*TAKEN, "lock") for one in path.iterdir()):
            raise RunError(f"{path}: holds something else already.\nName another folder with --out.")
        for name in TAKEN:
            if (run.path / name).exists():
                shutil.copyfile(run.path / name, path / name)
    except OSError as problem:
        raise disk_error(path, problem) from None
    found.save()
    return Run.open(path)


def discard_if_empty(learned: Run) -> None:
    """Away with what learned nothing yet."""
    if not any((learned.path / name).exists() for name in (STATE, WEIGHTS)):
        shutil.rmtree(learned.path, ignore_errors=True)


def online(run: Run, learned: Run, most_forget: float) -> Online:
    """What learns, and from now on answers for `run`, whose own net goes on to tell rows that are strange."""
    store = store_of(learned, lambda: reopen(learned), lambda event: None)
    original = run.learner
    learner, answering = (learned.new_learner(copy.deepcopy(run.model), store) for _ in range(2))
    for one in (learner, answering):
        one.device, one.channels_last = original.device, original.channels_last
    run.reference, run.learner = original, answering
    planned = run.record.get("plan_measured", {}).get("micro_batch", 64)
    return Online(learner, answering, original, most_forget, max(1, planned))


def save(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """All of a moment in one file: whole, or as it was before."""
    ready = checkpoint.unshared({name: value.detach().contiguous().cpu() for name, value in tensors.items()})
    write_atomic(path / STATE, lambda place: save_file(ready, place, {"note": json.dumps(note)}))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """None where nothing was learned yet. RunError: it is damaged."""
    return checkpoint.read(path / STATE) if (path / STATE).exists() else None


def publish(learned: Run, online: Online, said: Mapping[str, Any]) -> dict[str, Any]:
    """The net as it is now becomes the run's: measured and calibrated as after a training. What its record
    says of the stream."""
    stream = {
        **learned.record["stream"],
        **said,
        **{name: getattr(online, name) for name in COUNTED},
        "most_forget": online.most_forget,
        "forgot": {slot: round(lost, 6) for slot, lost in online.forgot.lost.items()},
        "answered": online.answered(WINDOW),
    }
    known = [line for line in learned.record.get("said", []) if not line.startswith(SAID)]
    line = f"{SAID} {stream['labelled']:,} labelled events, after the training of {stream['run']}"
    measure_anew(learned, online.answering, online.store, stream=stream, said=[*known, line])
    return stream
