"""Streams that are learned from: what was learned is told, bounded, never lost, and a run like others."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
import torch

import mapsto
import mapsto.api
from mapsto.cli import main
from mapsto.errors import MapstoError
from mapsto.run import Run
from mapsto.serve.served import opened
from mapsto.steps import learned_run
from mapsto.training.checkpoint import same_weights

EVENTS = int(os.environ.get("MAPSTO_EVENTS", "1200"))  # once a release: 10,000
TURN = EVENTS // 3  # the event from which on every label is the other one
SMALL = {"model": "mlp(width=16,depth=1,members=2)", "learner": "supervised", "steps": 300, "batch": 64}
TURNED = {"up": "down", "down": "up"}


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory, without_reports: None, one_thread: None) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    made = mapsto.train(str(table), "x, shop -> sign:category", out=folder, device="cpu", plan="default", emit=lambda event: None, **SMALL)
    return made.path


def event(i: int, draw: random.Random, turn: int = TURN) -> dict[str, Any]:
    x, shop = round(draw.gauss(0, 1), 3), draw.choice("abc")
    sign = "up" if (x > 0) == (shop == "a") else "down"
    return {"id": f"e{i}", "x": x, "shop": shop, "sign": TURNED[sign] if i >= turn else sign}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    draw = random.Random(0)
    return [event(i, draw) for i in range(EVENTS)]


@pytest.fixture(scope="module")
def few(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Enough to be killed at, which learn nothing well; all of them once a release."""
    return rows if EVENTS >= 10_000 else rows[:640]


def written(path: Path, rows: list[dict[str, Any]], *without: str) -> Path:
    with path.open("a") as file:
        file.writelines(json.dumps({name: cell for name, cell in row.items() if name not in without}) + "\n" for row in rows)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    return [json.loads(each) for each in text.split("\n")[:-1]]


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


def stream(*words: object) -> int:
    return main(["stream", *map(str, words)])


def digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


@pytest.fixture(scope="module")
def learned(run: Path, rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a run that followed the turn, its answers)."""
    folder = tmp_path_factory.mktemp("learned")
    path, answers = folder / "learned", folder / "answers.jsonl"
    before = digests(run)
    assert stream(run, written(folder / "events.jsonl", rows), answers, "--key", "id", "--learn", "events", "--most-forget", 1, "--out", path) == 0
    assert digests(run) == before, "the run itself is left as it is"
    return path, answers


def test_a_turned_concept_is_learned(learned: tuple[Path, Path], rows: list[dict[str, Any]]) -> None:
    said = Run.open(learned[0]).record["stream"]
    answered = said["answered"]["sign"]
    right = [one["sign"] == row["sign"] for one, row in zip(lines(learned[1]), rows, strict=True)]

    assert sum(right[:TURN]) > 0.9 * TURN, "as the run learned it"
    assert sum(right[TURN : TURN + 100]) < 60, "first what was learned is wrong"
    assert sum(right[-200:]) > 140, "then it is learned anew"
    assert answered["now"] > answered["before"] + 0.2 and said["changes"] >= 1
    assert answered["n"] == EVENTS // 32 * 32 and said["labelled"] == EVENTS
    assert said["forgot"]["sign"] > 0.5, "of a concept that turned nothing can be kept"


def test_a_learned_run_is_a_run(learned: tuple[Path, Path], run: Path, rows: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, answers = learned[0], tmp_path / "answers.jsonl"
    found = mapsto.load(path)

    assert found.status == "done" and found.metrics["test"]["sign"]["accuracy"]["value"] < 0.5
    assert found.record["calibration"] != mapsto.load(run).record["calibration"], "made anew"
    assert stream(path, written(tmp_path / "events.jsonl", rows[-100:], "sign"), answers) == 0
    assert sum(one["sign"] == row["sign"] for one, row in zip(lines(answers), rows[-100:], strict=True)) > 80
    assert main(["compare", str(run), str(path), "--out", str(tmp_path / "compare.html")]) == 0
    copied = shutil.copytree(path, tmp_path / "extended")
    extended = mapsto.api.extend(copied, steps=5, emit=lambda event: None)
    assert extended.status == "done" and not same_weights(extended.path, path)
    assert stream(run, tmp_path / "events.jsonl", "--learn", "events", "--out", copied) == 2
    assert "was extended since" in capsys.readouterr().err
    for words in (["resume", str(path)], ["reproduce", str(path)]):
        capsys.readouterr()
        assert main(words) == (0 if words[0] == "resume" else 2)
    assert "learned on from a stream, whose events it does not keep" in capsys.readouterr().err


def test_what_is_lost_on_test_rows_is_bounded(run: Path, rows: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "learned"
    assert stream(run, written(tmp_path / "events.jsonl", rows), tmp_path / "answers.jsonl", "--learn", "events", "--out", path, "--most-forget", "0.02") == 0
    said, was = Run.open(path), mapsto.load(run).metrics["test"]["sign"]["accuracy"]["value"]

    assert said.metrics["test"]["sign"]["accuracy"]["value"] >= was - 0.02 - 1e-9
    assert said.record["stream"]["refused"] and max(said.record["stream"]["forgot"].values()) <= 0.02
    assert "and did not answer" in capsys.readouterr().err


def test_kills_lose_nothing_that_was_learned(run: Path, few: list[dict[str, Any]], tmp_path: Path) -> None:
    """The right answers come from another place, in another order; three kills end with the same weights."""
    events = written(tmp_path / "events.jsonl", few, "sign")
    labels = written(tmp_path / "labels.jsonl", [row for low in range(0, len(few), 50) for row in few[low : low + 50][::-1]], "x", "shop")
    words = [("stream", str(run), str(events), str(tmp_path / f"{name}.jsonl"), "--key", "id", "--learn", str(labels), "--most-forget", "1", "--out", str(tmp_path / name)) for name in ("whole", "killed")]
    assert forked.Command(*words[0]).wait() == 0
    answers, state = tmp_path / "killed.jsonl", tmp_path / "killed" / learned_run.STATE
    for share in (0.1, 0.4, 0.7):
        command = forked.Command(*words[1])
        until(lambda share=share: len({one["key"] for one in lines(answers)}) > share * len(few) and state.exists())
        command.send_signal(signal.SIGKILL)
        assert command.wait() == -signal.SIGKILL
    with pytest.raises(MapstoError, match="not finished"):
        mapsto.load(tmp_path / "killed").predict({"x": 1, "shop": "a"})
    assert forked.Command(*words[1]).wait() == 0

    whole, killed = (Run.open(tmp_path / name).record["stream"] for name in ("whole", "killed"))
    assert {one["key"] for one in lines(answers)} == {row["id"] for row in few}
    assert same_weights(tmp_path / "whole", tmp_path / "killed") and killed["answered"] == whole["answered"]
    assert killed["labelled"] == len(few)


def test_it_goes_on_where_it_ended(run: Path, rows: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events, answers, path = tmp_path / "events.jsonl", tmp_path / "answers.jsonl", tmp_path / "learned"
    written(events, rows[:300])
    words = (run, events, answers, "--learn", "events", "--out", path, "--key", "id", "--most-forget", 1)
    assert stream(*words) == 0
    written(events, rows[300:600])
    assert stream(*words) == 0
    said = capsys.readouterr().err

    assert Run.open(path).record["stream"]["labelled"] == 600 and len(lines(answers)) == 600
    assert "goes on after 300 labelled events" in said and "learned from 576 labelled events" in said and "24 wait for 8 more" in said


def test_labels_of_csv_and_those_that_fit_nothing(run: Path, rows: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("id,sign\n" + "".join(f"{row['id']},{row['sign']}\n" for row in rows[:70]) + "e9999,up\n,up\ne70,sideways\n")
    assert stream(run, written(tmp_path / "events.jsonl", rows[:90], "sign"), tmp_path / "answers.jsonl", "--key", "id", "--learn", labels, "--out", tmp_path / "learned") == 0
    said = capsys.readouterr().err

    assert "learned from 64 labelled events" in said and "7 wait for 25 more" in said
    assert "1 right answers could not be read: 73: expected a key in 'id', found none" in said


@pytest.mark.parametrize("signature", ["x, shop -> y:number", "x, shop -> sign:category, y:number", "shop:text -> sign:category"])
def test_what_is_learned_in_one_pass_can_learn_on(table: Path, tmp_path: Path, signature: str, without_reports: None, one_thread: None) -> None:
    model = {} if "text" in signature else {"model": SMALL["model"]}
    made = mapsto.train(str(table), signature, out=tmp_path, learner="supervised", steps=20, batch=64, device="cpu", plan="default", emit=lambda event: None, **model)
    events = tmp_path / "events.csv"
    events.write_text("".join(table.read_text().splitlines(keepends=True)[:131]))
    assert stream(made.path, events, tmp_path / "answers.jsonl", "--learn", "events", "--most-forget", 1, "--out", tmp_path / "learned") == 0
    found = mapsto.load(tmp_path / "learned").record["stream"]

    assert found["groups"] == 4 and set(found["answered"]) == {slot.name for slot in made.signature.outputs}
    assert not same_weights(made.path, tmp_path / "learned")


def test_what_cannot_learn_on_says_so(run: Path, table: Path, tmp_path: Path, without_reports: None, two_nets: None, capsys: pytest.CaptureFixture[str]) -> None:
    bag = mapsto.train(str(table), "x, shop -> sign:category", out=tmp_path, learner="bagged", model="mlp(nets=2,width=16,depth=1,members=2)", steps=5, device="cpu", plan="default", emit=lambda event: None)
    capsys.readouterr()
    for words, said in (
        ((bag.path, "nowhere", "--learn", "events"), "which cannot go on with single rows"),
        ((run, table, "-", "--learn", table), "expected another place"),
        ((run, table, "-", "--learn", "nowhere.jsonl", "--out", tmp_path / "a"), "nowhere.jsonl: cannot be read"),
        ((run, table, "-", "--learn", "events", "--out", run), "is the run itself"),
        ((run, table, "-", "--learn", "events", "--out", tmp_path), "holds something else"),
        ((run, table, "-", "--learn", "events", "--most-forget", "much"), "expected a number from 0 to 1"),
    ):
        assert stream(*words) == 2
        message = capsys.readouterr().err
        assert said in message and len(message.splitlines()) <= 3, message
    assert not (tmp_path / "a").exists(), "what learned nothing leaves nothing"


def test_labelled_rows_are_encoded_as_stored_ones(run: Path, table: Path) -> None:
    from mapsto.steps._encoded import from_store, size_of, to_tensors

    served = opened(run)
    head, *cells = table.read_text().splitlines()[:41]
    encoded, problems = served.labelled([dict(zip(head.split(","), line.split(","), strict=True)) for line in cells])
    store = learned_run.store_of(Run.open(run), lambda: pytest.fail("it is in the cache"), lambda event: None)
    stored = from_store(store.raw(store.rows("train")[:1]))

    assert not problems and size_of(encoded) == 40 and set(encoded) == set(stored)
    assert all(to_tensors(encoded)[spot].dtype == to_tensors(stored)[spot].dtype for spot in stored)
    assert all(isinstance(value, torch.Tensor) for value in to_tensors(encoded).values())


# --- topics ---


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[str, Any]]:
    """(its address, a producer of it): librdkafka's own, in this process."""
    kafka = pytest.importorskip("confluent_kafka")
    producer = kafka.Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 2})
    found = next(iter(producer.list_topics(timeout=10).brokers.values()))
    yield f"{found.host}:{found.port}", producer


def test_kills_lose_nothing_of_a_topic(run: Path, broker: tuple[str, Any], few: list[dict[str, Any]], tmp_path: Path) -> None:
    address, producer = broker
    for row in few:
        producer.produce("turning", json.dumps(row).encode(), partition=0)
    assert producer.flush(30) == 0
    answers, path = tmp_path / "answers.jsonl", tmp_path / "learned"
    settings = "session.timeout.ms=6000&heartbeat.interval.ms=200"
    words = ("stream", str(run), f"kafka://{address}/turning?{settings}", str(answers), "--key", "id", "--learn", "events", "--most-forget", "1", "--out", str(path))

    def keys() -> set[str]:
        return {one["key"] for one in lines(answers)}

    for share in (0.1, 0.4, 0.7) if EVENTS >= 10_000 else (0.4,):  # 9 s until a killed one's partition is free
        command = forked.Command(*words)
        until(lambda share=share: len(keys()) > share * len(few) and (path / learned_run.STATE).exists())
        command.send_signal(signal.SIGKILL)
        assert command.wait() == -signal.SIGKILL
    command = forked.Command(*words)
    until(lambda: len(keys()) == len(few))
    command.send_signal(signal.SIGTERM)
    assert command.wait() == 0
    said = Run.open(path).record["stream"]

    assert keys() == {row["id"] for row in few} and said["labelled"] == len(few), "each was learned once"
    assert EVENTS < 10_000 or said["answered"]["sign"]["now"] > said["answered"]["sign"]["before"] + 0.2
    assert len(lines(answers)) < 1.8 * len(few), "repeats are those since a checkpoint"
