"""The trainer: running updates, and nothing about what is learned.

Every number that changes weights is a function of (data, settings, seed, decisions, machine). The clock is read, but what it
decides goes through the decision log first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mapsto.batch import Batch, key
from mapsto.config import Budget
from mapsto.errors import ConfigError, RunError, Stopped
from mapsto.learners.base import Learner, Logs, Scores
from mapsto.training import checkpoint, memory
from mapsto.training.average import Average
from mapsto.training.budget import Pace, fixed_total, goal_of
from mapsto.training.decisions import Decisions
from mapsto.training.plan import Plan, apply, choose_device, forecast, measure
from mapsto.training.signals import signals

Tell = Callable[[Mapping[str, Any]], None]
LossOf = Callable[[Batch], tuple[tuple[Tensor, Tensor], Logs]]

TICK = 0.5  # seconds between looks at the clock, the loss and the terminal
SAVE = 5.0  # seconds between checkpoints, at least; or 20 times what one takes
LOOKS = 25  # evaluations over the budget
SAMPLE = 20_000  # validation rows an evaluation during training reads at most
ROLLBACKS = 3


class Trainer:
    """Fits one learner. folder: where the record goes, None for none. best: (slot, metric) that decides which weights are best;
    None: the first metric of the first output. elapsed: seconds of the budget already spent when `fit` is called."""

    def __init__(
        self,
        learner: Learner,
        folder: Path | None = None,
        budget: Budget | None = None,
        best: tuple[str, str] | None = None,
        tell: Tell | None = None,
        elapsed: float = 0.0,
    ):
        self.learner, self.folder, self.budget = learner, folder, budget or Budget(steps=1000)
        self.training, self.tell = learner.training, tell or (lambda event: None)
        self.decisions, self.pace = Decisions(folder), Pace()
        self.best_of, self.goal = best, goal_of(self.budget.until)
        self.step, self.every, self.stop = 0, 1 << 62, ""
        self.best: dict[str, Tensor] | None = None
        self.best_value, self.best_step = float("nan"), 0
        self.history: list[dict[str, Any]] = []
        self._elapsed, self._started = elapsed, time.monotonic()
        self._asked = ""  # what a signal asked for
        (self._loss, self._count), (self._since, self._steps) = [(torch.zeros(()), 0)] * 2  # since the last tick, and the last evaluation
        self._rollbacks, self._rolled_back = 0, False
        self._turn = 0  # updates made within the step: each draws its own noise
        self.plan = Plan("cpu")

    # ---- the loop ----

    def fit(self) -> None:
        """Learn until the budget is spent, a goal is reached or somebody asks to stop; then hold the best weights."""
        self._prepare()
        with signals(self._note_signal):
            for batch in self._batches():
                self._set_rates()
                self._turn = 0
                logs = self.learner.step(batch, self)
                self.average.follow(self.step)
                self.step += 1
                self._look(logs)
        self._finish()

    def _batches(self) -> Iterator[Batch]:
        """The learner's batches from where we are until the budget is spent; anew after a roll-back."""
        while not self._done():
            self._rolled_back = False
            for batch in self.learner.batches("train", self.step):
                yield batch
                if self._rolled_back or self._done():
                    break

    def _done(self) -> bool:
        return bool(self.stop) or self.step >= self.pace.total

    def _set_rates(self) -> None:
        factor = self.pace.factor(self.step, self.training)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor

    def _look(self, logs: Logs) -> None:
        """After every step: note the loss; at their steps evaluate and decide; now and then look at the clock."""
        if "loss" in logs:
            self._loss, self._count = self._loss + logs["loss"], self._count + 1
            self._since, self._steps = self._since + logs["loss"], self._steps + 1
        due = self.step % self.every == 0 or self.step >= self.pace.total
        if due:
            self._evaluate()
        if self.step >= self._next_decision:
            self._replay(self._next_decision - 1, self.step)
            self._next_decision = self.decisions.next_after(self.step)
        if due or self._asked or time.monotonic() >= self._next_tick:
            self._tick()
            self._next_tick, self._next_decision = time.monotonic() + TICK, self.decisions.next_after(self.step)

    def update(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        """One update of one optimizer's parameters. The batch is split into micro-batches; losses are summed, and their gradient
        divided by the total count over all of them, so that the split changes nothing."""
        taker = self.optimizers[optimizer]
        params = [p for group in taker.param_groups for p in group["params"]]
        try:
            logs, total, count = self._gradients(loss_of, batch, taker)
        except torch.OutOfMemoryError:
            self._halve(batch.size)
            return self.update(loss_of, batch, optimizer)
        grads = [p.grad for p in params if p.grad is not None]
        torch._foreach_div_(grads, count)
        if self.training.clip:
            torch.nn.utils.clip_grad_norm_(params, self.training.clip, foreach=True)
        taker.step()
        self._turn += 1
        return {**logs, "loss": total / count}

    def _gradients(self, loss_of: LossOf, batch: Batch, taker: torch.optim.Optimizer) -> tuple[Logs, Tensor, Tensor]:
        """Summed gradients of the whole batch -> (logs of the last micro-batch, sum of losses, total count ≥ 1e-8)."""
        taker.zero_grad(set_to_none=True)
        total = count = torch.zeros((), device=self.learner.device)
        logs: Logs = {}
        size = self.plan.micro_batch
        for micro, low in enumerate(range(0, max(1, batch.size), size)):
            piece = batch if batch.size <= size else batch.slice(low, low + size)
            torch.manual_seed(key(self.training.seed, self.step, micro, 0, self._turn))
            (rows, counts), logs = self._loss_of(loss_of, piece)
            if piece.weight is not None:
                rows, counts = rows * piece.weight, counts * piece.weight
            summed = rows.sum()
            summed.backward()
            total, count = total + summed.detach(), count + counts.sum().detach()
        return logs, total, count.clamp(min=1e-8)

    def _loss_of(self, loss_of: LossOf, piece: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        self.learner.model.train()
        with self.learner.autocast:
            return loss_of(self.learner.ready(piece))

    # ---- before the first step ----

    def _prepare(self) -> None:
        self._started = time.monotonic()
        saved = checkpoint.load(self.folder) if self.folder else None
        recorded = next((d["plan"] for d in self.decisions.all if "plan" in d), None)
        self.learner.device = choose_device(recorded["device"] if recorded else self.training.device)
        self.learner.model.to(self.learner.device)
        if self.learner.store is not None:
            self.learner.store.device = self.learner.device  # type: ignore[attr-defined]
        memory.keep_heap()
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # costs a write of every new tensor
        if recorded:
            self.plan = Plan(**recorded)
        else:
            self.plan = self._measure()
            self.decisions.add(0, plan=asdict(self.plan))
        apply(self.plan, self.learner)
        self._fresh()
        if saved:
            self._restore(*saved)
            self._after_a_kill(saved[1])
        else:
            self._lay_out_first()
        self._replay(-1, self.step)
        self._forecast()
        self._saved_at, self._save_takes = time.monotonic(), 0.0
        self._tick_mark, self._next_tick = (time.monotonic(), self.step), time.monotonic() + TICK / 5
        self._next_decision = self.decisions.next_after(self.step)
        self._retime_from, self._retime_clock = self.step, self.elapsed
        if not saved and self.folder:
            self._save()

    def _measure(self) -> Plan:
        before = {name: value.clone() for name, value in self.learner.state_dict().items()}
        batch, heaviest = self.learner.probes()
        self.learner.load_state_dict(before)  # a probe leaves no trace, in a replay buffer either

        def loss_of(piece: Batch) -> tuple[Tensor, Tensor]:
            return self._loss_of(self.learner.loss, piece)[0]

        if type(self.learner).loss is Learner.loss:  # a learner of explicit updates: nothing to time alone
            return Plan(
                str(self.learner.device),
                self.training.precision or "float32",
                False,
                self.training.threads or torch.get_num_threads(),
                self.training.micro_batch or batch.size,
            )
        quick = self.budget.steps is not None and self.budget.steps < 200
        return measure(self.learner, batch, self.training, loss_of, seconds=0.5 if quick else 2.0, heaviest=heaviest)

    def _fresh(self) -> None:
        """Optimizers and averages as at the first step."""
        self.optimizers = self.learner.optimizers()
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group.setdefault("peak", group["lr"])
        self.average = Average(self.learner.model, self.training.ema or 0.0)

    def _lay_out_first(self) -> None:
        """Total steps and the interval of evaluations, decided once, unless a record to be replayed already says so."""
        if any("total" in decision for decision in self.decisions.all):
            return
        fixed = self._fixed_total()
        total = fixed
        if self.budget.minutes is not None:
            left = max(0.0, 60 * self.budget.minutes - self.elapsed)
            per_step = self.plan.seconds_per_micro * -(-(self.training.batch or 1) // self.plan.micro_batch)
            timed = max(1, int(left / max(1e-4, 1.1 * per_step)))
            total = timed if fixed is None else min(timed, fixed)
        assert total is not None, "a budget has minutes, steps or epochs"
        self.decisions.add(0, total=total, every=max(1, -(-total // LOOKS)))  # one line: a kill between two would leave half

    def _forecast(self) -> None:
        """Say what it will take."""
        left = 60 * self.budget.minutes - self.elapsed if self.budget.minutes is not None else float("inf")
        steps = (self.pace.total - self.step) * -(-(self.training.batch or 1) // self.plan.micro_batch)
        self.tell({"event": "plan", "text": str(self.plan), **asdict(self.plan)})
        self.tell({"event": "forecast", **forecast(self.plan, self.learner.model, bool(self.average.values), steps, max(0.0, left))})

    def _fixed_total(self) -> int | None:
        """The last step that steps or epochs ask for. An epoch is a pass over rows that somebody can count."""
        rows = self.learner.size("train") if self.budget.epochs is not None else None
        if self.budget.epochs is not None and self.budget.steps is None and rows is None:
            raise ConfigError(f"--epochs {self.budget.epochs:g}: nobody knows how many rows these are.\nUse --steps or --minutes.")
        return fixed_total(self.budget, rows or 0, self.training.batch or 1)

    def _after_a_kill(self, note: Mapping[str, Any]) -> None:
        """The kernel kills for memory without a word: when it looks like that, go on with half the micro-batch."""
        starved = memory.kills() > note["kills"] or note["peak"] > 0.9 * note["allowed"]
        if starved and self.plan.micro_batch > 1 and self.learner.device.type == "cpu":
            self._decide(micro_batch=-(-self.plan.micro_batch // 2), why="the last process seems to have been killed for memory")

    # ---- decisions ----

    def _decide(self, **what: Any) -> None:
        self._take(self.decisions.add(self.step, **what))
        self.tell({"event": "decision", "step": self.step, **what})

    def _replay(self, after: int, until: int) -> None:
        for decision in self.decisions.between(after, until):
            self._take(decision)

    def _take(self, decision: Mapping[str, Any]) -> None:
        """Put a decision into effect; the plan is taken before the first step."""
        if "total" in decision:
            self.pace.lay_out(decision["step"], decision["total"])
        if "every" in decision:
            self.every = decision["every"]
        if "rate" in decision:
            self.pace.rate *= decision["rate"]
        if "micro_batch" in decision:
            self.plan = Plan(**{**asdict(self.plan), "micro_batch": decision["micro_batch"]})
        if "stop" in decision:
            self.stop = decision["stop"]

    def _halve(self, rows: int) -> None:
        """The device ran out of memory: half the micro-batch, from this step on."""
        now = min(self.plan.micro_batch, rows)
        if now <= 1:
            raise RunError("out of memory with one row per forward pass.\nChoose a smaller model or smaller pictures, e.g. image(size=128).")
        torch.cuda.empty_cache()
        self._decide(micro_batch=-(-now // 2), why="out of memory")

    # ---- what happens at a look ----

    def _tick(self) -> None:
        """Read loss and clock, save, obey signals."""
        loss = float(self._loss) / max(1, self._count)  # the one wait for the device
        if not math.isfinite(loss):
            return self._roll_back()
        now = time.monotonic()
        since, step = self._tick_mark
        rate = (self.step - step) / max(1e-9, now - since)
        self._loss, self._count = torch.zeros(()), 0
        if now - since > 5:  # a shorter stretch would tell of evaluations rather than of speed
            self._tick_mark = (now, self.step)
        self._retime()
        self.tell(
            {
                "event": "step",
                "step": self.step,
                "total": self.pace.total,
                "loss": loss,
                "rows_per_second": rate * (self.training.batch or 1),
                "seconds": self.elapsed,
                "seconds_left": self._left(rate),
            }
        )
        if self._asked == "interrupt" and not self.stop:
            self._decide(stop="interrupted")
        if self.folder and (self._asked == "terminate" or now - self._saved_at > max(SAVE, 20 * self._save_takes)):
            if not self.average.sound():
                return self._roll_back()
            self._save()
        if self._asked == "terminate":
            raise Stopped

    def _left(self, rate: float) -> float:
        clock = 60 * self.budget.minutes - self.elapsed if self.budget.minutes is not None else float("inf")
        return max(0.0, min(clock, (self.pace.total - self.step) / max(1e-9, rate)))

    @property
    def elapsed(self) -> float:
        """Seconds of the budget spent; time between a kill and a resume does not count."""
        return self._elapsed + time.monotonic() - self._started

    def _retime(self) -> None:
        """With minutes, lay the rest of the budget out anew from measured throughput, evaluations included."""
        if self.budget.minutes is None or self.decisions.next_after(self.step) < 1 << 62:
            return
        steps = self.step - self._retime_from
        if steps < 3 or self.elapsed - self._retime_clock < 1.0:
            return
        per_step = (self.elapsed - self._retime_clock) / steps
        left = 60 * self.budget.minutes - self.elapsed
        total = self.step + max(0, int(left / per_step))
        fixed = self._fixed_total()
        total = total if fixed is None else min(total, fixed)
        if abs(total - self.pace.total) > 0.02 * max(1, self.pace.total - self.step) + 1:
            self._decide(total=total)
            if not 1 / 1.5 < total / (LOOKS * self.every) < 1.5:
                self._decide(every=max(1, -(-total // LOOKS)))

    def _evaluate(self) -> None:
        """Score the validation rows with the averaged weights; keep them when they are the best so far."""
        torch.manual_seed(key(self.training.seed, "evaluate", self.step))  # samplers and environments draw while they are scored
        with self.average.applied():
            scores = self.learner.evaluate("validation", SAMPLE)
            value = self._judge(scores)
            if value is not None and self._is_better(value):
                self.best, self.best_value, self.best_step = (
                    {name: held.detach().clone() for name, held in self.learner.model.state_dict().items()},
                    value,
                    self.step,
                )
        loss = float(self._since) / self._steps if self._steps else math.nan  # mean over the steps since the last evaluation
        known = {"scores": scores, "loss": loss if math.isfinite(loss) else None, "progress": round(self.pace.progress(self.step), 4)}
        self.history.append({"step": self.step, **known})
        self._since, self._steps = torch.zeros(()), 0
        self.tell({"event": "evaluate", "step": self.step, "scores": scores, "best": self.best_step == self.step, "metric": self.best_of})
        if value is not None and not self.stop:
            self._stop_early(scores)

    def _judge(self, scores: Scores) -> float | None:
        if not any(scores.values()):
            return None
        if self.best_of is None:
            slot = next(name for name, values in scores.items() if values)
            self.best_of = (slot, next(iter(scores[slot])))
        slot, metric = self.best_of
        return scores.get(slot, {}).get(metric)

    def _is_better(self, value: float) -> bool:
        assert self.best_of is not None
        if math.isnan(value):
            return False
        return self.best is None or self._metric(*self.best_of).better(value, self.best_value)

    def _metric(self, slot: str, name: str) -> Any:
        return next(metric for metric in self.learner.metrics(slot) if metric.name == name)

    def _stop_early(self, scores: Scores) -> None:
        if self.goal and self.best_of:
            slot, (name, wanted) = self.best_of[0], self.goal
            if name not in scores[slot]:
                raise ConfigError(f"--until: '{slot}' has no metric '{name}'.\nchoices: {', '.join(scores[slot])}")
            metric = self._metric(slot, name)
            if metric.better(scores[slot][name], wanted) or scores[slot][name] == wanted:
                return self._decide(stop=f"{name} reached {wanted}")
        patience = self.budget.patience
        if patience and self.step - self.best_step >= max(2 * self.every, patience * self.pace.total):
            self._decide(stop=f"no better for {self.step - self.best_step} steps")

    # ---- state ----

    def _save(self) -> None:
        assert self.folder is not None
        start = time.monotonic()
        note = {name: getattr(self, name) for name in ("step", "elapsed", "best_value", "best_step", "best_of", "history")}
        note |= {"since": float(self._since), "steps": self._steps}
        memory_now = {"peak": memory.peak(), "allowed": memory.allowed(torch.device("cpu")) + memory.peak(), "kills": memory.kills()}
        parts = {"model": self.learner.model.state_dict(), "best": self.best or {}, "learner": self.learner.state_dict()}
        parts["ema"] = {str(i): value for i, value in enumerate(self.average.values)}
        checkpoint.save_parts(self.folder, parts, self.optimizers, {**note, "rollbacks": self._rollbacks, **memory_now})
        self._saved_at, self._save_takes = time.monotonic(), time.monotonic() - start

    def _restore(self, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
        self.learner.model.load_state_dict(checkpoint.part(tensors, "model"))
        self.average.load(checkpoint.part(tensors, "ema"))
        self.best = {name: value.to(self.learner.device) for name, value in checkpoint.part(tensors, "best").items()} or None
        self.learner.load_state_dict(checkpoint.part(tensors, "learner"))
        checkpoint.restore_optimizers(self.optimizers, tensors, note["plain"])
        self.step, self._elapsed, self._started = note["step"], note["elapsed"], time.monotonic()
        self.best_value, self.best_step, self.history = note["best_value"], note["best_step"], list(note["history"])
        self.best_of = tuple(note["best_of"]) if note["best_of"] else None
        self._rollbacks = max(self._rollbacks, note["rollbacks"])
        self._since, self._steps = torch.tensor(note.get("since", 0.0)), note.get("steps", 0)

    def _roll_back(self) -> None:
        """The loss is no number: back to the last good checkpoint with a lower rate."""
        saved = checkpoint.load(self.folder) if self.folder else None
        failed, elapsed = self.step, self.elapsed
        if saved is None or self._rollbacks >= ROLLBACKS:
            tried = f" after {self._rollbacks} lower rates" if self._rollbacks else ""
            raise RunError(f"the loss became no number at step {failed}{tried}.\nLook for extreme values in the data, or choose a lower --lr.")
        self._rollbacks, self._rolled_back = self._rollbacks + 1, True
        self._fresh()
        self._restore(*saved)
        self._elapsed = elapsed  # lost work is spent time
        self.pace, self.stop = Pace(), ""
        self._replay(-1, self.step)
        self._loss, self._count = torch.zeros(()), 0
        self._decide(rate=0.3, why=f"the loss became no number at step {failed}")
        self._retime_from, self._retime_clock = self.step, self.elapsed

    def _finish(self) -> None:
        """The best weights, or without validation the last (averaged) ones, into the model."""
        if self.step and (not self.history or self.history[-1]["step"] != self.step):
            self._evaluate()
        if self.best is not None:
            self.learner.model.load_state_dict(self.best)
        else:
            self.average.put(self.average.values)

    def _note_signal(self, asked: str) -> None:
        """What a signal asks for is done at the next look; a second Ctrl-C is not waited for."""
        if asked == "interrupt" and self._asked:
            raise KeyboardInterrupt
        self._asked = asked
        if asked == "interrupt":
            self.tell({"event": "note", "text": "ending well: measuring what was learned (again Ctrl-C: at once)"})
