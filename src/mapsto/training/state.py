"""A training's whole state as a checkpoint holds it: taken from a trainer, and put back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mapsto.training import checkpoint, memory

if TYPE_CHECKING:
    from mapsto.training.trainer import Trainer


def save(trainer: Trainer, folder: Path) -> None:
    """Write a checkpoint of this moment; the first of several processes does, and where weights are shared
    the others give it theirs."""
    learner, judge = trainer.learner, trainer.best_weights
    note = {
        "step": trainer.step,
        "speed": trainer.speed(),
        "elapsed": trainer.clock.elapsed,
        "since": trainer.since,
        "steps": trainer.steps,
        "rollbacks": trainer.rollbacks,
        "scaler": learner.scaler.state_dict(),
    }
    parts = {"model": learner.model.state_dict(), "best": judge.best or {}, "learner": learner.state_dict()}
    parts["ema"] = {str(i): value for i, value in enumerate(trainer.ema.values)}
    tensors, plain = checkpoint.joined(parts, trainer.optimizers)
    whole = {
        name: found for name, value in tensors.items() if (found := trainer.weights.whole(value)) is not None
    }
    if trainer.group.rank == 0:
        checkpoint.save(folder, whole, {**note, **judge.note(), **memory.note(), "plain": plain})


def restore(trainer: Trainer, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """The inverse, into a trainer whose optimizers and averages are fresh."""
    learner, part_of = trainer.learner, trainer.weights.part
    own = learner.model.state_dict()
    learner.model.load_state_dict(
        {name: part_of(value, own[name]) for name, value in checkpoint.part(tensors, "model").items()}
    )
    averages = trainer.ema.values
    trainer.ema.load(
        {
            place: part_of(value, averages[int(place)])
            for place, value in checkpoint.part(tensors, "ema").items()
        }
    )
    learner.load_state_dict(checkpoint.part(tensors, "learner"))
    if (
        not trainer.plan.sharded or trainer.weights.shared
    ):  # one process alone takes no step by such a plan, and may not hold its moments
        checkpoint.restore_optimizers(trainer.optimizers, tensors, note["plain"], part_of)
    if note.get("scaler"):
        learner.scaler.load_state_dict(note["scaler"])
    trainer.best_weights.restore(note, checkpoint.part(tensors, "best"))
    trainer.step = note["step"]
    trainer.clock.set(note["elapsed"])
    trainer.rollbacks = max(trainer.rollbacks, note["rollbacks"])
    trainer.since, trainer.steps = note.get("since", 0.0), note.get("steps", 0)
    trainer.speed_before = note.get("speed", {})
