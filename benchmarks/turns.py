"""Taking turns: A B C A B C …, medians, ratios. Nothing here loads torch.

Every contender is a process of its own (a library may need its own environment), started once and kept
waiting on a pipe, so that only one computes at any time; all see the same minutes of a machine that may be
busier in one minute than in the next. A ratio is the median of the rounds' ratios, each between neighbours in
time.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Protocol

WAIT = 600.0  # seconds after which a contender that does not answer is given up


class Failed(Exception):
    """A contender that ended or answered nothing; its one line says why."""


class Contender(Protocol):
    """Anything that can take a turn."""

    name: str

    def turn(self, seconds: float, steps: int) -> dict[str, Any]:
        """Compute for so long and for so many steps, whichever takes longer -> {"rows", "steps", "seconds",
        "cpu"}. Raises Failed."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Process:
    """A contender in a process of its own. log: its standard error, the last line of which is the reason when
    it fails."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        quick: bool = False,
    ):
        self.name, self.log, self.quick = name, log, quick
        with log.open("w") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **environment},
            )

    def turn(self, seconds: float, steps: int) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(
                json.dumps({"seconds": seconds, "steps": steps, "quick": self.quick}) + "\n"
            )
            self._process.stdin.flush()
            line = self._answer()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise Failed(self._reason())
        return json.loads(line)

    def _answer(self) -> str:
        import selectors

        assert self._process.stdout is not None
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            if not ready.select(WAIT):
                self._process.kill()
                raise Failed(f"no answer within {WAIT:.0f} s")
        return self._process.stdout.readline()

    def _reason(self) -> str:
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return (
            lines[-1][:200]
            if lines
            else f"ended with exit code {self._process.returncode} and without a word"
        )

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # it is gone already
            self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def take_turns(
    contenders: Sequence[Contender], rounds: int, seconds: float, steps: int, warm: float
) -> dict[str, dict[str, Any]]:
    """Warm all up one after the other, then `rounds` times each in turn -> {name: {"rates": [rows per second
    a round], "cpu": [processor seconds per thousand rows a round]}}, or {"failed": why}. Who fails is out;
    the others go on."""
    found: dict[str, dict[str, Any]] = {}
    alive = [one for one in contenders if _turn(one, found, warm, steps) is not None]
    for _ in range(rounds):
        for one in list(alive):
            told = _turn(one, found, seconds, steps)
            if told is None:
                alive.remove(one)
                continue
            kept = found.setdefault(one.name, {"rates": [], "cpu": []})
            kept["rates"].append(told["rows"] / told["seconds"])
            kept["cpu"].append(1000 * told["cpu"] / told["rows"])
    for one in alive:
        one.close()
    return found


def _turn(
    one: Contender, found: dict[str, dict[str, Any]], seconds: float, steps: int
) -> dict[str, Any] | None:
    try:
        return one.turn(seconds, steps)
    except Failed as problem:
        found[one.name] = {"failed": str(problem)}
        return None


def ratio(mine: Sequence[float], other: Sequence[float]) -> float:
    """The median of the rounds' ratios mine / other."""
    return median(a / b for a, b in zip(mine, other, strict=True))


def middle(values: Sequence[float]) -> float:
    return median(values)
