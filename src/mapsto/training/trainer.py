"""The trainer: the loop and its decisions, and nothing about what is learned.

Every number that changes weights is a function of (data, settings, seed, decisions, machine). The clock is
read, but what it decides goes through the decision log first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from mapsto.batch import Batch, key
from mapsto.config import Budget
from mapsto.errors import RunError, Stopped
from mapsto.events import Emit
from mapsto.learners.base import Learner, Logs, LossOf
from mapsto.training import checkpoint, memory, state
from mapsto.training.best_weights import BestWeights
from mapsto.training.course import Course
from mapsto.training.distributed import Group
from mapsto.training.ema import Ema
from mapsto.training.losses import Losses
from mapsto.training.machine import choose_device, waited
from mapsto.training.plan import Plan
from mapsto.training.planning import choose_plan, doubt_plan, tell_forecast
from mapsto.training.prefetch import prefetched
from mapsto.training.signals import signals
from mapsto.training.step import Updater
from mapsto.training.step_timer import StepTimer

TICK = 0.5  # seconds between looks at the clock, the loss and the terminal
SAVE = 5.0  # seconds between checkpoints, at least; or 20 times what one takes
ROLLBACKS = 3


class Trainer:
    """Fits one learner. folder: where the record goes, None for none. best: (slot, metric) that decides which
    weights are best; None: the first metric of the first output. elapsed: seconds of the budget already spent
    when `fit` is called. group: those it learns with; of several, the first alone writes and decides."""

    def __init__(
        self,
        learner: Learner,
        folder: Path | None = None,
        budget: Budget | None = None,
        best: tuple[str, str] | None = None,
        emit: Emit | None = None,
        elapsed: float = 0.0,
        group: Group | None = None,
    ):
        self.learner, self.folder, self.budget = learner, folder, budget or Budget(steps=1000)
        self._emit, self.group = emit or (lambda event: None), group or Group()
        self.updater = Updater(learner, self.group)
        self.course = Course(self.updater, self.budget, folder, self._emit, elapsed)
        self.best_weights = BestWeights(learner, self.budget, best)
        self.step, self._losses, self._asked = 0, Losses(), ""  # what a signal asked for
        self._rollbacks, self._rolled_back = 0, False
        self._began, self._learning = 0, 0.0  # the step and the clock at which this process began to learn
        self._speed_before: dict[str, Any] = {}

    @property
    def plan(self) -> Plan:
        return self.updater.plan

    @property
    def stop(self) -> str:
        """Why it stopped before its budget was spent; "" where it did not."""
        return self.course.stop

    @property
    def step_timer(self) -> StepTimer:
        return self.updater.timer

    # ---- the loop ----

    def fit(self) -> None:
        """Learn until the budget is spent, a goal is reached or somebody stops it; hold the best weights."""
        self.learn()
        self._finish()

    def learn(self) -> None:
        """Learn, and hold the last weights."""
        self.prepare()
        if not self.step and self.learner.looks_first:
            self._evaluate()
        with signals(self._note_signal):
            for batch in self._batches():
                self._set_rates()
                self.updater.begin(self.step)
                logs = self.learner.step(batch, self)
                self.ema.update(self.step)
                self.step += 1
                self._look(logs)

    def _batches(self) -> Iterator[Batch]:
        """The learner's batches from where we are until the budget is spent; anew after a roll-back."""
        while not self.course.done(self.step):
            self._rolled_back = False
            made = self._ready(self.learner.batches("train", self.step))
            with closing(prefetched(made) if self.plan.prefetch else made) as batches:
                self.step_timer.start()
                for batch in batches:
                    self.step_timer.mark("data")
                    yield batch
                    self.step_timer.step()
                    if self._rolled_back or self.course.done(self.step):
                        break
                    self.step_timer.start()

    def _ready(self, batches: Iterator[Batch]) -> Generator[Batch]:
        """This process's part of every batch."""
        for batch in batches:
            yield self.learner.ready(self.group.share(batch))

    def _set_rates(self) -> None:
        factor = self.course.schedule.factor(self.step, self.learner.training)
        for optimizer in self.updater.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor

    def _look(self, logs: Logs) -> None:
        """After every step: note the loss; at their steps evaluate and decide; now and then look at the
        clock."""
        if "loss" in logs:
            self._losses.add(logs["loss"])
        due = self.course.due(self.step)
        if due:
            self._evaluate()
        if self.step >= self._next_decision:
            self.course.replay(self._next_decision - 1, self.step)
            self._next_decision = self.course.decisions.next_after(self.step)
        together = self.group.size > 1
        time_to_look = self.step >= self._next_look if together else time.monotonic() >= self._next_tick
        if due or time_to_look or (self._asked and not together):
            self._tick()
            self.step_timer.look()
            self._next_tick = time.monotonic() + TICK
            self._next_decision = self.course.decisions.next_after(self.step)

    # ---- what a learner's step may ask for ----

    def update(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        """One update of one optimizer's parameters: `gradients`, then `apply`. The batch is split into
        micro-batches; losses are summed, and their gradient divided by the total count over all of them and
        over all processes, so that the split changes nothing."""
        turn, taker = self.updater.turn, self.updater.optimizers[optimizer]
        while True:
            try:
                logs = self.updater.gradients(loss_of, batch, taker)
                self.updater.apply(taker)
                return logs
            except torch.OutOfMemoryError:
                self.course.halve(self.step, batch.size)
                self.updater.turn = turn

    def gradients(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        """The mean loss's gradients over a batch, in `p.grad` of one optimizer's parameters; what was there
        before is gone. What is done to them before `apply` is the learner's: clipped for each example, joined
        with others', made noisy. (Of float16 they are scaled by `learner.scaler`.)"""
        turn, taker = self.updater.turn, self.updater.optimizers[optimizer]
        while True:
            try:
                return self.updater.gradients(loss_of, batch, taker)
            except torch.OutOfMemoryError:
                self.course.halve(self.step, batch.size)
                self.updater.turn = turn

    def apply(self, optimizer: str = "main") -> None:
        """One step of an optimizer by the gradients that its parameters hold, clipped as settings say."""
        self.updater.apply(self.updater.optimizers[optimizer])

    # ---- before the first step ----

    def prepare(self) -> None:
        """Before the first step: the device, the plan, what a checkpoint holds."""
        saved = checkpoint.load(self.folder) if self.folder else None
        self.group.barrier()  # all have read the record before the first writes to it
        recorded = self.course.recorded_plan
        self.learner.device = choose_device(
            recorded["device"] if recorded else self.learner.training.device, self.group.rank
        )
        self.learner.model.to(self.learner.device)
        if self.learner.store is not None:
            self.learner.store.place(self.learner.device)
        memory.keep_heap()
        torch.set_deterministic_debug_mode("warn")  # use_deterministic_algorithms imports torch._inductor
        # costs a write of every new tensor
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        choose_plan(self.course, recorded)
        self.best_weights.keep = torch.device("cpu") if self.updater.weights.shared else None
        self.updater.timer = StepTimer(self.learner.device)
        self.fresh()
        if saved:
            self._restore(*saved)
            self.course.after_a_kill(self.step, saved[1])
        else:
            self.course.set_total()
        self.course.replay(-1, self.step)
        tell_forecast(self.course, self.step, bool(self.ema.values), self._emit)
        self._saved_at, self._save_takes = time.monotonic(), 0.0
        self._tick_mark, self._next_tick = (time.monotonic(), self.step), time.monotonic() + TICK / 5
        self._next_look = self.step + 1
        self._next_decision = self.course.decisions.next_after(self.step)
        self.course.clock.begin(self.step)
        self._began, self._learning = self.step, time.monotonic()
        if not saved and self.folder:
            self.save()

    def fresh(self) -> None:
        """Optimizers and averages as at the first step."""
        self.updater.fresh()
        self.ema = Ema(self.learner.model, self.learner.training.ema or 0.0, self.updater.weights.local)

    # ---- what happens at a look ----

    def _tick(self) -> None:
        """Look at loss, clock and signals. Of several processes the first looks, and tells the others what it
        decided."""
        known, back, leaving, saving = len(self.course.decisions.all), False, False, False
        if self.group.rank == 0:
            self._losses.read()
            back = not math.isfinite(self._losses.last) or (self._saving_due and not self.ema.sound())
            if back:
                self._roll_back()
            else:
                self._look_at_clock()
                leaving, saving = self._asked == "terminate", self._saving_due
        self._losses.forget()
        back, leaving, saving, *news = self.group.broadcast(
            (back, leaving, saving, self.course.decisions.all[known:], self._next_look)
        )
        if self.group.rank:
            self._hear(back, *news)
        if saving and (not self.updater.weights.shared or self.group.all(self.ema.sound())):
            self.save()
        if leaving:
            raise Stopped

    def _hear(self, back: bool, decisions: list[dict[str, Any]], next_look: int) -> None:
        """What the first process did at its look."""
        if back:
            self._go_back()
        self.course.decisions.all += decisions
        for decision in decisions:
            self.course.take(decision)
        self._next_look = next_look

    @property
    def _saving_due(self) -> bool:
        waited_long = time.monotonic() - self._saved_at > max(SAVE, 20 * self._save_takes)
        return self.folder is not None and (waited_long or self._asked == "terminate")

    def _look_at_clock(self) -> None:
        """Tell how it goes, lay out the rest of the budget, obey a Ctrl-C."""
        now = time.monotonic()
        since, step = self._tick_mark
        rate = (self.step - step) / max(1e-9, now - since)
        self._next_look = self.step + max(1, int(rate * TICK))
        if now - since > 5:  # a shorter stretch would tell of evaluations rather than of speed
            self._tick_mark = (now, self.step)
        self.course.look(self.step)
        left = min(self.course.clock.left, (self.course.schedule.total - self.step) / max(1e-9, rate))
        rows = rate * (self.learner.training.batch or 1)
        known = {
            "loss": self._losses.last,
            "rows_per_second": rows,
            "seconds": self.course.clock.elapsed,
            "seconds_left": left,
        }
        if self.learner.row_tokens:
            known["tokens_per_second"] = rows * self.learner.row_tokens
        self._emit({"event": "step", "step": self.step, "total": self.course.schedule.total, **known})
        if self._asked == "interrupt" and not self.course.stop:
            self.course.decide(self.step, stop="interrupted")

    def _evaluate(self) -> None:
        """Score the validation rows with the averaged weights; keep them when they are the best so far. One
        process does, the others wait."""
        weights = self.updater.weights
        if self.group.rank == 0 or weights.shared:
            start = waited(self.learner.device)  # what steps still have to do is not the evaluation's
            with weights.evaluated(self.ema):
                if self.group.rank == 0:
                    self._score()
            self.step_timer.beside["evaluation"] += waited(self.learner.device) - start

    def _score(self) -> None:
        # samplers and environments draw while they are scored
        torch.manual_seed(key(self.learner.training.seed, "evaluate", self.step))
        known: dict[str, Any] = {"loss": self._losses.mean()}
        known["progress"] = round(self.course.schedule.progress(self.step), 4)
        scores = self.learner.evaluate("validation", self.learner.eval_rows)
        if _is_sample_due(len(self.best_weights.history)) and (said := self.learner.sample_text()):
            known["said"] = said
        judged = self.best_weights.update(self.step, scores, **known)
        found = {"best": self.best_weights.step == self.step, "metric": self.best_weights.of}
        self._emit({"event": "evaluate", "step": self.step, "scores": scores, **found})
        if judged and not self.course.stop:
            every, total = self.course.every, self.course.schedule.total
            if why := self.best_weights.stop_reason(self.step, scores, every, total):
                self.course.decide(self.step, stop=why)

    def speed(self) -> dict[str, Any]:
        """How fast it learned and where the time went: rows a second over all steps, FLOP a row and a second,
        the share of the machine's peak (MFU), the shares of a step, seconds of evaluating and saving. What
        the process before this one knew, where this one took no step.
        """
        steps, took = self.step - self._began, time.monotonic() - self._learning
        if not steps:
            return self._speed_before
        rows = steps * (self.learner.training.batch or 1)
        return self.step_timer.speed(rows, took, self.plan, self.learner.row_tokens)

    # ---- state ----

    def save(self) -> None:
        """A checkpoint of now; the first of several processes writes it."""
        if self.folder is None or (self.group.rank and not self.updater.weights.shared):
            return
        start = waited(self.learner.device)
        note = {
            "step": self.step,
            "speed": self.speed(),
            "elapsed": self.course.clock.elapsed,
            "since": self._losses.total,
            "steps": self._losses.steps,
            "rollbacks": self._rollbacks,
        }
        state.save(self.folder, self.updater, self.ema, self.best_weights, note)
        self._saved_at, self._save_takes = time.monotonic(), waited(self.learner.device) - start
        self.step_timer.beside["checkpoints"] += self._save_takes

    def _restore(self, tensors: Mapping[str, Any], note: Mapping[str, Any]) -> None:
        """The inverse, after `fresh`."""
        state.restore(self.updater, self.ema, self.best_weights, tensors, note)
        self.step = note["step"]
        self.course.clock.set(note["elapsed"])
        self._rollbacks = max(self._rollbacks, note["rollbacks"])
        self._losses.total, self._losses.steps = note.get("since", 0.0), note.get("steps", 0)
        self._speed_before = note.get("speed", {})

    def _roll_back(self) -> None:
        """The loss is no number: back to the last good checkpoint with a lower rate."""
        failed = self.step
        if self.folder is None or self._rollbacks >= ROLLBACKS or not self._go_back():
            tried = f" after {self._rollbacks} lower rates" if self._rollbacks else ""
            raise RunError(
                f"the loss became no number at step {failed}{tried}.\nLook for extreme values in the data, or"
                " choose a lower --lr."
            )
        self.course.decide(self.step, rate=0.3, why=f"the loss became no number at step {failed}")
        self.course.clock.begin(self.step)
        self._next_look = self.step + 1

    def _go_back(self) -> bool:
        """To the last good checkpoint; False when there is none."""
        saved = checkpoint.load(self.folder) if self.folder else None
        if saved is None:
            return False
        elapsed = self.course.clock.elapsed
        self._rollbacks, self._rolled_back = self._rollbacks + 1, True
        self.fresh()
        self._restore(*saved)
        self.course.clock.set(elapsed)  # lost work is spent time
        self.course.restart()
        self.course.replay(-1, self.step)
        return True

    def _finish(self) -> None:
        """The best weights, or without validation the last (averaged) ones, into the model."""
        doubt_plan(self.course)
        if self.step and (
            not self.best_weights.history or self.best_weights.history[-1]["step"] != self.step
        ):
            self._evaluate()
        if self.best_weights.best is not None:
            self.learner.model.load_state_dict(self.best_weights.best)
        else:
            self.ema.copy_to()

    def _note_signal(self, asked: str) -> None:
        """What a signal asks for is done at the next look; a second Ctrl-C is not waited for."""
        if asked == "interrupt" and self._asked:
            raise KeyboardInterrupt
        self._asked = asked
        if asked == "interrupt":
            said = "ending well: measuring what was learned (again Ctrl-C: at once)"
            self._emit({"event": "note", "text": said})


def _is_sample_due(looks: int) -> bool:
    """Of the looks at it, the first and every one behind as many again: what is written changes quickly at
    first."""
    return looks & (looks + 1) == 0
