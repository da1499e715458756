"""Where the time of a training goes: waiting for data, forward, backward, optimizer, evaluation, checkpoints.

On a processor every step is timed, by two readings of the clock a part. A GPU works behind our back, and
waiting for it would cost time: there one step in many is timed, waiting after each part, and its shares stand
for all steps."""

from __future__ import annotations

from typing import Any

import torch

from mapsto.training.machine import waited
from mapsto.training.plan import Plan

PARTS = ("data", "forward", "backward", "optimizer")


class StepTimer:
    """Counts seconds by part. `now(part)` after the work that is to be called so; `start()` before the first
    part of a step."""

    def __init__(self, device: torch.device):
        self.device = device
        self.always = device.type != "cuda"
        self.watching = self.always  # is the present step timed?
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.steps = 0  # that were timed
        self.beside = {"evaluation": 0.0, "checkpoints": 0.0}  # whole, not sampled
        self._mark = 0.0

    def start(self) -> None:
        if self.watching:
            self._mark = waited(self.device)

    def mark(self, part: str) -> None:
        """What went by since the last call was `part`."""
        if self.watching:
            mark = waited(self.device)
            self.seconds[part] += mark - self._mark
            self._mark = mark

    def step(self) -> None:
        """A step is over; on a GPU the next ones are not timed until `look`."""
        self.steps += self.watching
        self.watching = self.always

    def look(self) -> None:
        """Time the next step."""
        self.watching = True

    def shares(self) -> dict[str, float]:
        """{part: share of a step}; {} before the first timed step."""
        total = sum(self.seconds.values())
        return {part: round(took / total, 4) for part, took in self.seconds.items()} if total else {}

    def speed(self, rows: int, took: float, plan: Plan, row_tokens: float = 0.0) -> dict[str, Any]:
        """Of `rows` learned from in `took` seconds, evaluations included: rows, tokens (where a row has some)
        and FLOP a second, the share of the machine's peak (MFU), the shares of a step, the seconds beside."""
        rate = rows / max(1e-9, took - sum(self.beside.values()))
        achieved = rate * plan.operations_per_row
        found: dict[str, Any] = {
            "rows_per_second": round(rate, 2),
            "operations_per_row": plan.operations_per_row,
            "operations_per_second": achieved,
        }
        if row_tokens:
            found["tokens_per_second"] = round(rate * row_tokens, 1)
        if plan.peak:
            peak = max(plan.peak * plan.processes, achieved)  # the plan measured one process
            found |= {"peak": peak, "share": achieved / peak}
        return {
            **found,
            "step": self.shares(),
            "beside": {name: round(value, 2) for name, value in self.beside.items()},
        }
