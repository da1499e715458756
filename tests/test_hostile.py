"""Runs from elsewhere, tampered with: whatever a record, its figures or its arrays hold, a command ends with an answer or with at most
three lines. `MAPSTO_TAMPERED=60 pytest tests/test_hostile.py` tries so many records with every command."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_trust import COMMANDS

import mapsto
from mapsto.cli import FAULT, main

pytestmark = pytest.mark.usefixtures("one_thread")

MANY = int(os.environ.get("MAPSTO_TAMPERED", "0"))
TRIED = ("predict", "evaluate", "report", "doctor", "compare", "resume", "extend", "train --from", "runs")
OPTIONS = ("--steps", "3", "--threads", "1", "--precision", "float32", "--model", "mlp(width=8,nets=1)")
WRONG = (5, -1, 1.5, "x", "", None, [], {}, [[]], {"a": {}}, True, "../../etc/passwd", "/etc/hostname", "\x1b[31m", 10**18, "é" * 300)
JSON_FILES = ("run.json", "metrics.json", "sections.json", "findings.json", "decisions.jsonl", "log.jsonl")
ARRAYS = ("rows.npz", "test-0.npz", "baselines.npz", "model.safetensors")
BYTES: dict[str, bytes] = {
    "empty": b"", "a list": b"[]", "a number of 5,000 digits": b'{"format": ' + b"1" * 5000 + b"}", "nested": b"[" * 100_000,
    "not utf-8": b'{"format": "\xff\xfe"}', "utf-16": '{"format": 1}'.encode("utf-16"), "cut": b'{"format": 1, "status": "do', "a zip": b"PK\x03\x04" + b"\0" * 60,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, `plain` and `other`: two finished runs."""
    folder = tmp_path_factory.mktemp("hostile")
    draw = random.Random(0)
    (folder / "t.csv").write_text("a,b,y\n" + "".join(f"{draw.random():.3f},{draw.choice('uvw')},{'pq'[i % 2]}\n" for i in range(120)))
    for name in ("plain", "other"):
        assert main(["train", str(folder / "t.csv"), "a, b -> y", *OPTIONS, "--out", str(folder), "--name", name]) == 0
        next(folder.glob(f"*-{name}")).rename(folder / name)
    return folder


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in JSON."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        yield (*above, name)
        yield from places(inner, (*above, name))


def tampered(record: Any, draw: random.Random) -> str:
    """One to three values changed or taken away; what was done."""
    done = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        if not [*places(record)]:
            break
        *above, name = draw.choice([*places(record)])
        inside = record
        for step in above:
            inside = inside[step]
        if draw.random() < 0.2:
            del inside[name]
            done.append(f"{'.'.join(map(str, (*above, name)))} taken away")
        else:
            inside[name] = draw.choice(WRONG)
            done.append(f"{'.'.join(map(str, (*above, name)))} = {inside[name]!r}"[:90])
    return "; ".join(done)


def outcome(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and what was said on standard error."""
    capsys.readouterr()
    code = main(words)
    return code, capsys.readouterr().err


def words_of(command: str, run: Path, made: Path) -> list[str]:
    if command == "runs":
        return ["runs", str(run.parent)]
    return [command.split()[0], *COMMANDS[command](str(run), str(made / "other"), str(made / "t.csv"))]


def held(code: int, said: str) -> None:
    assert code != FAULT and "Traceback" not in said and "\x1b" not in said, said
    assert code == 0 or len([line for line in said.splitlines() if line.startswith("mapsto: ")]) <= 3, said


def copy_of(made: Path, folder: Path) -> Path:
    run = folder / "runs" / "run"
    shutil.copytree(made / "plain", run)
    return run


@pytest.mark.parametrize("seed", range(max(24, MANY)))
def test_a_record_that_was_tampered_with(seed: int, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw = random.Random(seed)
    for command in TRIED if MANY else draw.sample(TRIED, 2):
        run = copy_of(made, tmp_path / command.replace(" ", ""))
        file = run / draw.choice(("run.json", "run.json", "run.json", "metrics.json", "sections.json", "findings.json"))
        record = json.loads(file.read_text())
        done = tampered(record, draw) if [*places(record)] else "nothing"
        file.write_text(json.dumps(record))

        code, said = outcome(words_of(command, run, made), capsys)

        print(f"{command}: {file.name}: {done}")
        held(code, said)


@pytest.mark.parametrize("file", JSON_FILES)
@pytest.mark.parametrize("what", BYTES)
def test_a_file_of_a_run_that_is_something_else(file: str, what: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy_of(made, tmp_path)
    (run / file).write_bytes(BYTES[what] + (b"\n" if file.endswith("l") else b""))

    for command in TRIED if MANY else random.Random(f"{file}{what}").sample(("report", "runs", "doctor", "compare", "predict"), 1):
        held(*outcome(words_of(command, run, made), capsys))


@pytest.mark.parametrize("file", ARRAYS)
@pytest.mark.parametrize("what", ["empty", "a zip", "cut", "of others"])
def test_arrays_that_are_something_else(file: str, what: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy_of(made, tmp_path)
    whole, other = (run / file).read_bytes(), next(name for name in ARRAYS if name != file)
    (run / file).write_bytes({"empty": b"", "a zip": BYTES["a zip"], "cut": whole[: len(whole) // 2], "of others": (run / other).read_bytes()}[what])

    for command in TRIED if MANY else random.Random(f"{file}{what}").sample(TRIED, 1):
        held(*outcome(words_of(command, run, made), capsys))


# --- what a terminal sees ---------------------------------------------------------------------------------------------------------

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31mred\u202egnp.exe"


@pytest.mark.parametrize("command", ["check", "look", "train", "predict"])
def test_cells_and_names_do_nothing_to_a_terminal(command: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a\x1b[31mb.csv"
    lines = [f"{'ab'[i % 2]}{ESCAPES},{i % 7},{'pq'[i % 2]}{ESCAPES}" for i in range(60)]
    file.write_text(f"col{ESCAPES},n,y\n" + "\n".join(lines))
    words = {"predict": [str(made / "plain"), str(file)], "train": [str(file), "--target", "y", "--out", str(tmp_path), "--allow", "leakage", *OPTIONS]}
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    capsys.readouterr()

    main([command, *words.get(command, [str(file), "--target", "y"])])

    said = capsys.readouterr()
    assert not set("\x1b\x07\x9b\u202e") & {*said.out, *said.err}


# --- what is read, written and asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["segment", "start_from"])
@pytest.mark.parametrize("path", ["../other", "/etc"])
def test_paths_of_a_record_stay_in_the_run(name: str, path: str, made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy_of(made, tmp_path)
    (run / "run.json").write_text(json.dumps(json.loads((run / "run.json").read_text()) | {name: path}))

    code, said = outcome(["resume", str(run)], capsys)

    assert code == 2 and f"{name} lies outside of the run" in said


def test_a_store_elsewhere_is_neither_read_nor_marked(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, elsewhere = copy_of(made, tmp_path), tmp_path / "elsewhere"
    record = json.loads((run / "run.json").read_text())
    shutil.copytree(record["store"], elsewhere)
    (elsewhere / "in-use").unlink(missing_ok=True)
    (run / "run.json").write_text(json.dumps(record | {"store": str(elsewhere)}))

    code, said = outcome(["report", str(run)], capsys)

    assert code == 0, said
    assert not (elsewhere / "in-use").exists()


def test_nothing_asks_the_network(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: Any, **more: Any) -> None:
        pytest.fail(f"asked the network: {words}")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)

    assert main(["train", str(made / "t.csv"), "a, b -> y", *OPTIONS, "--out", str(tmp_path), "--name", "alone"]) == 0
    run = next(tmp_path.glob("*-alone"))
    for words in (["predict", str(run), str(made / "t.csv")], ["report", str(run)], ["assess", str(run), "all"], ["doctor", str(run)]):
        assert main(words) == 0


def test_weights_with_one_bit_turned_are_not_used(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy_of(made, tmp_path)
    data = bytearray((run / "model.safetensors").read_bytes())
    data[-5] ^= 1
    (run / "model.safetensors").write_bytes(bytes(data))

    code, said = outcome(["predict", str(run), str(made / "t.csv")], capsys)

    assert code == 2 and "is not the file that was learned" in said


# --- where output goes --------------------------------------------------------------------------------------------------------------


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of the shell with `mapsto` in it; the exit code is that of the whole pipe."""
    path = os.pathsep.join([str(Path(mapsto.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    words = line.replace("mapsto", f"{shlex.quote(sys.executable)} -m mapsto.cli", 1)
    return subprocess.run(["/bin/bash", "-o", "pipefail", "-c", words], cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)


def test_a_closed_pipe_ends_no_training(made: Path, tmp_path: Path) -> None:
    done = shell(f"mapsto train {made}/t.csv --target y {shlex.join(OPTIONS)} --no-samples --out {tmp_path} | head -1", tmp_path)

    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("*-t")
    assert json.loads((run / "run.json").read_text())["status"] == "done"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_output_that_cannot_be_written_is_said(made: Path, tmp_path: Path) -> None:
    done = shell(f"mapsto check {made}/t.csv --target y > /dev/full", tmp_path)

    assert done.returncode != 0 and "standard output cannot be written" in done.stderr and "Traceback" not in done.stderr


def test_a_file_that_is_not_there_is_said_before_libraries_are_loaded(tmp_path: Path) -> None:
    program = "import sys; from mapsto.cli import main; code = main(['train', 'nothing.csv']); print(code, {'torch', 'numpy'} & {*sys.modules})"

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)

    assert done.stdout.strip() == "2 set()" and "nothing is there" in done.stderr
