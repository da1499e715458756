"""A training's whole state as a checkpoint holds it: taken from what learns, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mapsto.training import checkpoint, memory
from mapsto.training.best_weights import BestWeights
from mapsto.training.ema import Ema
from mapsto.training.step import Updater


def save(folder: Path, updater: Updater, ema: Ema, best: BestWeights, note: Mapping[str, Any]) -> None:
    """Write a checkpoint of this moment; the first of several processes does, and where weights are shared
    the others give it theirs."""
    learner = updater.learner
    parts = {"model": learner.model.state_dict(), "best": best.best or {}, "learner": learner.state_dict()}
    parts["ema"] = {str(i): value for i, value in enumerate(ema.values)}
    tensors, plain = checkpoint.joined(parts, updater.optimizers)
    put_together = updater.weights.whole
    whole = {name: found for name, value in tensors.items() if (found := put_together(value)) is not None}
    if updater.group.rank == 0:
        scaler = learner.scaler.state_dict()
        told = {**note, "scaler": scaler, **best.note(), **memory.note(), "plain": plain}
        checkpoint.save(folder, whole, told)


def restore(
    updater: Updater, ema: Ema, best: BestWeights, tensors: Mapping[str, Tensor], note: Mapping[str, Any]
) -> None:
    """The inverse, into optimizers and averages that are fresh."""
    learner, part_of = updater.learner, updater.weights.part
    own = learner.model.state_dict()
    learner.model.load_state_dict(
        {name: part_of(value, own[name]) for name, value in checkpoint.part(tensors, "model").items()}
    )
    averages = checkpoint.part(tensors, "ema")
    ema.load({place: part_of(value, ema.values[int(place)]) for place, value in averages.items()})
    learner.load_state_dict(checkpoint.part(tensors, "learner"))
    if not updater.plan.sharded or updater.weights.shared:
        # one process alone takes no step by such a plan, and may not hold its moments
        checkpoint.restore_optimizers(updater.optimizers, tensors, note["plain"], part_of)
    if note.get("scaler"):
        learner.scaler.load_state_dict(note["scaler"])
    best.restore(note, checkpoint.part(tensors, "best"))
