"""Start several processes that learn one run together, hear what they tell, and see that none is left
behind."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from mapsto.errors import RunError, Stopped
from mapsto.events import Emit
from mapsto.registry.trust import trusted
from mapsto.training.process_group import MEET
from mapsto.training.signals import signals

STOPPED = 143  # what a process gives that was asked to save and leave
LOOK = 0.1  # seconds between looks at the processes
GRACE = 5.0  # seconds the others have to end once one has failed: it says why


def learn_together(module: str, run: Path, size: int, started: float, emit: Emit) -> None:
    """Have `size` processes of the program `module` learn the run. Events of the first are told. RunError
    when one fails: the rest is ended, and the last checkpoint stands."""
    with tempfile.TemporaryDirectory() as folder:
        all_ = [_start(module, run, rank, size, started, Path(folder)) for rank in range(size)]
        try:
            with signals(lambda asked: _forward(all_[0], asked)):
                _attend(all_, emit)
        finally:
            ended = [rank for rank, process in enumerate(all_) if process.poll() is not None]
            for process in all_:
                process.kill()
                process.communicate()  # waits, and closes the pipes
        codes = [process.returncode for process in all_]
        words = [_last_words(Path(folder, f"{rank}.txt")) for rank in range(size)]
    if STOPPED in codes:
        raise Stopped
    if -signal.SIGINT in codes:
        raise KeyboardInterrupt
    if any(codes):
        raise RunError(
            f"one of {size} processes ended early: {_reason(codes, words, ended)}.\nGo on with: mapsto resume"
            f" {run}"
        )


def _reason(codes: Sequence[int], words: Sequence[str], ended: Collection[int]) -> str:
    """Why the first ended that did so by itself: what it says of data and settings; by which signal; or its
    last words. The others then only say that nobody answers. ended: those we did not end ourselves."""
    told = next((text for code, text in zip(codes, words, strict=True) if code == 2), None)
    killed = next((-codes[rank] for rank in ended if codes[rank] < 0), 0)
    return told or (
        f"it was ended by signal {killed}" if killed else next(filter(None, words), "no reason given")
    )


def _start(
    module: str, run: Path, rank: int, size: int, started: float, folder: Path
) -> subprocess.Popen[str]:
    """One process, in a group of its own so that a Ctrl-C reaches it once. Its standard input ends when we
    do, and it ends with that."""
    places = {"RANK": str(rank), "WORLD_SIZE": str(size), MEET: str(folder / "meet")}
    with (folder / f"{rank}.txt").open("w") as errors:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                module,
                str(run),
                repr(started),
                *(str(file.__file__) for file in trusted()),
            ],
            env={**os.environ, **places},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


def _attend(all_: Sequence[subprocess.Popen[str]], emit: Emit) -> None:
    """Tell what the first tells until all have ended, or one has failed and the others had time to say
    why."""
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(all_[0], lines), daemon=True)
    reader.start()
    failed, reading = 0.0, True
    while reading or any(process.poll() is None for process in all_):
        with suppress(queue.Empty):
            line = lines.get(timeout=LOOK)
            reading = line is not None
            if line:
                emit(json.loads(line))
        failed += LOOK if any(process.poll() for process in all_) else 0.0
        if failed > GRACE:
            break
    else:
        reader.join()


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _forward(process: subprocess.Popen[str], asked: str) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT if asked == "interrupt" else signal.SIGTERM)


def _last_words(path: Path) -> str:
    """The last line a process left on standard error."""
    lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:200] if lines else ""
