"""Streams: answers are those of `mapsto predict`, every event gets one, and kills lose none."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest

import mapsto
from mapsto.cli import main
from mapsto.measure.adwin import Adwin

EVENTS = int(os.environ.get("MAPSTO_EVENTS", "1500"))  # once a release: 10,000
KILLED = (0.1, 0.3, 0.6)  # when that share of them is answered


@pytest.fixture(scope="module")
def run(table: Path, tmp_path_factory: pytest.TempPathFactory, without_reports: None) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    made = mapsto.train(str(table), "x, shop -> sign:category, y:number", out=folder, model="baseline", device="cpu", emit=lambda event: None)
    return made.path


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return written(tmp_path / "events.jsonl", range(EVENTS))


def line(i: int) -> str:
    return json.dumps({"id": f"e{i}", "x": i % 50 / 10 - 2.5, "shop": "abc"[i % 3]}) + "\n"


def written(path: Path, numbers: range) -> Path:
    with path.open("a") as file:
        file.writelines(map(line, numbers))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    """Whole lines; none before the file is there."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(each) for each in text.split("\n")[:-1]]


def until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


def stream(*words: object) -> int:
    return main(["stream", *map(str, words)])


def test_answers_are_those_of_predict(run: Path, table: Path, tmp_path: Path) -> None:
    answers, predicted = tmp_path / "answers.jsonl", tmp_path / "predicted.jsonl"
    assert stream(run, table, answers, "--probabilities", "--batch", 64) == 0
    assert main(["predict", str(run), str(table), "--out", str(predicted), "--probabilities"]) == 0
    found, wanted = lines(answers), lines(predicted)
    assert [one.pop("key") for one in found] == [str(i + 2) for i in range(600)], "line 1 is the header"
    for row in wanted:
        row.pop("row")
        row["sign.set"] = [name for name in row["sign.set"].split(";") if name]  # a list, as of a server
    assert [list(one) for one in found] == [list(row) for row in wanted]
    for one, row in zip(found, wanted, strict=True):
        assert one == {name: pytest.approx(cell, rel=1e-5) if isinstance(cell, float) else cell for name, cell in row.items()}


def test_bad_lines_are_answered(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = ["no json", "[1]", "", '{"id": "lacks", "shop": "a"}', '{"id": "text", "x": "one", "shop": "a"}', '{"x": 1, "shop": "a"}', "[" * 9999]
    path, answers = tmp_path / "events.jsonl", tmp_path / "answers.jsonl"
    path.write_text(line(1) + "\n".join(bad) + "\n" + line(2).rstrip("\n"))
    path.write_bytes(path.read_bytes() + b"\n\xff\xfe\n")
    assert stream(run, path, answers, "--key", "id") == 0
    found = lines(answers)
    assert [one["key"] for one in found] == ["e1", "2", "3", "lacks", "text", "7", "8", "e2", "10"]
    problems = [one["problem"] for one in found]
    assert not problems[0] and not problems[7] and all(problems[1:7]) and problems[8]
    assert problems[1:4] == ["expected a JSON object, found 'no json' (Expecting value, column 1)", "expected a JSON object, found '[1]' (JSON, but a list)", "expected the field 'x'; found id, shop"]
    assert "expected a number" in problems[4] and problems[5] == "expected a key in 'id', found none; its place stands for it" and found[5]["sign"]
    assert "5 answers have their event's place for a key: it brought no 'id'" in capsys.readouterr().err


def test_whether_a_column_lacks_is_no_matter_of_the_batch(run: Path, tmp_path: Path) -> None:
    path, answers = tmp_path / "events.jsonl", tmp_path / "answers.jsonl"
    path.write_text(line(1) + '{"shop": "a"}\n' + line(2))
    assert stream(run, path, answers) == 0
    assert [bool(one["problem"]) for one in lines(answers)] == [False, True, False]
    assert stream(run, path, tmp_path / "more.jsonl", "--missing-ok") == 0
    assert not any(one["problem"] for one in lines(tmp_path / "more.jsonl"))


def test_standard_input_to_standard_output(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lines.csv"
    path.write_text('shop;x\na;1.5\nb;"2"\nc\n')
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert stream(run, "--csv") == 0
    said = capsys.readouterr()
    found = [json.loads(each) for each in said.out.splitlines()]
    assert [one["key"] for one in found] == ["2", "3", "4"] and found[0]["sign"] and not found[1]["problem"]
    assert found[2]["problem"] == "expected a csv line, found 'c' (1 cells, where 2 columns are named)"
    assert said.err == "mapsto: 3 events answered, 1 with a problem\n"


def test_kills_lose_no_event(run: Path, events: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    words = ("stream", str(run), str(events), str(answers), "--key", "id", "--batch", "16")
    for share in KILLED:
        command = forked.Command(*words)
        until(lambda share=share: len(lines(answers)) > share * EVENTS)
        command.send_signal(signal.SIGKILL)
        assert command.wait() == -signal.SIGKILL
    assert forked.Command(*words).wait() == 0
    found = lines(answers)
    by_key = {one["key"]: one for one in found}
    assert set(by_key) == {f"e{i}" for i in range(EVENTS)}
    assert all(by_key[one["key"]] == one for one in found), "a repeated answer is the same"
    assert len(found) - EVENTS <= 3 * 16, "at most a batch for each kill"


def test_a_growing_file_is_followed_until_it_is_told_to_stop(run: Path, tmp_path: Path) -> None:
    path, answers = written(tmp_path / "events.jsonl", range(10)), tmp_path / "answers.jsonl"
    words = ("stream", str(run), str(path), str(answers), "--follow", "--key", "id")
    command = forked.Command(*words)
    until(lambda: len(lines(answers)) == 10)
    with path.open("a") as file:
        file.write(line(10)[:-20])  # not yet an event
        file.flush()
        command.send_signal(signal.SIGTERM)
        assert command.wait() == 0 and len(lines(answers)) == 10
        file.write(line(10)[-20:])
    command = forked.Command(*words)
    until(lambda: len(lines(answers)) == 11)
    assert stream(*words[1:]) == 2, "its answers are being written by another"
    path.write_text(line(11))
    assert command.wait() == 2, "the file was cut"
    assert [one["key"] for one in lines(answers)] == [f"e{i}" for i in range(11)]


def test_a_line_cut_by_a_kill_is_written_again(run: Path, tmp_path: Path) -> None:
    path, answers = written(tmp_path / "events.jsonl", range(3)), tmp_path / "answers.jsonl"
    answers.write_text('{"key": "0"}\n{"key": "1", "si')
    assert stream(run, path, answers) == 0
    assert [one["key"] for one in lines(answers)] == ["0", "1", "2", "3"]


def test_a_disk_that_is_full_commits_nothing(run: Path, events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = tmp_path / "answers.jsonl"

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert stream(run, events, answers) == 2
    assert not (tmp_path / "answers.jsonl.state").exists()
    assert stream(run, events, answers) == 0 and {one["key"] for one in lines(answers)} == {str(i + 1) for i in range(EVENTS)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.jsonl",), "nowhere.jsonl: cannot be read"),
        (("-", "answers.csv"), "expected a name ending in .jsonl"),
        (("-", "-", "--state", "s"), "--state is of files"),
        (("-", "-", "--follow"), "--follow is of files"),
        (("amqp://broker/topic",), "expected a file, a topic (kafka://BROKER/TOPIC), - (standard input or output)"),
        (("same.jsonl", "same.jsonl"), "is what is read"),
        (("-", "-", "--wait", "soon"), "--wait soon: expected a time"),
        (("-", "-", "--batch", "0"), "--batch 0: expected a whole number"),
        (("kafka://broker",), "expected a broker and a topic"),
        (("kafka://broker/topic?acks=0",), "'acks' is set by mapsto"),
        (("kafka://broker/topic?config=nowhere",), "nowhere: cannot be read"),
        (("kafka://broker/topic", "-", "--state", "s"), "--state is of files"),
        (("-", "-", "--out", "there"), "--out is of --learn"),
        (("-", "-", "--learn", "events"), "is solved, not learned step by step"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_said_in_three_lines(run: Path, words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert stream(run, *words) == 2
    message = capsys.readouterr().err
    assert said in message and len(message.splitlines()) <= 3


def test_the_extra_is_named(run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    assert stream(run, "kafka://localhost:1/shop") == 2
    assert capsys.readouterr().err == 'mapsto: topics need the library confluent-kafka, which is not installed: pip install "mapsto[kafka]"\n'


# --- what changes ---


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_no_change_is_told_of_what_stays(share: float) -> None:
    for seed in range(3):
        draw, window = random.Random(seed), Adwin()
        assert not any(window.add(float(draw.random() < share)) for _ in range(5000))
        assert window.n == 5000 and window.mean == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("before", "after", "within"), [(0.05, 0.5, 100), (0.05, 0.15, 500), (0.9, 0.6, 200)])
def test_a_change_is_told_soon(before: float, after: float, within: int) -> None:
    draw, window = random.Random(0), Adwin()
    for _ in range(3000):
        window.add(float(draw.random() < before))
    found = [change for _ in range(within) if (change := window.add(float(draw.random() < after)))]
    assert found and found[0].before == pytest.approx(before, abs=0.05)
    assert window.n < 1750, "half of what was before, or all, is forgotten"


def test_changes_of_events_and_of_errors_are_told(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, answers = written(tmp_path / "events.jsonl", range(1500)), tmp_path / "answers.jsonl"
    assert stream(run, path, answers) == 0
    first = capsys.readouterr().err
    truths = [one["sign"] if i < 900 else {"up": "down", "down": "up"}[one["sign"]] for i, one in enumerate(lines(answers))]
    rows = [json.loads(each) | {"sign": truth} for each, truth in zip(path.read_text().splitlines(), truths, strict=True)]
    strange = [row | {"shop": "nowhere"} if i >= 1200 else row for i, row in enumerate(rows)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in strange))
    assert stream(run, path, tmp_path / "again.jsonl") == 0
    said = capsys.readouterr().err.splitlines()
    assert first == "mapsto: 1,500 events answered\n"
    changed = {each.split(": ")[2]: int(each.split(": ")[1].split()[-1].replace(",", "")) for each in reversed(said) if "changed" in each}
    assert 900 < changed["wrong answers for 'sign'"] < 1000 and 1200 < changed["events unlike the training rows"] < 1300
    assert said[-1].startswith("mapsto: 'sign': 6") and "of 1,500 whose answer came along" in said[-1]


# --- topics ---


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[str, Any]]:
    """(its address, a producer of it): librdkafka's own, in this process."""
    kafka = pytest.importorskip("confluent_kafka")
    producer = kafka.Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 2})
    found = next(iter(producer.list_topics(timeout=10).brokers.values()))
    yield f"{found.host}:{found.port}", producer


def taken(address: str, topic: str) -> list[tuple[str, dict[str, Any]]]:
    """(key, answer) of all that stands in a topic."""
    import confluent_kafka as kafka

    consumer = kafka.Consumer({"bootstrap.servers": address, "group.id": "none", "enable.partition.eof": True, "log_level": 2})
    parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([kafka.TopicPartition(topic, part, kafka.OFFSET_BEGINNING) for part in parts])
    found, ended = [], 0
    while ended < len(parts):
        message = consumer.poll(10)
        assert message is not None
        if message.error():
            assert message.error().code() == kafka.KafkaError._PARTITION_EOF
            ended += 1
        else:
            found.append((message.key().decode(), json.loads(message.value())))
    consumer.close()
    return found


def count(address: str, topic: str) -> int:
    """Messages in a topic."""
    import confluent_kafka as kafka

    consumer = kafka.Consumer({"bootstrap.servers": address, "group.id": "none", "log_level": 2})
    parts = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    found = sum(consumer.get_watermark_offsets(kafka.TopicPartition(topic, part), timeout=10)[1] for part in parts)
    consumer.close()
    return found


def test_kills_lose_no_event_of_a_topic(run: Path, broker: tuple[str, Any], tmp_path: Path) -> None:
    address, producer = broker
    for i in range(EVENTS):
        producer.produce("events", line(i).encode())
    producer.produce("events", b"no json")
    producer.produce("events", None)
    assert producer.flush(30) == 0
    settings = "session.timeout.ms=6000&heartbeat.interval.ms=200"  # the mock gives those of less no partition
    words = ("stream", str(run), f"kafka://{address}/events?{settings}", f"kafka://{address}/answers", "--batch", "16", "--key", "id")
    producer.list_topics("answers", timeout=10)
    for share in KILLED if EVENTS >= 10_000 else KILLED[:1]:  # 9 s until a killed one's partitions are free
        command = forked.Command(*words)
        until(lambda share=share: count(address, "answers") > share * EVENTS)
        command.send_signal(signal.SIGKILL)
        assert command.wait() == -signal.SIGKILL
    command = forked.Command(*words)
    until(lambda: len({key for key, _ in taken(address, "answers")}) == EVENTS + 2)
    command.send_signal(signal.SIGTERM)
    assert command.wait() == 0
    found = taken(address, "answers")
    by_key = dict(found)
    assert {f"e{i}" for i in range(EVENTS)} < set(by_key) and sum(bool(one["problem"]) for one in by_key.values()) == 2
    assert all(by_key[key] == one for key, one in found)


def test_no_broker_is_said(run: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("confluent_kafka")
    monkeypatch.setattr("mapsto.serve.streams.kafka.REACHED", 0.5)
    assert stream(run, "kafka://localhost:1/shop") == 2
    assert "kafka://localhost:1: cannot be reached" in capfd.readouterr().err
