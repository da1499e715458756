"""Weights shared out over processes: the same losses as one process, a whole checkpoint, and killed and resumed equals unbroken."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mapsto
from mapsto import api
from mapsto.errors import ConfigError, MapstoError
from mapsto.learners.base import Learner
from mapsto.run import Run
from mapsto.steps.prepare import store_of
from mapsto.training import checkpoint, memory, sharded
from mapsto.training.distributed import Copies, Group
from mapsto.training.processes import learn_together

pytestmark = pytest.mark.usefixtures("without_reports")

OPTIONS = {"batch": 32, "precision": "float32", "clip": 1.0, "ema": 0.9, "steps": 50, "optimizer": "adamw", "lr": 0.002}
BLOCKS = "fusion(mix=attention, token=16, dropout=0)"

# A process for which no device is large enough, that saves after its 20th step and may be killed after another.
WORKER = """
import os, signal, sys
from mapsto.training import sharded, trainer
from mapsto.training.ema import Ema
from mapsto.steps.worker import main

sharded._beyond = lambda *words: True
trainer.TICK = 0.0
trainer.Trainer._saving_due = property(lambda self: self.step == 20)
update = Ema.update


def watched(average, step):
    update(average, step)
    if step == {killed}:
        os.kill(os.getpid(), signal.SIGKILL)


Ema.update = watched
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 rows of two numbers and a colour; y is their sum, twice for red."""
    draw, path = np.random.default_rng(0), tmp_path_factory.mktemp("cells") / "cells.csv"
    a, b, red = draw.normal(size=300), draw.normal(size=300), draw.random(300) < 0.5
    rows = zip(a, b, np.where(red, "red", "blue"), (a + b) * (1 + red), strict=True)
    path.write_text("a,b,colour,y\n" + "\n".join(f"{p:.4f},{q:.4f},{c},{y:.4f}" for p, q, c, y in rows))
    return path


@pytest.fixture(scope="module")
def settled(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    options = {**OPTIONS, "steps": 1, "model": "mlp(nets=1, width=32, norm=batch)"}
    return mapsto.train(str(cells), target="y", out=tmp_path_factory.mktemp("settled"), emit=quiet, **options)  # type: ignore[arg-type]


def quiet(event: object) -> None:
    """Tests read results, not progress."""


def shared(folder: Path, monkeypatch: pytest.MonkeyPatch, killed: int = -1) -> None:
    """From now on several processes share weights, and are killed after the step `killed`."""
    folder.mkdir(exist_ok=True)
    module = f"sharing_{killed}".replace("-", "not_")
    (folder / f"{module}.py").write_text(WORKER.format(killed=killed))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(mapsto.__file__).parents[1])]))
    monkeypatch.setattr("mapsto.training.processes.learn_together", lambda _, *rest: learn_together(module, *rest))


def learn(cells: Path, out: Path, devices: int) -> Run:
    return mapsto.train(str(cells), target="y", devices=devices, out=out, emit=quiet, model=BLOCKS, **OPTIONS)  # type: ignore[arg-type]


def of_run(run: Run) -> Learner:
    return run.new_learner(run.new_model(), store_of(run, lambda: None, quiet))  # type: ignore[arg-type, return-value]


def two() -> Group:
    group = Group()
    group.size = 2  # type: ignore[misc]
    return group


@pytest.fixture(scope="module")
def unbroken(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Learned by two processes that share the weights."""
    with pytest.MonkeyPatch.context() as patch:
        shared(tmp_path_factory.mktemp("worker"), patch)
        return learn(cells, tmp_path_factory.mktemp("unbroken"), 2)


def test_two_that_share_weights_learn_what_one_learns(cells: Path, tmp_path: Path, unbroken: Run) -> None:
    """The losses of 50 steps, two by two, within 1e-5 of each other, at a rate that lets no rounding grow."""
    one = learn(cells, tmp_path, 1)

    assert unbroken.record["plan_measured"]["sharded"] and not one.record["plan_measured"]["sharded"]
    losses, wanted = ([entry["loss"] for entry in run.history] for run in (unbroken, one))
    assert losses == pytest.approx(wanted, rel=1e-5, abs=1e-5 * wanted[0])  # small ones lie within the rounding of the first
    assert unbroken.metrics["test"]["y"]["r2"]["value"] == pytest.approx(one.metrics["test"]["y"]["r2"]["value"], abs=1e-3)


def test_killed_and_resumed_equals_unbroken_and_the_checkpoint_is_whole(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unbroken: Run
) -> None:
    shared(tmp_path / "worker", monkeypatch, killed=30)
    with pytest.raises(MapstoError, match="resume"):
        learn(cells, tmp_path / "broken", 2)
    broken = next(file.parent for file in (tmp_path / "broken").glob("*/run.json"))
    tensors, note = checkpoint.read(broken / checkpoint.NAME)
    shared(tmp_path / "worker", monkeypatch)

    api.resume(broken, emit=quiet)

    whole = {name: value.shape for name, value in unbroken.model.state_dict().items()}
    assert note["step"] == 20 and {name: value.shape for name, value in checkpoint.part(tensors, "model").items()} == whole
    moments = [value for name, value in checkpoint.part(tensors, "optimizer").items() if name.endswith("exp_avg")]
    assert sum(value.numel() for value in moments) == sum(p.numel() for p in unbroken.model.parameters())
    assert api.same_weights(broken, unbroken.path)


def test_weights_are_shared_where_a_device_is_too_small(settled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = of_run(settled)
    per_row, state = sharded._bytes_per_row(learner), sharded._state(learner)
    held = (state + sharded.ROWS * per_row) / memory.SHARE * 2  # on a processor two processes share the memory

    answers = []
    for allowed in (1.01 * held, 0.99 * held):
        monkeypatch.setattr(memory, "allowed", lambda device, most=allowed: int(most))
        answers.append(sharded._beyond(learner, two(), per_row))

    assert answers == [False, True] and sharded._beyond(learner, two(), 0)
    assert state == sum(4 * p.numel() for p in learner.model.parameters() if p.requires_grad) * (1 + 2 + 1)  # gradients, two moments, the average


def test_measuring_activations_leaves_the_model_as_it_is(settled: Run) -> None:
    learner = of_run(settled)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}

    assert sharded._bytes_per_row(learner) > 4 * 32  # at least a hidden layer

    assert all(torch.equal(value, before[name]) for name, value in learner.model.state_dict().items())


@pytest.mark.parametrize(
    ("asked", "said"),
    [({"optimizer": "muon"}, "--optimizer adamw"), ({"precision": "float16"}, "--precision bfloat16"), ({"batch": 33}, "--batch 34")],
)
def test_what_does_not_go_with_parts_of_weights_is_refused(asked: dict[str, object], said: str, settled: Run) -> None:
    learner = of_run(settled)
    learner.training = replace(learner.training, **asked)  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match=said):
        sharded._refuse(learner, two())


def test_a_record_decides_how_weights_are_held(settled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of copies is replayed as such, however little memory there is now; so is one from before there was a choice."""
    monkeypatch.setattr(sharded, "_beyond", lambda *words: True)
    learner, group = of_run(settled), two()

    assert [type(sharded.weights(learner, group, recorded)) for recorded in ({"device": "cpu"}, {"device": "cpu", "sharded": False})] == [Copies, Copies]
