"""No crash can take a run away, and none changes it: killed and resumed equals unbroken, bit for bit."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from forked import Command

from mapsto import api
from mapsto.cli import main
from mapsto.errors import RunError
from mapsto.run import Run

pytestmark = pytest.mark.usefixtures("without_reports")

def start(*words: str) -> Command:
    return Command(*words)


def finished(process: Command) -> None:
    assert process.wait() == 0


def only_run(folder: Path) -> Path | None:
    return next((file.parent for file in folder.glob("*/run.json")), None)


PICTURES = (
    "--model",
    "resnet(depth=8,width=8)",
    "--learner",
    "supervised(mixup=0.2)",
    "--ema",
    "0.99",
    "--steps",
    "40",
    "--batch",
    "32",
    "--threads",
    "1",
)
CELLS = ("--target", "y", "--model", "mlp(width=32,members=4,nets=1)", "--ema", "0.9", "--steps", "600", "--batch", "32", "--threads", "1")


TEXTS = ("notes:text(hide=0.2, max=20, long=windows) -> topic", "--ema", "0.9", "--steps", "80", "--batch", "16", "--threads", "1")
MIXED = ("image, notes:text(hide=0.1), age:number -> topic:category, days:number", "--model", "fusion(mix=attention,token=32)")
MIXED = (*MIXED, "--steps", "60", "--batch", "16", "--micro-batch", "6", "--threads", "1")


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 pictures with notes of 4 to 40 words, an age that is sometimes missing, a topic and a number of days."""
    draw, folder = np.random.default_rng(0), tmp_path_factory.mktemp("cases") / "cases"
    folder.mkdir()
    words = {"sport": ["goal", "team", "match", "win", "player"], "food": ["bread", "soup", "cheese", "salt", "cook"]}
    with (folder / "metadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "notes", "age", "topic", "days"])
        for i in range(120):
            topic, light, age = ("sport", "food")[i % 2], int(draw.integers(20, 230)), int(draw.integers(18, 80))
            PIL.Image.fromarray(np.full((12, 12, 3), light, np.uint8)).save(folder / f"{i:03d}.png")
            notes = " ".join(draw.choice([*words[topic], "the", "a", "of", "and"], draw.integers(4, 40)))
            table.writerow([f"{i:03d}.png", notes, "" if i % 9 == 0 else age, topic, light / 10 + age / 5 + float(draw.normal())])
    return folder


@pytest.fixture(scope="session")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 texts of 60 to 300 words, so long that batches hold like lengths, and their topic."""
    draw, path = np.random.default_rng(0), tmp_path_factory.mktemp("notes") / "notes.csv"
    words = ["".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz"), draw.integers(3, 9))) for _ in range(2000)]
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["notes", "topic"])
        for i in range(120):
            table.writerow([" ".join([*draw.choice(words, draw.integers(60, 300)), "goal" if i % 2 else "bread"]), "sport" if i % 2 else "food"])
    return path


@pytest.mark.parametrize(
    ("data", "options"),
    [("photos", PICTURES), ("table", CELLS), ("notes", TEXTS), ("cases", MIXED)],
    ids=[
        "images with augmentation, mixup and EMA",
        "a table with dropout",
        "texts by length, with hidden tokens and windows",
        "text, image and number in micro-batches",
    ],
)
def test_killed_at_random_instants_ends_bit_identical(data: str, options: tuple[str, ...], request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path = str(request.getfixturevalue(data))
    finished(start("train", path, *options, "--out", str(tmp_path / "unbroken")))
    dice = random.Random(data)
    process = start("train", path, *options, "--out", str(tmp_path / "killed"))
    wait_for(lambda: (run := only_run(tmp_path / "killed")) and (run / "checkpoint.safetensors").exists(), process)
    for _ in range(2):
        time.sleep(dice.uniform(0.0, 1.0))  # the instant is the test's subject, not a wait for something
        process.send_signal(signal.SIGKILL)
        process.wait()
        run = only_run(tmp_path / "killed")
        if Run.open(run).status == "done":
            break
        process = start("resume", str(run))
        time.sleep(1.5)
    process.wait()
    run = only_run(tmp_path / "killed")
    if Run.open(run).status != "done":
        finished(start("resume", str(run)))

    assert api.same_weights(only_run(tmp_path / "unbroken"), run)
    assert Run.open(run).metrics["test"] == Run.open(only_run(tmp_path / "unbroken")).metrics["test"]


@pytest.fixture(scope="module")
def unbroken(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What nobody stopped, of 1,500 steps."""
    folder = tmp_path_factory.mktemp("unbroken")
    finished(start("train", str(table), *CELLS, "--steps", "1500", "--out", str(folder)))
    run = only_run(folder)
    assert run is not None
    return run


def test_a_truncated_checkpoint_falls_back_to_the_one_before(table: Path, tmp_path: Path, unbroken: Path) -> None:
    run = stopped_midway(table, tmp_path)
    newest = run / "checkpoint.safetensors"
    newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])

    resumed = api.resume(run, emit=ignore)

    assert resumed.status == "done"
    assert api.same_weights(run, unbroken)


def test_two_resumes_of_one_run_at_once(table: Path, tmp_path: Path) -> None:
    run = stopped_midway(table, tmp_path)
    from mapsto.files import locked

    with locked(run), pytest.raises(RunError, match=f"being written by process {os.getpid()}"):
        api.resume(run, emit=ignore)


def test_sigterm_saves_and_resume_goes_on(table: Path, tmp_path: Path, unbroken: Path) -> None:
    run = stopped_midway(table, tmp_path, number=signal.SIGTERM, code=143)

    assert api.same_weights(api.resume(run, emit=ignore).path, unbroken)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["terminated", "interrupted"])
def test_a_command_that_is_stopped_outside_its_steps_says_so(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    """In its first seconds, and when it has learned and measures."""
    words = ["train", str(table), "--target", "sign", "--steps", "2", "--model", "linear", "--out", str(tmp_path)]
    for module, said in (("mapsto.api.open_source", "stopped before anything was learned"), ("mapsto.steps.finish.finish", "stopped. Go on with: mapsto resume")):
        with monkeypatch.context() as patch:
            patch.setattr(module, lambda *words: signal.raise_signal(number))
            before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
            assert main(words) == code
            signal.signal(signal.SIGINT, before)
        assert said in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert api.resume(only_run(tmp_path), emit=ignore).status == "done"


def test_ctrl_c_ends_well_and_is_reproducible(table: Path, tmp_path: Path) -> None:
    run = stopped_midway(table, tmp_path, number=signal.SIGINT, code=0)

    found = Run.open(run)
    assert found.status == "done" and found.record["stopped"] == "interrupted"
    _, equal = api.reproduce(run, emit=ignore)
    assert equal


def test_all_checkpoints_damaged_is_said(table: Path, tmp_path: Path) -> None:
    run = stopped_midway(table, tmp_path)
    for name in ("checkpoint.safetensors", "checkpoint.previous.safetensors"):
        (run / name).write_bytes(b"nothing")
    with pytest.raises(RunError, match="no checkpoint is whole"):
        api.resume(run, emit=ignore)


def test_a_budget_in_minutes_is_kept_and_reproduces(table: Path, tmp_path: Path) -> None:
    run = api.train(table, "x, shop -> y", minutes=0.15, batch=32, model="mlp(width=16,nets=1)", out=tmp_path, emit=ignore, threads=1)

    _, equal = api.reproduce(run.path, emit=ignore)

    assert equal
    totals = [json.loads(line) for line in (run.path / "decisions.jsonl").read_text().splitlines()]
    assert any("total" in decision for decision in totals)


def ignore(event: object) -> None:
    """Tests read results, not progress."""


def wait_for(ready, process: Command, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)


def killed_and_resumed(folder: Path, *words: str) -> tuple[Run, Run]:
    """(unbroken, killed at some instant behind its first checkpoint and resumed) of one `mapsto train`."""
    words = ("train", *words, "--threads", "1")
    finished(start(*words, "--out", str(folder / "unbroken")))
    process = start(*words, "--out", str(folder / "killed"))
    wait_for(lambda: (run := only_run(folder / "killed")) and (run / "checkpoint.safetensors").exists(), process)
    time.sleep(random.Random(0).uniform(0, 0.5))  # the instant is the test's subject
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = only_run(folder / "killed")
    assert killed is not None and Run.open(killed).status != "done"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mapsto.report.reporting.written", lambda *words: "")
        resumed, unbroken = api.resume(killed, emit=ignore), only_run(folder / "unbroken")
    assert unbroken is not None
    return Run.open(unbroken), resumed


def same(unbroken: Run, resumed: Run) -> bool:
    """Equal weights, bit for bit, and equal figures."""
    return api.same_weights(unbroken.path, resumed.path) and resumed.metrics["test"] == unbroken.metrics["test"]


def stopped_midway(table: Path, tmp_path: Path, number: int = signal.SIGKILL, code: int = -signal.SIGKILL) -> Path:
    """A run stopped by a signal some steps behind its second checkpoint."""
    process = start("train", str(table), *CELLS, "--steps", "1500", "--out", str(tmp_path / "stopped"))
    wait_for(lambda: (run := only_run(tmp_path / "stopped")) and (run / "checkpoint.previous.safetensors").exists(), process)
    process.send_signal(number)
    assert process.wait(timeout=120) == code
    run = only_run(tmp_path / "stopped")
    assert run is not None
    return run
