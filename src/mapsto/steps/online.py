"""Learning on from labelled rows as they come: small updates, old training rows beside the new ones.

Every group of rows is first answered by the net as it is (prequential, test-then-train: Gama et al. 2013),
and then learned by a copy of it. Every few groups the copy is asked the run's own test rows, and answers from
then on where it has lost no more on them than is allowed. Else it learns on, with more old rows beside the
new ones, and is taken back where that does not help in time. So a net that answers is always within the
bound, and a way that leads beyond it for a while is open: where labels turned for rows of a new kind, going
back at once left accuracy at .09, this brings it to .99 (`benchmarks/learning_on.py`). What is learned is a
function of the run, its seed and the sequence of labelled rows: no clock is read here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.batch import Batch, Draw, key
from mapsto.data.store import Store, collate
from mapsto.learners.base import Learner, Logs, LossOf, gather, to_numpy
from mapsto.measure.adwin import Adwin
from mapsto.metrics import Metric
from mapsto.prediction import Keep, any_known
from mapsto.steps._encoded import (
    Encoded,
    behind,
    bytes_of,
    flat,
    from_store,
    latest,
    rows_of,
    size_of,
    to_tensors,
    unflat,
)
from mapsto.training.checkpoint import flatten, part, unflatten
from mapsto.training.distributed import Group
from mapsto.training.plan import Plan
from mapsto.training.step import Updater

GROUP = 32  # labelled rows that are learned together
UPDATES, BOLD_UPDATES = 4, 12  # of a group: one of its own rows, the others of the latest labelled rows
RATE, BOLD_RATE = 0.3, 1.0  # of the rate that the run learned with
BOLD_GROUPS = 32  # behind a change, which are learned so
RECENT = 1_000  # labelled rows that are kept to be learned again
RECENT_BYTES = 32_000_000  # of them, encoded: they stand in every checkpoint
OLD, LEAST_OLD, MOST_OLD = 32, 4, 128  # training rows beside a group in an update: at first, least, most
CHECK = 4  # groups between two looks at the test rows
PATIENCE = 8  # looks beyond the bound, one after the other, until it is taken back
TESTED = 2_000  # test rows of a look
HISTORY = 100_000  # labelled rows of which is kept how they were answered
TINY = 1e-12
COUNTED = ("groups", "step", "changes", "looks", "refused", "beyond", "taken_back")
NOTED = (*COUNTED, "bold", "old", "tested")  # numbers of its state

Statistics = dict[str, np.ndarray]  # {output: (n, k)}, as its metric's `rows` gives them


@dataclass(frozen=True)
class Forgetting:
    """What the net has lost on its own test rows, by output: of a metric that is better when higher the
    difference, of one that is better when lower the growth as a share. negative: it has gained."""

    lost: Mapping[str, float]

    @property
    def most(self) -> float:
        return max((one for one in self.lost.values() if not math.isnan(one)), default=0.0)


class Online:
    """learner: of the net that learns, with the run's encoded rows; answering: of the one that answers;
    original: of the net as it was, by which it is told what would have been answered without learning, all
    three of equal weights; most_forget: that a look may find lost."""

    def __init__(
        self,
        learner: Learner,
        answering: Learner,
        original: Learner,
        most_forget: float,
        micro_batch: int = 64,
    ):
        assert isinstance(learner.store, Store)
        self.learner, self.store, self.most_forget = learner, learner.store, most_forget
        self.answering, self.original = answering, original
        self.updater = Updater(learner, Group())
        self.updater.plan = Plan(learner.device.type, micro_batch=micro_batch)
        self.updater.fresh()
        self.metrics = {slot.name: learner.metrics(slot.name)[0] for slot in learner.signature.outputs}
        self.groups = self.step = self.changes = 0
        self.looks = self.refused = self.beyond = self.taken_back = 0
        self.old, self.bold = OLD, 0
        self.recent: Encoded = {}
        self.loss = Adwin()  # of labelled rows, as shares of 1
        self.now: list[Statistics] = []  # of groups, as the net answered them
        self.before: list[Statistics] = []  # and as it would have without learning
        self.tested = self._figures(learner)
        self.forgot = Forgetting(dict.fromkeys(self.tested, 0.0))
        self._good = self._weights()

    # ---- a group of rows ----

    def learn(self, rows: Encoded) -> None:
        """One group: answered, then learned."""
        batch = self._batch(rows, None)
        self.now.append(self._statistics(self.answering, batch))
        self.before.append(self._statistics(self.original, batch))
        while sum(map(_rows, self.now)) > HISTORY:
            del self.now[0], self.before[0]
        self._notice(batch)
        most = RECENT_BYTES * size_of(rows) // max(1, bytes_of(rows))
        self.recent = latest(behind(self.recent, rows), max(GROUP, min(RECENT, most)))
        for number in range(BOLD_UPDATES if self.bold else UPDATES):
            self._update(rows if not number else self._drawn())
        self.groups, self.bold = self.groups + 1, max(0, self.bold - 1)
        if self.groups % CHECK == 0:
            self.look()

    @torch.inference_mode()
    def _notice(self, batch: Batch) -> None:
        """Where the loss has grown at once, what was labelled before is not learned again, and new rows are
        learned faster for a while."""
        learner = self.answering
        learner.model.eval()
        (losses, counts), _ = learner.loss(learner.ready(batch))
        each = to_numpy(losses / counts.clamp(min=1e-8))[to_numpy(counts) > 0]
        for one in np.nan_to_num(each / (1 + np.abs(each))).tolist():  # within -1 and 1
            if (change := self.loss.add((one + 1) / 2)) is not None and change.after > change.before:
                self.changes, self.bold = self.changes + 1, BOLD_GROUPS
                self.recent = latest(self.recent, change.n)

    def _drawn(self) -> Encoded:
        """Of the latest labelled rows, by lot."""
        rows = _lot("recent", self.learner.training.seed, self.step, size_of(self.recent), GROUP)
        return rows_of(self.recent, rows)

    def _update(self, rows: Encoded) -> None:
        """One step on labelled rows and, beside them, old ones."""
        training = self.store.rows("train")
        old = training[_lot("old", self.learner.training.seed, self.step, len(training), self.old)]
        weights = None
        if self.store.weights is not None:
            weights = torch.from_numpy(np.r_[self.store.weights[old], np.ones(size_of(rows))]).float()
        together = behind(from_store(self.store.raw(old)), rows)
        draw = Draw(self.learner.training.seed, self.step, size_of(together))
        self.updater.begin(self.step)
        for optimizer in self.updater.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = (BOLD_RATE if self.bold else RATE) * group["peak"]
        self.learner.step(self.learner.ready(self._batch(together, draw, weights)), self)
        self.step += 1

    def _batch(self, rows: Encoded, draw: Draw | None, weights: Tensor | None = None) -> Batch:
        learner, raw = self.learner, to_tensors(rows)
        return collate(learner.signature, learner.types, raw, size_of(rows), None, weights, draw)

    # ---- what a learner's step may ask for ----

    def update(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        """A step whose loss is no number is left out."""
        logs = self.gradients(loss_of, batch, optimizer)
        if bool(torch.isfinite(logs["loss"])):
            self.apply(optimizer)
        return logs

    def gradients(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        return self.updater.gradients(loss_of, batch, self.updater.optimizers[optimizer])

    def apply(self, optimizer: str = "main") -> None:
        self.updater.apply(self.updater.optimizers[optimizer])

    # ---- forgetting ----

    def look(self) -> None:
        """Ask the test rows: may the net that learned answer from now on?"""
        found = self._forgetting()
        self.looks += 1
        sound = all(map(math.isfinite, found.lost.values()))
        if sound and found.most <= self.most_forget:
            self.forgot, self.beyond, self._good = found, 0, self._weights()
            self.answering.model.load_state_dict(self._good[0])
            if found.most < self.most_forget / 2:
                self.old = max(self.old // 2, LEAST_OLD)
            return
        self.refused, self.beyond = self.refused + 1, self.beyond + 1
        self.old = min(2 * self.old, MOST_OLD)
        if not sound or self.beyond >= PATIENCE:
            self._restore(self._good)
            self.beyond, self.taken_back = 0, self.taken_back + 1

    @property
    def looked(self) -> bool:
        """Has the net been asked since its last step?"""
        return self.groups % CHECK == 0

    def _forgetting(self) -> Forgetting:
        now, lost = self._figures(self.learner), {}
        for slot, was in self.tested.items():
            better = self.metrics[slot].higher_is_better
            lost[slot] = was - now[slot] if better else (now[slot] - was) / max(abs(was), TINY)
        return Forgetting(lost)

    def _figures(self, learner: Learner) -> dict[str, float]:
        """{output: its first metric} over test rows."""
        held = learner.measure("test", Keep(most=TESTED))
        return {slot: held.values(slot, [one])[one.name] for slot, one in self.metrics.items()}

    def _statistics(self, learner: Learner, batch: Batch) -> Statistics:
        held = gather(learner, [batch]).sample
        found = {}
        for slot, metric in self.metrics.items():
            known = any_known(held.present[slot])
            shown = {name: values[known] for name, values in held.predicted[slot].items()}
            if known.any():
                found[slot] = metric.rows(shown, held.target[slot][known])
        return found

    # ---- state ----

    def _weights(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The net and its optimizers, apart from what goes on with them."""
        model = {name: value.clone() for name, value in self.learner.model.state_dict().items()}
        return model, {name: copy.deepcopy(one.state_dict()) for name, one in self.updater.optimizers.items()}

    def _restore(self, weights: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
        model, optimizers = weights
        self.learner.model.load_state_dict(model)
        for name, state in optimizers.items():
            self.updater.optimizers[name].load_state_dict(copy.deepcopy(state))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, note) from which another goes on exactly."""
        tensors, note = _flat(self._weights(), "now"), self._note()
        tensors |= _flat(self._good, "good")
        note["plain"] = {
            f"{of}.{name}": flatten(state, "")[1]
            for of, both in (("now", self._weights()), ("good", self._good))
            for name, state in both[1].items()
        }
        tensors |= flat(self.recent, "recent")
        for of, held in (("now", self.now), ("before", self.before)):
            for slot in self.metrics:
                if parts := [one[slot] for one in held if slot in one]:
                    tensors[f"answered.{of}.{slot}"] = torch.from_numpy(np.concatenate(parts))
        return tensors, note

    def _note(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in NOTED},
            "forgot": dict(self.forgot.lost),
            "loss": {name: getattr(self.loss, name) for name in ("rows", "n", "total", "seen")},
        }

    def load_state(self, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        for name in NOTED:
            setattr(self, name, note[name])
        self.forgot = Forgetting(note["forgot"])
        for name, value in note["loss"].items():
            setattr(self.loss, name, value)
        fresh = {name: one.state_dict() for name, one in self.updater.optimizers.items()}
        self._restore(_unflat(tensors, note["plain"], "now", fresh))
        self._good = _unflat(tensors, note["plain"], "good", fresh)
        self.answering.model.load_state_dict(self._good[0])
        self.recent = unflat(tensors, "recent")
        self.now, self.before = (
            [{name: value.numpy() for name, value in part(tensors, f"answered.{of}").items()}]
            for of in ("now", "before")
        )

    # ---- what came of it ----

    def answered(self, window: int) -> dict[str, dict[str, Any]]:
        """{output: {"metric", "n", "now", "before", "curve"}}: how labelled rows were answered before each
        was learned, how they would have been by the net as it was, and both of every `window` of them."""
        return {slot: _curve(metric, self, slot, window) for slot, metric in self.metrics.items()}


def _curve(metric: Metric, online: Online, slot: str, window: int) -> dict[str, Any]:
    now, before = (
        np.concatenate([one[slot] for one in held if slot in one] or [np.empty((0, 1))])
        for held in (online.now, online.before)
    )
    cuts = [(low, min(low + window, len(now))) for low in range(0, len(now), window)]
    curve = [{"rows": high, **_both(metric, now[low:high], before[low:high])} for low, high in cuts]
    return {"metric": metric.name, "n": len(now), **_both(metric, now, before), "curve": curve}


def _both(metric: Metric, now: np.ndarray, before: np.ndarray) -> dict[str, float | None]:
    values = {"now": metric.reduce(now), "before": metric.reduce(before)} if len(now) else {}
    return {name: None if math.isnan(value) else round(value, 6) for name, value in values.items()}


def _rows(statistics: Statistics) -> int:
    return max((len(one) for one in statistics.values()), default=0)


def _lot(what: str, seed: int, step: int, of: int, count: int) -> np.ndarray:
    """(count,) of so many rows, each as often as it is drawn."""
    return np.random.default_rng(key(what, seed, step)).integers(0, of, count)


def _flat(weights: tuple[dict[str, Tensor], dict[str, Any]], of: str) -> dict[str, Tensor]:
    model, optimizers = weights
    found = {f"{of}.model.{name}": value for name, value in model.items()}
    for name, state in optimizers.items():
        found |= flatten(state, f"{of}.optimizer.{name}")[0]
    return found


def _unflat(
    tensors: Mapping[str, Tensor], plain: Mapping[str, Any], of: str, fresh: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    states = {
        name: unflatten(state, tensors, plain[f"{of}.{name}"], f"{of}.optimizer.{name}")
        for name, state in fresh.items()
    }
    return part(tensors, f"{of}.model"), states
