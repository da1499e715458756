"""Commands in processes of their own, to be killed: forked from one that has imported what they need, which
spares each the seconds that importing takes."""

from __future__ import annotations

import multiprocessing
import os
import sys
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess

import scipy.stats
import sklearn.ensemble
import sklearn.linear_model
import torch

import mapsto.api
import mapsto.report.reporting as reporting
import mapsto.serve.learning as learning
import mapsto.serve.streaming
import mapsto.training.trainer as trainer
from mapsto.cli import main

FORKS = multiprocessing.get_context("forkserver")
IMPORTED = (scipy.stats, sklearn.ensemble, sklearn.linear_model, mapsto.api, mapsto.serve.streaming)


def _command(words: tuple[str, ...], around: dict[str, str]) -> None:
    """Checkpoints every fifth of a second instead of every 5 s, so that kills fall between, before and into
    them; nothing is printed, and no report written."""
    os.environ.update(around)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    reporting.written = lambda *words: ""
    trainer.SAVE, trainer.TICK, learning.SAVE = 0.2, 0.05, 0.1
    torch.set_num_threads(1)
    sys.exit(main(list(words)))


def _start() -> None:
    """The process that is forked. Python 3.11 tells it no path, and it passes over what it cannot find: each
    fork then took the 4 s."""
    FORKS.set_forkserver_preload(["forked"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join((os.path.dirname(__file__), before or ""))
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


class Command:
    """`mapsto` and these words, begun."""

    def __init__(self, *words: str):
        _start()
        around = {name: value for name, value in os.environ.items() if name.startswith("MAPSTO_")}
        self._process: ForkServerProcess = FORKS.Process(target=_command, args=(words, around), daemon=True)
        self._process.start()

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = 300) -> int:
        """Its exit code."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"still running after {timeout} s"
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        with suppress(ProcessLookupError):  # it ended before
            os.kill(self._process.pid, number)
