"""The trainer: running updates, and nothing about what is learned.

Every number that changes weights is a function of (data, settings, seed, decisions, machine). The clock is
read, but what it decides goes through the decision log first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mapsto.batch import Batch, key
from mapsto.config import Budget
from mapsto.errors import ConfigError, RunError, Stopped
from mapsto.events import Emit
from mapsto.learners.base import Learner, Logs
from mapsto.training import checkpoint, memory, probe, sharded, state
from mapsto.training.best_weights import BestWeights
from mapsto.training.budget import Clock, Schedule, fixed_total
from mapsto.training.decisions import Decisions
from mapsto.training.distributed import Copies, Group
from mapsto.training.ema import Ema
from mapsto.training.gradients import LossOf, updated
from mapsto.training.machine import choose_device, waited
from mapsto.training.plan import Plan, apply, forecast
from mapsto.training.prefetch import prefetched
from mapsto.training.signals import signals
from mapsto.training.step_timer import StepTimer

TICK = 0.5  # seconds between looks at the clock, the loss and the terminal
SAVE = 5.0  # seconds between checkpoints, at least; or 20 times what one takes
LOOKS, SOONER, FEWEST = (
    25,
    100,
    5,
)  # evaluations over the budget where they take little of its time, the same with a goal to stop at, and else
# rows to be learned from between two evaluations, for each row evaluated: a forward pass is a third of a step
WEIGHT = 2.0
ROLLBACKS = 3


class Trainer:
    """Fits one learner. folder: where the record goes, None for none. best: (slot, metric) that decides which
    weights are best; None: the first metric of the first output. elapsed: seconds of the budget already spent
    when `fit` is called. company: those it learns with; of several, the first alone writes and decides."""

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
        self.training, self.emit, self.group = (
            learner.training,
            emit or (lambda event: None),
            group or Group(),
        )
        self.decisions, self.schedule = Decisions(folder, self.group.rank == 0), Schedule()
        self.best_weights = BestWeights(learner, self.budget, best)
        self.step, self.every, self.stop = 0, 1 << 62, ""
        self.clock = Clock(self.budget.minutes, elapsed)
        self._asked = ""  # what a signal asked for
        self._losses: list[
            Tensor
        ] = []  # of the steps since the last look; read together, for reading waits for the device
        self._loss = 0.0  # their mean, once read
        self.since, self.steps = 0.0, 0  # sum of losses, and steps, since the last evaluation
        self.rollbacks, self._rolled_back = 0, False
        self.turn = 0  # updates made within the step: each draws its own noise
        self.weights = Copies()
        self.plan, self.step_timer = Plan("cpu"), StepTimer(torch.device("cpu"))
        self._began, self._learning = 0, 0.0  # the step and the clock at which this process began to learn
        self.speed_before: dict[str, Any] = {}

    # ---- the loop ----

    def fit(self) -> None:
        """Learn until the budget is spent, a goal is reached or somebody asks to stop; then hold the best
        weights."""
        self.learn()
        self._finish()

    def learn(self) -> None:
        """Learn, and hold the last weights."""
        self.prepare()
        with signals(self._note_signal):
            for batch in self._batches():
                self._set_rates()
                self.turn = 0
                logs = self.learner.step(batch, self)
                self.ema.update(self.step)
                self.step += 1
                self._look(logs)

    def _batches(self) -> Iterator[Batch]:
        """The learner's batches from where we are until the budget is spent; anew after a roll-back."""
        while not self._done():
            self._rolled_back = False
            made = self._ready(self.learner.batches("train", self.step))
            with closing(prefetched(made) if self.plan.prefetch else made) as batches:
                self.step_timer.start()
                for batch in batches:
                    self.step_timer.mark("data")
                    yield batch
                    self.step_timer.step()
                    if self._rolled_back or self._done():
                        break
                    self.step_timer.start()

    def _ready(self, batches: Iterator[Batch]) -> Generator[Batch]:
        """This process's part of every batch, where and as the plan wants it."""
        for batch in batches:
            yield self.learner.ready(self.group.share(batch))

    def _done(self) -> bool:
        return bool(self.stop) or self.step >= self.schedule.total

    def _set_rates(self) -> None:
        factor = self.schedule.factor(self.step, self.training)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor

    def _look(self, logs: Logs) -> None:
        """After every step: note the loss; at their steps evaluate and decide; now and then look at the
        clock."""
        if "loss" in logs:
            self._losses.append(logs["loss"])
        due = self.step % self.every == 0 or self.step >= self.schedule.total
        if due:
            self._evaluate()
        if self.step >= self._next_decision:
            self._replay(self._next_decision - 1, self.step)
            self._next_decision = self.decisions.next_after(self.step)
        if due or (
            self.step >= self._next_look
            if self.group.size > 1
            else self._asked or time.monotonic() >= self._next_tick
        ):
            self._tick()
            self.step_timer.look()
            self._next_tick, self._next_decision = (
                time.monotonic() + TICK,
                self.decisions.next_after(self.step),
            )

    def update(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        """One update of one optimizer's parameters. The batch is split into micro-batches; losses are summed,
        and their gradient divided by the total count over all of them and over all processes, so that the
        split changes nothing.
        """
        try:
            logs = updated(self, loss_of, batch, self.optimizers[optimizer])
        except torch.OutOfMemoryError:
            self._halve(batch.size)
            return self.update(loss_of, batch, optimizer)
        self.turn += 1
        return logs

    # ---- before the first step ----

    def prepare(self) -> None:
        """Everything before the first step: the device, the plan, what a checkpoint holds."""
        saved = checkpoint.load(self.folder) if self.folder else None
        self.group.barrier()  # all have read the record before the first writes to it
        recorded = next((d["plan"] for d in self.decisions.all if "plan" in d), None)
        self.learner.device = choose_device(
            recorded["device"] if recorded else self.training.device, self.group.rank
        )
        self.learner.model.to(self.learner.device)
        if self.learner.store is not None:
            self.learner.store.place(self.learner.device)
        memory.keep_heap()
        torch.use_deterministic_algorithms(True, warn_only=True)
        # costs a write of every new tensor
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self._choose_plan(recorded)
        self.step_timer = StepTimer(self.learner.device)
        self.fresh()
        if saved:
            state.restore(self, *saved)
            self._after_a_kill(saved[1])
        else:
            self._lay_out_first()
        self._replay(-1, self.step)
        self._forecast()
        self._saved_at, self._save_takes = time.monotonic(), 0.0
        self._tick_mark, self._next_tick = (time.monotonic(), self.step), time.monotonic() + TICK / 5
        self._next_look = self.step + 1
        self._next_decision = self.decisions.next_after(self.step)
        self.clock.begin(self.step)
        self._began, self._learning = self.step, time.monotonic()
        if not saved and self.folder:
            self.save()

    def _choose_plan(self, recorded: Mapping[str, Any] | None) -> None:
        """The plan of the record, or one measured now; all processes take the first one's."""
        if self.group.size > 1:
            self.weights = sharded.weights(self, recorded)
            self.best_weights.keep = torch.device("cpu") if self.weights.shared else None
        if recorded:
            self.plan = Plan.of(recorded)
        else:
            find = sharded.plan if self.weights.shared else probe.measure
            found = find(self, self._fixed_total(), self.clock.left)
            self.plan = Plan(**self.group.broadcast(asdict(replace(found, processes=self.group.size))))
            self.decisions.add(0, plan=asdict(self.plan))
        apply(self.plan, self.learner)

    def fresh(self) -> None:
        """Optimizers and averages as at the first step."""
        self.optimizers = {
            name: self.weights.optimizer(made) for name, made in self.learner.optimizers().items()
        }
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("peak", group["lr"])
        self.ema = Ema(self.learner.model, self.training.ema or 0.0, self.weights.local)

    def _lay_out_first(self) -> None:
        """Total steps and the interval of evaluations, decided once, unless a record to be replayed already
        says so."""
        if any("total" in decision for decision in self.decisions.all):
            return
        total = fixed = self._fixed_total()
        if self.budget.minutes is not None:
            left = max(0.0, self.clock.left - self.plan.compile_seconds)
            timed = max(1, int(left / max(1e-4, 1.1 * self.plan.seconds_per_micro * self._passes)))
            total = timed if fixed is None else min(timed, fixed)
        total = self.group.broadcast(total)
        assert total is not None, "a budget has minutes, steps or epochs"
        self.decisions.add(
            0, total=total, every=self._interval(total)
        )  # one line: a kill between two would leave half

    def _interval(self, total: int) -> int:
        """Steps between two evaluations: LOOKS of them (or SOONER), or so few that they take little of the
        time, but FEWEST."""
        costly = (
            WEIGHT
            * min(self.learner.eval_rows, self.learner.size("validation") or 0)
            / (self.training.batch or 1)
        )
        return math.ceil(
            max(1, total / (SOONER if self.budget.until else LOOKS), min(costly, total / FEWEST))
        )

    @property
    def _passes(self) -> int:
        """Forward passes that one process makes for a step."""
        return math.ceil((self.training.batch or 1) / self.group.size / self.plan.micro_batch)

    def _forecast(self) -> None:
        """Say what it will take, where anything is left to do."""
        steps = (self.schedule.total - self.step) * self._passes
        if steps <= 0:
            return
        self.emit({"event": "plan", "text": str(self.plan), **asdict(self.plan)})
        self.emit(
            {
                "event": "forecast",
                **forecast(self.plan, self.learner.model, bool(self.ema.values), steps, self.clock.left),
            }
        )

    def _fixed_total(self) -> int | None:
        """The last step that steps or epochs ask for. An epoch is a pass over rows that somebody can
        count."""
        rows = self.learner.size("train") if self.budget.epochs is not None else None
        if self.budget.epochs is not None and self.budget.steps is None and rows is None:
            raise ConfigError(
                f"--epochs {self.budget.epochs:g}: nobody knows how many rows these are.\nUse --steps or"
                " --minutes."
            )
        return fixed_total(self.budget, rows or 0, self.training.batch or 1)

    def _after_a_kill(self, note: Mapping[str, Any]) -> None:
        """The kernel kills for memory without a word: when it looks like that, go on with half the
        micro-batch."""
        starved = memory.kills() > note["kills"] or note["peak"] > 0.9 * note["allowed"]
        if self.group.broadcast(starved) and self.plan.micro_batch > 1 and self.learner.device.type == "cpu":
            self._decide(
                micro_batch=-(-self.plan.micro_batch // 2),
                why="the last process seems to have been killed for memory",
            )

    # ---- decisions ----

    def _decide(self, **what: Any) -> None:
        self._take(self.decisions.add(self.step, **what))
        self.emit({"event": "decision", "step": self.step, **what})

    def _replay(self, after: int, until: int) -> None:
        for decision in self.decisions.between(after, until):
            self._take(decision)

    def _take(self, decision: Mapping[str, Any]) -> None:
        """Put a decision into effect; the plan is taken before the first step."""
        if "total" in decision:
            self.schedule.set_total(decision["step"], decision["total"])
        if "every" in decision:
            self.every = decision["every"]
        if "rate" in decision:
            self.schedule.rate *= decision["rate"]
        if "micro_batch" in decision:
            self.plan = replace(self.plan, micro_batch=decision["micro_batch"])
        if "stop" in decision:
            self.stop = decision["stop"]

    def _halve(self, rows: int) -> None:
        """The device ran out of memory: half the micro-batch, from this step on."""
        now = min(self.plan.micro_batch, rows)
        if now <= 1:
            raise RunError(
                "out of memory with one row per forward pass.\nChoose a smaller model or smaller pictures,"
                " e.g. image(size=128)."
            )
        if self.group.size > 1:
            raise RunError(
                f"out of memory with {now} rows per forward pass in each process.\nGive --micro-batch"
                f" {-(-now // 2)}."
            )
        torch.cuda.empty_cache()
        self._decide(micro_batch=-(-now // 2), why="out of memory")

    # ---- what happens at a look ----

    def _tick(self) -> None:
        """Look at loss, clock and signals. Of several processes the first looks, and tells the others what it
        decided."""
        known, back, leaving, saving = len(self.decisions.all), False, False, False
        if self.group.rank == 0:
            self._read_losses()
            back = not math.isfinite(self._loss) or (self._saving_due and not self.ema.sound())
            if back:
                self._roll_back()
            else:
                self._look_at_clock()
                leaving, saving = self._asked == "terminate", self._saving_due
        self._losses = []
        back, leaving, saving, *news = self.group.broadcast(
            (back, leaving, saving, self.decisions.all[known:], self._next_look)
        )
        if self.group.rank:
            self._hear(back, *news)
        if saving and (not self.weights.shared or self.group.all(self.ema.sound())):
            self.save()
        if leaving:
            raise Stopped

    def _hear(self, back: bool, decisions: list[dict[str, Any]], next_look: int) -> None:
        """What the first process did at its look."""
        if back:
            self._go_back()
        self.decisions.all += decisions
        for decision in decisions:
            self._take(decision)
        self._next_look = next_look

    def _read_losses(self) -> None:
        """The one wait for the device. Summed one by one, so that it is all the same when they are read."""
        if self._losses:
            losses = torch.stack([loss.float() for loss in self._losses]).tolist()
            self._loss, self._losses = sum(losses) / len(losses), []
            for loss in losses:
                self.since += loss
            self.steps += len(losses)

    @property
    def _saving_due(self) -> bool:
        return self.folder is not None and (
            time.monotonic() - self._saved_at > max(SAVE, 20 * self._save_takes) or self._asked == "terminate"
        )

    def _look_at_clock(self) -> None:
        """Tell how it goes, lay out the rest of the budget, obey a Ctrl-C."""
        now = time.monotonic()
        since, step = self._tick_mark
        rate = (self.step - step) / max(1e-9, now - since)
        self._next_look = self.step + max(1, int(rate * TICK))
        if now - since > 5:  # a shorter stretch would tell of evaluations rather than of speed
            self._tick_mark = (now, self.step)
        self._retime()
        left = min(self.clock.left, (self.schedule.total - self.step) / max(1e-9, rate))
        rows = rate * (self.training.batch or 1)
        known = {
            "loss": self._loss,
            "rows_per_second": rows,
            "seconds": self.clock.elapsed,
            "seconds_left": left,
        }
        if self.learner.row_tokens:
            known["tokens_per_second"] = rows * self.learner.row_tokens
        self.emit({"event": "step", "step": self.step, "total": self.schedule.total, **known})
        if self._asked == "interrupt" and not self.stop:
            self._decide(stop="interrupted")

    def _retime(self) -> None:
        """With minutes, lay the rest of the budget out anew from measured throughput."""
        total = self.clock.last(self.step)
        if total is None or self.decisions.next_after(self.step) < 1 << 62:
            return
        fixed = self._fixed_total()
        total = total if fixed is None else min(total, fixed)
        if abs(total - self.schedule.total) > 0.02 * max(1, self.schedule.total - self.step) + 1:
            self._decide(total=total)
            if not 1 / 1.5 < (every := self._interval(total)) / self.every < 1.5:
                self._decide(every=every)

    def _evaluate(self) -> None:
        """Score the validation rows with the averaged weights; keep them when they are the best so far. One
        process does, the others wait."""
        if self.group.rank == 0 or self.weights.shared:
            start = waited(self.learner.device)  # what steps still have to do is not the evaluation's
            with self.weights.evaluated(self.ema):
                if self.group.rank == 0:
                    self._score()
            self.step_timer.beside["evaluation"] += waited(self.learner.device) - start

    def _score(self) -> None:
        torch.manual_seed(
            key(self.training.seed, "evaluate", self.step)
        )  # samplers and environments draw while they are scored
        self._read_losses()
        loss = (
            self.since / self.steps if self.steps else math.nan
        )  # mean over the steps since the last evaluation
        self.since, self.steps = 0.0, 0
        scores = self.learner.evaluate("validation", self.learner.eval_rows)
        known: dict[str, Any] = {
            "loss": loss if math.isfinite(loss) else None,
            "progress": round(self.schedule.progress(self.step), 4),
        }
        if _is_sample_due(len(self.best_weights.history)) and (said := self.learner.sample_text()):
            known["said"] = said
        judged = self.best_weights.update(self.step, scores, **known)
        best = self.best_weights.step == self.step
        self.emit(
            {
                "event": "evaluate",
                "step": self.step,
                "scores": scores,
                "best": best,
                "metric": self.best_weights.of,
            }
        )
        if (
            judged
            and not self.stop
            and (why := self.best_weights.stop_reason(self.step, scores, self.every, self.schedule.total))
        ):
            self._decide(stop=why)

    def speed(self) -> dict[str, Any]:
        """How fast it learned and where the time went: rows a second over all steps, FLOP a row and a second,
        the share of the machine's peak (MFU), the shares of a step, seconds of evaluating and saving. What
        the process before this one knew, where this one took no step.
        """
        steps = self.step - self._began
        took = time.monotonic() - self._learning
        rows = steps * (self.training.batch or 1)
        return (
            self.step_timer.speed(rows, took, self.plan, self.learner.row_tokens)
            if steps
            else self.speed_before
        )

    # ---- state ----

    def save(self) -> None:
        """A checkpoint of this moment; the first of several processes writes it."""
        if self.folder is None or (self.group.rank and not self.weights.shared):
            return
        start = waited(self.learner.device)
        state.save(self, self.folder)
        self._saved_at, self._save_takes = time.monotonic(), waited(self.learner.device) - start
        self.step_timer.beside["checkpoints"] += self._save_takes

    def _roll_back(self) -> None:
        """The loss is no number: back to the last good checkpoint with a lower rate."""
        failed = self.step
        if self.folder is None or self.rollbacks >= ROLLBACKS or not self._go_back():
            tried = f" after {self.rollbacks} lower rates" if self.rollbacks else ""
            raise RunError(
                f"the loss became no number at step {failed}{tried}.\nLook for extreme values in the data, or"
                " choose a lower --lr."
            )
        self._decide(rate=0.3, why=f"the loss became no number at step {failed}")
        self.clock.begin(self.step)
        self._next_look = self.step + 1

    def _go_back(self) -> bool:
        """To the last good checkpoint; False when there is none."""
        saved = checkpoint.load(self.folder) if self.folder else None
        if saved is None:
            return False
        elapsed = self.clock.elapsed
        self.rollbacks, self._rolled_back = self.rollbacks + 1, True
        self.fresh()
        state.restore(self, *saved)
        self.clock.set(elapsed)  # lost work is spent time
        self.schedule, self.stop = Schedule(), ""
        self._replay(-1, self.step)
        return True

    def _finish(self) -> None:
        """The best weights, or without validation the last (averaged) ones, into the model."""
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
            self.emit(
                {"event": "note", "text": "ending well: measuring what was learned (again Ctrl-C: at once)"}
            )


def _is_sample_due(looks: int) -> bool:
    """Of the looks at it, the first and every one behind as many again: what is written changes quickly at
    first."""
    return looks & (looks + 1) == 0
