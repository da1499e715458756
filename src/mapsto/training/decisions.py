"""The decision log: what a clock, memory or a person decided, with its step, on disk before it takes effect.

    {"step": 0, "plan": {...}}                 arithmetic, threads, micro-batch
    {"step": 0, "total": 3000, "every": 120}   end at step 3000, evaluate every 120 steps
    {"step": 400, "total": 5210}               from here the budget is laid out to end at step 5210
    {"step": 800, "rate": 0.5, "why": ...}     from here the rate is halved (after a roll-back to this step)
    {"step": 900, "micro_batch": 64, "why": …}
    {"step": 1000, "stop": "interrupted"}

Weights are a function of data, settings, seed and this file: resume and reproduce replay it and time nothing
again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mapsto.files import append_json, mend_json_lines, read_json_lines


class Decisions:
    """The log of one training. `folder` None keeps it in memory (learning without a run); so does `writes`
    False, which reads it only."""

    def __init__(self, folder: Path | None, writes: bool = True):
        path = folder / "decisions.jsonl" if folder else None
        self.path = path if writes else None
        if self.path:
            mend_json_lines(self.path)
        self.all: list[dict[str, Any]] = read_json_lines(path) if path else []

    def add(self, step: int, **what: Any) -> dict[str, Any]:
        """Record, then return the decision."""
        decision = {"step": step, **what}
        if self.path:
            append_json(self.path, decision)
        self.all.append(decision)
        return decision

    def between(self, after: int, until: int) -> list[dict[str, Any]]:
        """Decisions with after < step ≤ until, by step; those of one step in the order they were made."""
        return sorted((d for d in self.all if after < d["step"] <= until), key=lambda d: d["step"])

    def next_after(self, step: int) -> int:
        """The step of the next decision recorded behind `step`, or a step never reached."""
        return min((d["step"] for d in self.all if d["step"] > step), default=1 << 62)
