"""The engine: plans that are measured, steps that are compiled, processes that learn together; none of it changes what a killed run becomes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mapsto
from mapsto import api
from mapsto.batch import Batch
from mapsto.cli import main
from mapsto.config import Budget
from mapsto.errors import ConfigError, MapstoError
from mapsto.files import read_json_lines
from mapsto.run import Run
from mapsto.steps.prepare import store_of
from mapsto.training import trainer as trainers
from mapsto.training.decisions import Decisions
from mapsto.training.ema import Ema
from mapsto.training.plan import Plan
from mapsto.training.probe import (
    Probe,
    Timings,
    _best,
    _called,
    _candidates,
    _compilable,
    _recall,
    _remember,
    doubt,
)
from mapsto.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("without_reports")

EXACT = {"model": "mlp(width=32, members=2, dropout=0, nets=1)", "batch": 32, "precision": "float32", "clip": 1.0}


HALF = Plan("cpu", precision="float16", micro_batch=20)


class Killed(Exception):
    """What a test does to a training."""


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 rows of two numbers and a colour; y is their sum, twice for red."""
    draw, path = np.random.default_rng(0), tmp_path_factory.mktemp("cells") / "cells.csv"
    a, b, red = draw.normal(size=300), draw.normal(size=300), draw.random(300) < 0.5
    rows = zip(a, b, np.where(red, "red", "blue"), (a + b) * (1 + red), strict=True)
    path.write_text("a,b,colour,y\n" + "\n".join(f"{p:.4f},{q:.4f},{c},{y:.4f}" for p, q, c, y in rows))
    return path


@pytest.fixture
def settled(cells: Path, tmp_path: Path) -> Run:
    return mapsto.train(str(cells), target="y", steps=1, out=tmp_path / "settled", emit=lambda event: None, **EXACT)


def quiet(event: object) -> None:
    """Tests read results, not progress."""


# --- the plan --------------------------------------------------------------------------------------------------------------------


def test_a_faster_plan_is_taken_only_where_its_loss_is_the_same() -> None:
    plain, rough = Plan("cpu"), Plan("cpu", "bfloat16")
    agree = Timings({"default": 1.0, "bfloat16": 0.5}, {"default": 2.0, "bfloat16": 2.02})
    differ = Timings({"default": 1.0, "bfloat16": 0.5}, {"default": 2.0, "bfloat16": 2.5})
    hardly = Timings({"default": 1.0, "bfloat16": 0.95}, {"default": 2.0, "bfloat16": 2.0})

    assert _best([plain, rough], agree) == rough
    assert _best([plain, rough], differ) == plain
    assert _best([plain, rough], hardly) == plain


def test_the_plan_stands_in_the_run_with_its_measurements(settled: Run) -> None:
    plan, speed = settled.record["plan_measured"], settled.record["speed"]

    assert plan["seconds"]["default"] > 0 and plan["operations_per_row"] > 0 and plan["peak"] > 0
    assert speed["rows_per_second"] > 0 and set(speed["step"]) == {"data", "forward", "backward", "optimizer"}
    assert sum(speed["step"].values()) == pytest.approx(1, abs=0.01)


def test_the_default_plan_is_what_pytorch_does(cells: Path) -> None:
    plan = api.planned(str(cells), None, quiet, target="y", steps=5, plan="default", **{k: v for k, v in EXACT.items() if k != "precision"})

    assert (plan.precision, plan.channels_last, plan.compiled, list(plan.seconds)) == ("float32", False, False, ["default"])


def test_plan_prints_what_each_candidate_takes(cells: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(cells), "--target", "y", "--steps", "20"]) == 0

    said = capsys.readouterr().out
    assert "rows/s" in said and "default" in said and re.search(r"\nplan\n  .*cpu.*\n  forecast: ", said)


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_arithmetic_of_gpus_is_refused_elsewhere(precision: str, cells: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ConfigError, match="arithmetic of GPUs"):
        mapsto.train(str(cells), target="y", steps=2, precision=precision, out=tmp_path, emit=quiet)


def probed(settled: Run, device: str, **asked: object) -> Probe:
    """A probe of the settled run's learner, as if it learned on a device."""
    learner = settled.new_learner(settled.new_model(), store_of(settled, lambda: None, quiet))  # type: ignore[arg-type, return-value]
    learner.training = replace(learner.training, precision=None, plan="measured")
    learner.training = replace(learner.training, **asked)  # type: ignore[arg-type]
    usual, heaviest = learner.probes()
    probe = Probe(learner, usual, heaviest, lambda rows: torch.zeros(()), 1000, 600.0)
    probe.device = torch.device(device)
    return probe


def test_a_winners_own_kinds_are_tried_though_its_threads_seemed_hopeless(settled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = probed(settled, "cpu")
    probe.threads, probe.pictures = 2, True
    tried: list[str] = []

    def timed(plan: Plan, rows: Batch) -> tuple[float, float]:
        """A neighbour holds the processor at first, and is gone afterwards."""
        few = rows.size <= 8 and not tried
        tried.extend([] if few else [f"{plan.threads}{' last' * plan.channels_last}"])
        return (1.0 if few and plan.threads == 2 else 0.01 if plan.threads == 2 else 0.02), 1.0

    monkeypatch.setattr(probe, "_timed", timed)
    monkeypatch.setattr(probe, "_choose_rows", lambda plan: [1])
    plan = probe.plan()

    assert plan.threads == 2
    assert "2 last" in tried


def test_time_that_is_short_goes_to_numbers_of_threads_before_precisions(settled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside neighbours one thread is several times as fast as two, bfloat16 hardly ever as fast as that."""
    probe = probed(settled, "cpu")
    probe.threads, tried = 2, []

    def timed(plan: Plan, rows: Batch) -> tuple[float, float]:
        tried.append(plan)
        if len(tried) > 4:
            probe.due = 0.0
        return (1.0 if plan.threads == 2 else 0.1), 1.0

    monkeypatch.setattr(probe, "_timed", timed)
    monkeypatch.setattr(probe, "_choose_rows", lambda plan: [1, 2])
    monkeypatch.setattr("mapsto.training.probe._recall", lambda key: None)
    monkeypatch.setattr("mapsto.training.probe._remember", lambda key, found: None)
    probe.due, probe.rows = 60.0, probe.batch

    assert probe.plan().threads == 1
    assert [(plan.threads, plan.precision) for plan in tried[:4]] == [(2, "float32")] * 2 + [(1, "float32")] * 2


@pytest.mark.parametrize(("busy", "one", "chosen"), [(False, 1.03, 1), (False, 1.2, 2), (True, 0.9, 2), (True, 0.8, 1)])
def test_all_threads_must_gain_where_it_is_quiet_and_fewer_where_it_is_not(busy: bool, one: float, chosen: int) -> None:
    plans = [Plan("cpu", threads=2), Plan("cpu", threads=1)]
    names = [_called(plan, 2) for plan in plans]
    timings = Timings(dict(zip(names, (1.0, one), strict=True)), dict.fromkeys(names, 2.0), busy=busy)

    assert _best(plans, timings).threads == chosen


def test_a_plan_whose_steps_were_faster_in_truth_is_measured_again(settled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.training.probe.busy", lambda: False)
    _remember("a plan", Timings({"default": 0.2}, {"default": 1.0}))
    plan = Plan("cpu", seconds_per_micro=0.2, key="a plan")

    doubt(plan, 0.15)
    assert _recall("a plan") is not None
    doubt(plan, 0.04)
    assert _recall("a plan") is None


@pytest.mark.parametrize("known", [True, False])
def test_lower_precision_is_tried_where_the_device_has_it(known: bool, settled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: known)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: known)
    kinds = [plan.precision for plan in _candidates(probed(settled, "cuda"), Plan("cuda"))]

    assert kinds == ["float32", "tf32", *["bfloat16"] * known, "float16"]
    assert [plan.precision for plan in _candidates(probed(settled, "cpu"), Plan("cpu"))] == ["float32", *["bfloat16"] * known]


def test_float16_must_gain_over_bfloat16() -> None:
    plans = [Plan("cuda", precision) for precision in ("float32", "bfloat16", "float16")]
    losses = dict.fromkeys(("default", "bfloat16", "float16"), 2.0)

    assert _best(plans, Timings({"default": 1.0, "bfloat16": 0.5, "float16": 0.48}, losses)).precision == "bfloat16"
    assert _best(plans, Timings({"default": 1.0, "bfloat16": 0.5, "float16": 0.4}, losses)).precision == "float16"
    assert _best([plans[0], plans[2]], Timings({"default": 1.0, "float16": 0.9}, losses)).precision == "float32"


def test_cuda_graphs_are_for_steps_of_one_pass(settled: Run) -> None:
    gpu, rows = probed(settled, "cuda"), EXACT["batch"]

    assert [plan.graphs for plan in _compilable(gpu, Plan("cuda", micro_batch=rows))] == [False, True]
    assert [plan.graphs for plan in _compilable(gpu, Plan("cuda", micro_batch=rows - 1))] == [False]
    assert [plan.graphs for plan in _compilable(probed(settled, "cpu"), Plan("cpu", micro_batch=rows))] == [False]


@pytest.mark.parametrize(("rows", "calls"), [(32, 1), (20, 0)])
def test_steps_of_several_passes_leave_cuda_graphs_out(rows: int, calls: int, settled: Run, tmp_path: Path) -> None:
    """After a micro-batch was halved, say: the second pass would overwrite the gradients of the first."""
    trainer = planned_trainer(settled, tmp_path, Plan("cpu", micro_batch=rows))
    trainer.prepare()
    trainer.updater.plan = replace(trainer.plan, graphs=True)
    learner, seen = trainer.learner, []
    learner.compiled = lambda batch: (seen.append(batch.size), learner.loss(batch))[1]

    trainer.update(learner.loss, next(learner.batches("train", 0)))

    assert seen == [32] * calls


def test_compiling_and_its_graphs_are_taken_where_they_pay_back(settled: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was measured of a step: 1 s, compiled `fast`, with CUDA graphs `faster`; compiling takes 60 s of a training of 600 s."""
    monkeypatch.setattr("mapsto.training.probe.can_compile", lambda device: True)
    probe, plan = probed(settled, "cuda"), Plan("cuda", "bfloat16", threads=torch.get_num_threads(), micro_batch=32)

    def chosen(fast: float, faster: float) -> str:
        names = ("bfloat16", "bfloat16, compiled", "bfloat16, compiled, CUDA graphs")
        found = Timings(dict(zip(names, (1.0, fast, faster), strict=True)), dict.fromkeys(names, 2.0), dict.fromkeys(names[1:], 60.0))
        return probe._compiled(plan, found).name

    assert chosen(0.5, 0.4) == "bfloat16, compiled, CUDA graphs"
    assert chosen(0.5, 0.49) == "bfloat16, compiled"
    assert chosen(0.95, 0.9) == "bfloat16"


def test_profile_says_where_the_time_goes(settled: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = (settled.path / "model.safetensors").read_bytes()

    assert main(["profile", str(settled.path), "--steps", "3"]) == 0

    found = json.loads((settled.path / "profile" / "profile.json").read_text())
    assert found["steps"] == 3 and any("mm" in one["name"] for one in found["operations"])
    assert "Where the time goes" in capsys.readouterr().out and (settled.path / "profile" / "trace.json").stat().st_size > 1000
    assert (settled.path / "model.safetensors").read_bytes() == before


# --- compiled --------------------------------------------------------------------------------------------------------------------


def planned_trainer(run: Run, folder: Path, plan: Plan) -> Trainer:
    """For 12 steps, by a plan."""
    folder.mkdir(exist_ok=True)
    if not (folder / "decisions.jsonl").exists():
        Decisions(folder).add(0, plan=asdict(plan), total=12, every=6)
    learner = run.new_learner(run.new_model(), store_of(run, lambda: None, quiet))  # type: ignore[arg-type, return-value]
    return Trainer(learner, folder, Budget(steps=12))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("plan", [Plan("cpu", compiled=True, prefetch=True, micro_batch=20), HALF], ids=["compiled", "float16"])
def test_a_planned_training_resumes_exactly(plan: Plan, settled: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 32 in micro-batches of 20 and 12 (two shapes), with an embedded colour: killed in the 9th step, saved after the 5th."""
    whole = planned_trainer(settled, tmp_path / "whole", plan)
    whole.fit()
    broken, follow = planned_trainer(settled, tmp_path / "broken", plan), Ema.update

    def watched(average: Ema, step: int) -> None:
        follow(average, step)
        if broken.step == 4:
            broken._saved_at = 0.0
        if broken.step == 8:
            raise Killed

    monkeypatch.setattr(Ema, "update", watched)
    monkeypatch.setattr(trainers, "TICK", 0.0)
    with pytest.raises(Killed):
        broken.fit()
    monkeypatch.setattr(Ema, "update", follow)
    again = planned_trainer(settled, tmp_path / "broken", plan)
    again.fit()

    assert (whole.learner.compiled is not None) == plan.compiled and again._began == 5
    assert whole.learner.scaler.state_dict() == again.learner.scaler.state_dict()
    for name, value in whole.learner.model.state_dict().items():
        assert torch.equal(value, again.learner.model.state_dict()[name]), name


# --- float16 ---------------------------------------------------------------------------------------------------------------------


def test_the_first_scale_of_float16_counts_the_rows_that_are_summed(settled: Run, tmp_path: Path) -> None:
    found = {}
    for rows in (20, 32):
        trainer = planned_trainer(settled, tmp_path / str(rows), replace(HALF, micro_batch=rows))
        trainer.prepare()
        found[rows] = trainer.learner.scaler.get_scale()

    assert found == {20: 2.0**11, 32: 2.0**16}


def test_float16_learns_nearly_what_float32_learns(settled: Run, tmp_path: Path) -> None:
    trainers_ = [planned_trainer(settled, tmp_path / plan.precision, plan) for plan in (HALF, replace(HALF, precision="float32"))]
    for trainer in trainers_:
        trainer.fit()

    half, full = (torch.cat([p.detach().flatten() for p in trainer.learner.model.parameters()]) for trainer in trainers_)
    assert not torch.equal(half, full) and torch.allclose(half, full, atol=0.02)


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_step_of_infinite_gradients_is_left_out_and_the_scale_halved(clip: float, settled: Run, tmp_path: Path) -> None:
    trainer = planned_trainer(settled, tmp_path, HALF)
    trainer.prepare()
    trainer.learner.training = replace(trainer.learner.training, clip=clip)
    before = {name: value.clone() for name, value in trainer.learner.model.state_dict().items()}
    trainer.learner.scaler.load_state_dict({**trainer.learner.scaler.state_dict(), "scale": 1e38})

    trainer.update(trainer.learner.loss, next(trainer.learner.batches("train", 0)))

    assert trainer.learner.scaler.get_scale() == pytest.approx(5e37)
    assert all(torch.equal(value, before[name]) for name, value in trainer.learner.model.state_dict().items())


# --- together --------------------------------------------------------------------------------------------------------------------


def train(cells: Path, out: Path, *words: str) -> subprocess.Popen[str]:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in EXACT.items()]
    command = [sys.executable, "-m", "mapsto.cli", "train", str(cells), "--target", "y", "--out", str(out), "--json", *options, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def done(process: subprocess.Popen[str]) -> bool:
    process.communicate(timeout=300)
    return process.returncode == 0


def only(folder: Path) -> Run:
    return Run.open(next(file.parent for file in folder.glob("*/run.json")))


def weights(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.model.state_dict())


def test_two_processes_learn_what_one_learns(cells: Path, tmp_path: Path) -> None:
    """The losses of 50 steps, two by two, within 1e-5 of each other, and the weights nearly so."""
    for size in ("1", "2"):
        assert done(train(cells, tmp_path / size, "--steps", "50", "--devices", size))

    one, two = only(tmp_path / "1"), only(tmp_path / "2")
    losses = [[entry["loss"] for entry in run.history if entry["step"]] for run in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert all(torch.allclose(value, weights(two)[name], rtol=1e-3, atol=1e-5) for name, value in weights(one).items())
    assert read_json_lines(two.path / "decisions.jsonl")[0]["plan"]["processes"] == 2


@pytest.fixture(scope="module")
def learned_by_two(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes learn that nobody stops."""
    folder = tmp_path_factory.mktemp("whole")
    assert done(train(cells, folder, "--steps", "300", "--devices", "2", "--threads", "1"))
    return only(folder).path


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "asked to leave"])
def test_two_processes_resume_exactly(cells: Path, learned_by_two: Path, tmp_path: Path, how: signal.Signals) -> None:
    """The process that started them is killed, or asked to save and leave, while they learn; none of them stays."""
    broken = train(cells, tmp_path / "broken", "--steps", "300", "--devices", "2", "--threads", "1")
    assert broken.stdout is not None
    assert next(line for line in broken.stdout if '"evaluate"' in line)
    broken.send_signal(how)
    broken.communicate(timeout=60)
    run = only(tmp_path / "broken").path
    assert broken.returncode == (143 if how == signal.SIGTERM else -9)

    api.resume(run, emit=quiet)

    assert api.same_weights(run, learned_by_two)


def test_a_process_that_fails_ends_the_others_and_is_told(cells: Path, tmp_path: Path) -> None:
    """A rate at which no loss is a number: every process finds so, one line says it, and the run can be resumed."""
    with pytest.raises(MapstoError, match="became no number") as told:
        mapsto.train(str(cells), target="y", steps=200, devices=2, out=tmp_path, emit=quiet, **{**EXACT, "clip": 0.0, "lr": 1e30, "optimizer": "sgd"})
    assert "resume" in str(told.value)
