"""The course of a training: how its budget is laid out in steps, and what was decided on the way.

A decision is recorded before it takes effect, and replayed by who resumes (`mapsto.training.decisions`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mapsto.config import Budget
from mapsto.errors import ConfigError, RunError
from mapsto.events import Emit
from mapsto.training import memory
from mapsto.training.budget import Clock, Schedule, fixed_total
from mapsto.training.decisions import Decisions
from mapsto.training.step import Updater
from mapsto.training.threads import Crowd

# evaluations over the budget where they take little of its time; the same with a goal to stop at; and else
EVALUATIONS, EVALUATIONS_WITH_GOAL, MIN_EVALUATIONS = 25, 100, 5
# rows to be learned from between two evaluations, for each row evaluated: a forward pass is a third of a step
WEIGHT = 2.0
APART = 0.02  # of the steps left, by which a new last step must differ to be worth a decision


class Course:
    """schedule: progress and rate; every: steps between two evaluations; stop: why to stop, "" to go on; all
    three as decided so far. clock: the budget's seconds, `elapsed` of which are spent."""

    def __init__(
        self, updater: Updater, budget: Budget, folder: Path | None, emit: Emit, elapsed: float = 0.0
    ):
        self.updater, self.budget, self._emit = updater, budget, emit
        self.decisions = Decisions(folder, updater.group.rank == 0)
        self.clock = Clock(budget.minutes, elapsed)
        self.every = 1 << 62
        self._crowd: Crowd | None = None
        self.restart()

    def restart(self) -> None:
        """As before the first decision; `every` is laid out once and stays."""
        self.schedule, self.stop = Schedule(), ""
        self.clock.minutes = self.budget.minutes
        if self.recorded_plan:
            self._set_threads(self.recorded_plan["threads"])

    @property
    def recorded_plan(self) -> Mapping[str, Any] | None:
        return next((decision["plan"] for decision in self.decisions.all if "plan" in decision), None)

    def done(self, step: int) -> bool:
        return bool(self.stop) or step >= self.schedule.total

    def due(self, step: int) -> bool:
        """Is this step's end the time for an evaluation?"""
        return step % self.every == 0 or step >= self.schedule.total

    # ---- decisions ----

    def decide(self, step: int, **what: Any) -> None:
        self.take(self.decisions.add(step, **what))
        self._emit({"event": "decision", "step": step, **what})

    def replay(self, after: int, until: int) -> None:
        for decision in self.decisions.between(after, until):
            self.take(decision)

    def take(self, decision: Mapping[str, Any]) -> None:
        """Put a decision into effect; the plan is taken before the first step."""
        if "total" in decision:
            self.schedule.set_total(decision["step"], decision["total"])
        if "minutes" in decision and self.budget.minutes is not None:
            self.clock.minutes = decision["minutes"]
        if "every" in decision:
            self.every = decision["every"]
        if "rate" in decision:
            self.schedule.rate *= decision["rate"]
        if "micro_batch" in decision:
            self.updater.plan = replace(self.updater.plan, micro_batch=decision["micro_batch"])
        if "threads" in decision:
            self._set_threads(decision["threads"])
        if "stop" in decision:
            self.stop = decision["stop"]

    def halve(self, step: int, rows: int) -> None:
        """The device ran out of memory with `rows` in a batch: half the micro-batch, from this step on."""
        now, size = min(self.updater.plan.micro_batch, rows), self.updater.group.size
        if now <= 1:
            raise RunError(
                "out of memory with one row per forward pass.\nChoose a smaller model or smaller pictures,"
                " e.g. image(size=128)."
            )
        if size > 1:
            raise RunError(
                f"out of memory with {now} rows per forward pass in each process.\nGive --micro-batch"
                f" {-(-now // 2)}."
            )
        torch.cuda.empty_cache()
        self.decide(step, micro_batch=-(-now // 2), why="out of memory")

    def after_a_kill(self, step: int, note: Mapping[str, Any]) -> None:
        """The kernel kills for memory without a word: when it looks like that, go on with half the
        micro-batch. note: of the checkpoint from which it goes on."""
        starved = memory.kills() > note["kills"] or note["peak"] > 0.9 * note["allowed"]
        starved, now = self.updater.group.broadcast(starved), self.updater.plan.micro_batch
        if starved and now > 1 and self.updater.learner.device.type == "cpu":
            why = "the last process seems to have been killed for memory"
            self.decide(step, micro_batch=-(-now // 2), why=why)

    # ---- how the budget is laid out ----

    def set_total(self) -> None:
        """Total steps and the interval of evaluations, decided once, unless a record to be replayed already
        says so. Minutes count by what the plan measured."""
        if any("total" in decision for decision in self.decisions.all):
            return
        total = fixed = self.fixed_total()
        self._keep_half()
        if self.budget.minutes is not None:
            plan = self.updater.plan
            left = max(0.0, self.clock.left - plan.compile_seconds)
            timed = max(1, int(left / max(1e-4, 1.1 * plan.seconds_per_micro * self.passes)))
            total = timed if fixed is None else min(timed, fixed)
        total = self.updater.group.broadcast(total)
        assert total is not None, "a budget has minutes, steps or epochs"
        # one line: a kill between two would leave half
        self.decisions.add(0, total=total, every=self._interval(total))

    def _keep_half(self) -> None:
        """At least half of the minutes are learned in: where what comes before took more, they are
        lengthened."""
        asked, spent = self.budget.minutes, self.clock.elapsed / 60
        more = asked is not None and spent > asked / 2
        minutes = self.updater.group.broadcast(round(spent + asked / 2, 3) if more and asked else None)
        if minutes is not None:
            why = (
                f"reading and planning took {spent:.2g} of {asked:.2g} minutes; it is given {minutes:.2g}, so"
                " that half of the time asked for is learned in"
            )
            self.decide(0, minutes=minutes, why=why)

    def look(self, step: int) -> None:
        """With minutes: lay the rest of the budget out anew, and see to it that threads do not wait for each
        other. Nothing is decided where a record says what was."""
        if self.budget.minutes is None or self.decisions.next_after(step) < 1 << 62:
            return
        self.retime(step)
        plan, timer, training = self.updater.plan, self.updater.timer, self.updater.learner.training
        if self.updater.group.size > 1 or training.threads or self.updater.learner.device.type != "cpu":
            return
        self._crowd = self._crowd or Crowd(self.decide, plan.seconds_per_micro * self.passes)
        self._crowd.look(step, plan.threads, timer.steps, sum(timer.seconds.values()))

    def _set_threads(self, threads: int) -> None:
        self.updater.plan = replace(self.updater.plan, threads=threads)
        torch.set_num_threads(threads)

    def retime(self, step: int) -> None:
        """With minutes, lay the rest of the budget out anew from measured throughput."""
        total = self.clock.last(step)
        if total is None:
            return
        fixed, planned = self.fixed_total(), self.schedule.total
        total = total if fixed is None else min(total, fixed)
        if abs(total - planned) > APART * max(1, planned - step) + 1:
            self.decide(step, total=total)
            every = self._interval(total)
            if not 1 / 1.5 < every / self.every < 1.5:
                self.decide(step, every=every)

    def fixed_total(self) -> int | None:
        """The last step that steps or epochs ask for. An epoch is a pass over rows that somebody can
        count."""
        epochs, steps = self.budget.epochs, self.budget.steps
        rows = self.updater.learner.size("train") if epochs is not None else None
        if epochs is not None and steps is None and rows is None:
            raise ConfigError(
                f"--epochs {epochs:g}: nobody knows how many rows these are.\nUse --steps or --minutes."
            )
        return fixed_total(self.budget, rows or 0, self._batch)

    @property
    def passes(self) -> int:
        """Forward passes that one process makes for a step."""
        return math.ceil(self._batch / self.updater.group.size / self.updater.plan.micro_batch)

    @property
    def _batch(self) -> int:
        return self.updater.learner.training.batch or 1

    def _interval(self, total: int) -> int:
        """Steps between two evaluations: EVALUATIONS of them (or EVALUATIONS_WITH_GOAL), or so few that they
        take little of the time, but MIN_EVALUATIONS."""
        learner = self.updater.learner
        costly = WEIGHT * min(learner.eval_rows, learner.size("validation") or 0) / self._batch
        looks = EVALUATIONS_WITH_GOAL if self.budget.until else EVALUATIONS
        return math.ceil(max(1, total / looks, min(costly, total / MIN_EVALUATIONS)))
