"""The contract of a learner, as a test that any way of learning can call."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mapsto.batch import Batch
from mapsto.config import Budget
from mapsto.learners.base import Learner, Logs, Updates
from mapsto.metrics import Metric
from mapsto.prediction import Keep
from mapsto.training.trainer import Trainer

STEPS, CUT = 4, 2  # steps of a training, and after how many it is cut off to be resumed


class _CutOff(Exception):
    """The process ends here, as by `kill`."""


def check_learner(make: Callable[[], Learner], folder: Path) -> None:
    """make: a fresh learner on a small store, the same each time, on one thread and with
    `Training(plan="default")`. folder: an empty one. AssertionError says what of the contract does not
    hold."""
    learner = make()
    batch = learner.ready(next(learner.batches("train", 0)))
    if type(learner).loss is not Learner.loss:
        check_loss(learner, batch)
    check_measuring(learner)
    check_record(learner)
    check_state(make)
    check_resume(make, folder)


def check_loss(learner: Learner, batch: Batch) -> None:
    """Each row's loss with its count, of whole batches, of one row and of none."""
    rows = batch.size
    for size in (rows, 1, 0):
        (per_row, count), _ = learner.loss(batch.slice(0, size) if size < rows else batch)
        assert per_row.shape == count.shape == (size,), f"a loss and a count for each of {size} rows"
        assert torch.isfinite(per_row).all() and (count >= 0).all(), "sums are finite, counts not negative"
    learner.loss(batch)[0][0].sum().backward()
    learned = [p.grad for p in learner.model.parameters() if p.grad is not None]
    assert any(bool((one != 0).any()) for one in learned), "the loss of a batch moves some weight"
    learner.model.zero_grad(set_to_none=True)


def check_measuring(learner: Learner) -> None:
    """Metrics are known, and a split's figures are the same whether its predictions are held or not."""
    split = next((one for one in ("validation", "train") if learner.size(one)), "validation")
    held, passed = learner.measure(split), learner.measure(split, Keep(bytes=0))
    assert (held.rows == passed.rows).all(), "the same rows are measured, in the same order"
    for slot in learner.signature.outputs:
        metrics = learner.metrics(slot.name)
        assert all(isinstance(metric, Metric) for metric in metrics), "metrics are `Metric`s"
        assert len({metric.name for metric in metrics}) == len(metrics), "metrics have names of their own"
        whole, streamed = held.values(slot.name, metrics), passed.values(slot.name, metrics)
        assert whole.keys() == streamed.keys() and set(whole) <= {metric.name for metric in metrics}
        for name, value in whole.items():
            same = math.isclose(value, streamed[name], rel_tol=1e-4, abs_tol=1e-6)
            assert same or math.isnan(value), f"{name}: {value} where all is held, else {streamed[name]}"


def check_record(learner: Learner) -> None:
    """What it says of itself is JSON."""
    record = learner.record()
    assert json.loads(json.dumps(record)) == record, "a record is JSON as it is"


def check_state(make: Callable[[], Learner]) -> None:
    """What it remembers comes back as it was."""
    learner, other = make(), make()
    state = {name: value.clone() for name, value in learner.state_dict().items()}
    assert all(isinstance(value, Tensor) for value in state.values()), "what is remembered are tensors"
    other.load_state_dict(state)
    again = other.state_dict()
    assert state.keys() == again.keys() and all(torch.equal(state[name], again[name]) for name in state)


def check_resume(make: Callable[[], Learner], folder: Path) -> None:
    """A training that was cut off and resumed ends in the weights of one that was not, bit for bit."""
    unbroken = _trained(make(), folder / "unbroken")
    broken = make()
    step, taken = broken.step, iter(range(STEPS))

    def cut(batch: Batch, trainer: Updates) -> Logs:
        if next(taken) == CUT:
            raise _CutOff
        return step(batch, trainer)

    broken.step = cut  # type: ignore[method-assign]
    _started(broken, folder / "broken")
    resumed = _trained(make(), folder / "broken")
    pairs = zip(_remembered(unbroken), _remembered(resumed), strict=True)
    wrong = [name for (name, a), (_, b) in pairs if not torch.equal(a, b)]
    assert not wrong, f"after a resume other than without: {', '.join(wrong[:5])}"


def _remembered(learner: Learner) -> Iterator[tuple[str, Tensor]]:
    yield from learner.model.state_dict().items()
    yield from learner.state_dict().items()


def _trained(learner: Learner, folder: Path) -> Learner:
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(_fixed(learner), folder, Budget(steps=STEPS))
    trainer.learn()
    return learner


def _started(learner: Learner, folder: Path) -> None:
    """CUT steps and a checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(_fixed(learner), folder, Budget(steps=STEPS))
    try:
        trainer.learn()
    except _CutOff:
        trainer.save()


def _fixed(learner: Learner) -> Learner:
    """Nothing of it is chosen by the clock."""
    learner.training = replace(learner.training, plan="default", threads=1, precision="float32")
    return learner
