"""What the engine promises of an update: micro-batches change nothing, averages and optimizers are what they are called."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mapsto
from mapsto.batch import Batch
from mapsto.cli import main
from mapsto.config import Budget, Training
from mapsto.errors import DataError
from mapsto.training.budget import Schedule, shape
from mapsto.training.optimizers import Muon, build_optimizer, orthogonalised
from mapsto.training.plan import Plan
from mapsto.training.prefetch import prefetched
from mapsto.training.step_seconds import step_seconds
from mapsto.training.threads import Crowd
from mapsto.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("without_reports")


def ignore(event: object) -> None:
    """Tests read results, not progress."""


def gradients(run: mapsto.run.Run, micro: int) -> torch.Tensor:  # type: ignore[name-defined]
    from mapsto.steps.prepare import store_of

    learner = run.new_learner(run.new_model(), store_of(run, lambda: None, ignore))  # type: ignore[arg-type, return-value]
    trainer = Trainer(learner, None, Budget(steps=1))
    learner.training = replace(learner.training, clip=0.0)
    trainer.fresh()
    trainer.updater.plan = Plan("cpu", micro_batch=micro)
    trainer.gradients(learner.loss, next(learner.batches("train", 0)))
    return torch.cat([p.grad.flatten() for p in learner.model.parameters() if p.grad is not None])


def test_micro_batches_equal_one_batch(tmp_path: Path) -> None:
    """With tanh: a relu whose input is zero but for rounding has no gradient to speak of."""
    rng = np.random.default_rng(0)
    rows = [
        {"x": float(rng.normal()), "z": float(rng.normal()) if i % 3 else None, "y": None if i % 7 == 0 else float(rng.normal()), "w": float(i % 4)}
        for i in range(300)
    ]
    run = mapsto.train(
        rows, "x, z -> y:number", steps=1, batch=48, weight="w", model="mlp(width=16,nets=1,dropout=0,activation=tanh)", out=tmp_path, emit=ignore
    )
    whole = gradients(run, 48)
    for micro in (1, 7, 16):
        assert (gradients(run, micro) - whole).norm() <= 1e-5 * whole.norm()


def test_a_micro_batch_of_any_size_trains_alike(table: Path, tmp_path: Path) -> None:
    values = [
        mapsto.train(table, "x, shop -> y", steps=30, micro_batch=micro, model="mlp(width=16,dropout=0,nets=1)", out=tmp_path, emit=ignore).metrics["test"][
            "y"
        ]["r2"]["value"]
        for micro in (32, 5)
    ]
    assert values[0] == pytest.approx(values[1], abs=1e-3)


def test_orthogonalised_has_singular_values_near_one() -> None:
    torch.manual_seed(0)
    found = torch.linalg.svdvals(orthogonalised(torch.randn(2, 32, 80)).float())
    assert found.min() > 0.5 and found.max() < 1.5


def test_muon_follows_torch() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(12, 8, bias=False))
    theirs = torch.nn.Linear(12, 8, bias=False)
    theirs.load_state_dict(ours[0].state_dict())
    mine = Muon(ours, lr=0.02, momentum=0.95, weight_decay=0.1)
    other = torch.optim.Muon(theirs.parameters(), lr=0.02, momentum=0.95, weight_decay=0.1, nesterov=True, ns_steps=4)
    for step in range(5):
        torch.manual_seed(step)
        x = torch.randn(6, 12)
        for net, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()
    assert torch.allclose(ours[0].weight, theirs.weight, atol=2e-3)


def test_muons_adamw_part_follows_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.BatchNorm1d(5), nn.BatchNorm1d(5)
    mine = Muon(ours, lr=0.3)
    other = torch.optim.AdamW(theirs.parameters(), lr=mine.param_groups[0]["lr"], betas=(0.9, 0.99), weight_decay=0.0)
    for step in range(20):
        torch.manual_seed(step)
        x = torch.randn(9, 5)
        for net, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            net(x).pow(3).sum().backward()
            optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-5) and torch.allclose(ours.bias, theirs.bias, atol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "sgd", "muon"])
def test_norms_and_biases_never_decay(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
    found = build_optimizer(model, Training(optimizer=name, lr=0.1, weight_decay=0.5))
    decayed = {p.ndim for group in found.param_groups if group["weight_decay"] for p in group["params"]}
    assert 1 not in decayed and decayed


def test_pace_is_a_function_of_decisions() -> None:
    pace = Schedule()
    pace.set_total(0, 100)
    assert pace.progress(50) == 0.5
    pace.set_total(50, 75)
    assert pace.progress(50) == 0.5 and pace.progress(75) == 1.0 and pace.progress(60) == pytest.approx(0.7)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant", "flat"])
def test_rates_rise_and_stay_within_bounds(schedule: str) -> None:
    rates = [shape(p / 100, schedule, 0.1) for p in range(101)]
    assert rates[5] < rates[10] and max(rates) == pytest.approx(1.0, abs=0.02) and min(rates) >= 0
    assert schedule == "constant" or rates[-1] < 0.02


def test_batches_made_ahead_are_the_same_and_errors_arrive() -> None:
    def counted() -> Iterator[int]:
        yield from range(5)
        raise DataError("expected a sixth, found none.")

    seen = []
    with pytest.raises(DataError, match="sixth"):
        for item in prefetched(counted()):
            seen.append((item, torch.get_num_threads()))

    assert seen == [(i, torch.get_num_threads()) for i in range(5)]


def test_batches_made_ahead_end_with_their_reader() -> None:
    before = threading.active_count()
    items = prefetched(itertools.count())
    assert [next(items), next(items)] == [0, 1] and threading.active_count() == before + 1

    items.close()

    assert threading.active_count() == before


def test_equal_metrics_are_told_apart_by_the_loss() -> None:
    """A tagger that finds nothing yet has F1 0 at every look: the weights of the lowest loss are kept, not the first."""
    from types import SimpleNamespace
    from typing import Any

    from mapsto.training.best_weights import BestWeights

    model = nn.Linear(1, 1, bias=False)
    metric = SimpleNamespace(name="f1", better=lambda a, b: a > b)
    learner: Any = SimpleNamespace(model=model, device=torch.device("cpu"), metrics=lambda slot: (metric,))
    judge = BestWeights(learner, Budget(patience=0.1), ("tags", "f1"))
    kept = []
    for step, (f1, loss) in enumerate([(0.0, 3.0), (0.0, 2.0), (0.0, 2.5), (0.0, 2.0), (0.1, 9.0), (0.0, 1.0)]):
        model.weight.data.fill_(step)
        judge.update(step, {"tags": {"f1": f1, "loss": loss}})
        kept.append((judge.step, float((judge.best or {})["weight"])))
        if step == 2:  # a resumed training decides alike
            note, best = judge.note(), dict(judge.best or {})
            judge = BestWeights(learner, Budget(patience=0.1), None)
            judge.restore(note, best)
        if step == 3:
            assert judge.stop_reason(3, {"tags": {"f1": f1, "loss": loss}}, 1, 10) == "no better for 3 steps"
    assert kept == [(0, 0), (1, 1), (1, 1), (3, 3), (4, 4), (4, 4)]
    judge = BestWeights(learner, Budget(), ("tags", "f1"))
    for step in (5, 10):
        judge.update(step, {"tags": {"f1": 0.0}})
    assert judge.step == 10  # without a loss, the later


# ---- budgets that learn -----------------------------------------------------------------------------------------


def test_half_of_the_minutes_is_learned_in_however_long_reading_took(table: Path, tmp_path: Path) -> None:
    from mapsto.steps.prepare import store_of

    run = mapsto.train(table, "x, shop -> y", steps=1, model="mlp(width=8,members=1)", out=tmp_path, emit=ignore)
    heard: list[dict] = []
    for spent, minutes in ((10.0, 1.0), (40.0, 1.167), (600.0, 10.5)):
        learner = run.new_learner(run.new_model(), store_of(run, lambda: None, ignore))  # type: ignore[arg-type, return-value]
        trainer = Trainer(learner, None, Budget(minutes=1.0), emit=heard.append, elapsed=spent)
        trainer.updater.plan = Plan("cpu", micro_batch=32, seconds_per_micro=0.01)
        trainer.course.set_total()
        assert trainer.course.clock.minutes == pytest.approx(minutes, abs=0.01)
        assert trainer.course.schedule.total >= 1 or trainer.course.decisions.all[-1]["total"] * 0.011 > 25
    assert [event["minutes"] for event in heard] == [pytest.approx(1.167, abs=0.01), pytest.approx(10.5, abs=0.01)]
    assert "half of the time asked for" in heard[0]["why"]


def test_a_net_that_learned_nothing_is_told_last_with_what_to_do(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mapsto.steps.cautions.PASSES", 10**6)  # which no machine makes in that time
    words = ["train", str(table), "x, shop -> y", "--model", "linear", "--lr", "1e-9", "--out", str(tmp_path)]
    assert main([*words, "--minutes", "0.001", "--patience", "0", "--name", "short"]) == 0
    *_, first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: 'y': r2") and first.endswith("which knows nothing of the inputs")
    assert second.startswith("warning: its minutes were over after ")
    assert last.startswith("learn on: mapsto extend ") and last.endswith("--minutes 1")
    assert main([*words, "--steps", "60", "--name", "steps"]) == 0
    *_, first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("warning: 'y': r2") and last.startswith("find out why: mapsto doctor ")


def test_a_net_that_is_beaten_by_a_simple_model_is_told_so(table: Path, tmp_path: Path) -> None:
    heard: list[dict] = []
    mapsto.train(table, "x, shop -> y", steps=600, lr=0.03, model="linear", out=tmp_path, emit=heard.append)
    (done,) = [event for event in heard if event["event"] == "done"]
    assert "'nearest' reaches r2" in done["cautions"][0]
    mapsto.train(table, "x, shop -> y", steps=400, model="mlp(width=32,members=4)", out=tmp_path, emit=heard.append)
    assert heard[-1]["cautions"] == []


# ---- threads on a busy machine ----------------------------------------------------------------------------------


def decided(stretches: list[float], planned: float = 0.1, threads: int = 4) -> list[int]:
    """The threads that are decided on, for a step's seconds in each stretch of 40 steps."""
    found: list[int] = []
    crowd = Crowd(lambda step, threads, why: found.append(threads), planned)
    seconds = 0.0
    for number, took in enumerate(stretches, 1):
        seconds += 40 * took
        crowd.look(40 * number, found[-1] if found else threads, 40 * number, seconds)
    return found


def test_slow_steps_are_tried_with_fewer_threads() -> None:
    assert decided([0.1, 0.12, 0.11, 0.19]) == []  # no more than twice as slow
    assert decided([0.1, 0.5, 0.2]) == [2]  # that helped
    assert decided([0.1, 2.0, 1.0, 1.0, 0.3]) == [2, 1]  # and once more, for it is slow still
    assert decided([0.1, 0.5, 0.6, 0.6, 0.6]) == [2, 4]  # that did not, and is not tried again
    assert decided([0.1, 2.0], threads=1) == []
    assert decided([3.0, 0.1], planned=0.1) == [2]  # slow from the first step on
    assert decided([0.3, 0.1], planned=0.0) == []  # nothing was planned, nothing is known


def test_all_threads_are_tried_again_when_neighbours_may_be_gone() -> None:
    fewer = [0.1, 0.5, *[0.2] * 5]  # 40 steps each: slow, and then 40 s with fewer threads
    assert decided(fewer[:-1]) == [2]
    assert decided(fewer) == [2, 4]
    assert decided([*fewer, 0.1, 0.1]) == [2, 4]  # they are free again, and stay
    assert decided([*fewer, 0.5]) == [2, 4, 2]  # they are not
    assert decided([*fewer, 0.5, *[0.2] * 7]) == [2, 4, 2]  # and are left alone for twice as long
    assert decided([*fewer, 0.5, *[0.2] * 8, 0.1]) == [2, 4, 2, 4]
    assert decided([*fewer, 0.1, 0.5]) == [2, 4, 2]  # neighbours come back


def test_threads_that_were_decided_on_are_reproduced(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("mapsto.training.threads.SLOW", 0.0)  # every step is slow
    monkeypatch.setattr("mapsto.training.threads.LONG", 0.1)
    monkeypatch.setattr("mapsto.training.trainer.TICK", 0.05)
    torch.set_num_threads(2)
    try:
        run = mapsto.train(table, "x, shop -> y", minutes=0.04, batch=32, model="mlp(width=8,members=1,nets=1)", plan="default", out=tmp_path, emit=ignore)
        decisions = [json.loads(line) for line in (run.path / "decisions.jsonl").read_text().splitlines()]
        assert any("threads" in one for one in decisions)
        assert mapsto.api.reproduce(run.path, emit=ignore)[1]
    finally:
        torch.set_num_threads(before)


def test_a_step_is_timed_with_rows_that_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path))
    seen: list[int] = []

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3, 3))

        def forward(self, inputs: dict, size: int) -> dict:
            seen.append(len(inputs["image"]))
            return {"y": inputs["image"].mean((2, 3)) @ self.weight}

    for side, rows in ((8, 64), (400, 2)):
        batch = Batch({"image": torch.zeros(64, 3, side, side)}, {}, size=64)
        assert step_seconds(Mean(), batch, Training(optimizer="adamw", lr=1e-3), torch.device("cpu")) > 0
        assert set(seen) == {rows}
        seen.clear()


def test_a_goal_that_was_reached_is_no_lack_of_minutes(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.steps.cautions.PASSES", 10**6)
    heard: list[dict] = []
    mapsto.train(table, "x, shop -> y", minutes=5, until="r2=-1000", model="linear", plan="default", out=tmp_path, emit=lambda event: heard.append(dict(event)))
    assert "reached" in heard[-1]["stopped"] and not any("minutes were over" in said for said in heard[-1]["cautions"])
