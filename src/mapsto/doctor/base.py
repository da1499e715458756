"""What the files of this folder share: the patient, a run with everything that can be measured of it, and
what is said of it.

One file in this folder is one group of complaints. A file holds
    PROBES   {what it looks for, in a few words: a function (subject) -> Iterable[Issue]}
A look raises `Unseen` for what it cannot look at; the doctor then says so, and goes on with the next.

A threshold stands beside its reason. A complaint is `Complaint(…)` when the run is sick, `Complaint(…,
note=True)` when something is worth knowing about a sound one. `explains` names the complaints that follow
from it: those are told as consequences.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mapsto import recipes
from mapsto.batch import Batch, key
from mapsto.data.store import Store
from mapsto.errors import MapstoError
from mapsto.files import read_json_lines
from mapsto.learners.base import Learner
from mapsto.measure.baseline import chosen
from mapsto.models.base import parameters_of
from mapsto.run import Run
from mapsto.training import checkpoint
from mapsto.training.machine import choose_device

VALUES = (
    1 << 20
)  # encoded values of a sample: 1,024 table rows of up to 1,024 columns, 341 pictures of 32×32, 64 of 128×128
WORK = 1.5e10  # multiplications of one look at a sample: about a second, and there are some twenty looks
MOST, FEWEST = 1024, 32  # rows of a sample
BATCHES, PROBED = (
    8,
    512,
)  # training batches asked of the learner; rows of them that losses and gradients are measured on
# share of its whole fall by which the training loss may still fall in the last quarter of a training that was
# long enough
SETTLED = 0.05
PASSES = 3  # over the training rows, at least: recipes take 14 and more
T = TypeVar("T")


class NotMeasurable(MapstoError):
    """Something could not be looked at: the data has moved, or there are no weights yet."""


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong. name: what to call it ("rate_high"); what: one sentence with the number behind
    it; advice: what to try; explains: names of complaints that follow from this one; note: worth knowing, but
    no sickness; follows: the name of the cause, filled in by the doctor; figures: the numbers by name."""

    name: str
    what: str
    advice: str
    explains: tuple[str, ...] = ()
    note: bool = False
    follows: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Losses:
    """Of one output over some rows, as its head counts it. rows: each row's loss (n,), nan where no label is
    known; constant: the mean loss of the best answer that does not look at the inputs; mean: of the net."""

    rows: np.ndarray
    mean: float
    constant: float

    @property
    def explained(self) -> float:
        """1: no loss is left; 0: no better than a constant; below: worse."""
        return 1 - self.mean / self.constant if self.constant > 0 else math.nan


class Subject:
    """A run to be examined. store: its encoded rows, None when the data has moved (`moved` says why); first:
    builds the net as it was before the first step, from the seed alone by default. Nothing measured here
    changes the run or its nets: probes work on copies.
    """

    def __init__(
        self, run: Run, store: Store | None, moved: str = "", first: Callable[[], nn.Module] | None = None
    ):
        self.run, self._store, self.moved, self._first = run, store, moved, first or run.new_model
        self._known: dict[str, Any] = {}
        self.device = choose_device(
            run.settings.training.device if run.settings.training.device == "cpu" else None
        )
        if store is not None:
            store.device = self.device

    def once(self, what: str, find: Callable[[], T]) -> T:
        """What `find` gives, found once for all complaints that ask."""
        if what not in self._known:
            self._known[what] = find()
        return self._known[what]

    # ---- what the run wrote down ----

    @cached_property
    def _checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Of an unfinished or failed training."""
        return None if (self.run.path / "model.safetensors").exists() else checkpoint.load(self.run.path)

    @cached_property
    def curve(self) -> list[dict[str, Any]]:
        """One entry an evaluation: "step", "loss" (mean training loss since the last one, None when it was no
        number), "scores"."""
        return list(self._checkpoint[1]["history"]) if self._checkpoint else self.run.history

    @cached_property
    def training_losses(self) -> tuple[np.ndarray, np.ndarray]:
        """(steps, mean training loss up to each since the one before). Unseen when none was written down."""
        known = [(entry["step"], entry["loss"]) for entry in self.curve if entry.get("loss") is not None]
        if len(known) < 3:
            raise NotMeasurable(
                f"the training loss: {len(known)} values were written down, at least 3 are needed for a curve"
            )
        steps, losses = zip(*known, strict=True)
        return np.array(steps), np.array(losses, np.float64)

    @cached_property
    def settled(self) -> bool:
        """Had the training loss come to rest? False after few passes over the rows (the falling rate flattens
        any curve), and where the last quarter brought a good part of the whole fall; True where nobody
        knows."""
        if self.steps * (self.run.choice.training.batch or 1) < PASSES * self.run.record["rows"]["train"]:
            return False
        try:
            _, losses = self.training_losses
        except NotMeasurable:
            return True
        quarter = max(1, len(losses) // 4)
        last, before = float(losses[-quarter:].mean()), float(losses[-2 * quarter : -quarter].mean())
        return before - last <= SETTLED * (float(losses.max()) - last)

    @cached_property
    def decisions(self) -> list[dict[str, Any]]:
        return read_json_lines(self.run.path / "decisions.jsonl")

    @cached_property
    def steps(self) -> int:
        """Steps taken."""
        return int(self.run.record.get("steps") or (self._checkpoint[1]["step"] if self._checkpoint else 0))

    # ---- nets ----

    @cached_property
    def first(self) -> nn.Module:
        """The net before its first step."""
        return self._first().to(self.device)

    @cached_property
    def trained(self) -> nn.Module:
        """The net with the weights it learned: the best, or those of the last checkpoint. Unseen when no step
        was taken."""
        if self._checkpoint is None and not (self.run.path / "model.safetensors").exists():
            raise NotMeasurable("the weights: the training wrote none")
        if self._checkpoint is None:
            return copy.deepcopy(self.run.model).to(self.device)
        if not self.steps:
            raise NotMeasurable("the weights: the last checkpoint is from before the first step")
        tensors, _ = self._checkpoint
        model = self.run.new_model()
        model.load_state_dict(checkpoint.part(tensors, "best") or checkpoint.part(tensors, "model"))
        return model.to(self.device).eval()

    def learner(self, model: nn.Module) -> Learner:
        """The run's learner around a net, over the run's rows; in float32."""
        learner = self.run.new_learner(model, self.store)
        learner.device = self.device
        return learner

    def loss_learner(self, model: nn.Module) -> Learner:
        """Likewise. Unseen when it has no loss to ask for, as a game of two players."""
        learner = self.learner(model)
        if type(learner).loss is Learner.loss:
            raise NotMeasurable(f"the loss: the learner '{self.run.choice.learner}' has no single one")
        return learner

    # ---- rows ----

    @property
    def store(self) -> Store:
        if self._store is None:
            raise NotMeasurable(f"the data: {' '.join(self.moved.split())}")
        return self._store

    def sample(self, *splits: str) -> Batch:
        """Rows of these splits as one batch, not augmented: a keyed sample, as many as their size allows.
        Unseen when there are none."""
        rows = np.concatenate([self.store.rows(split) for split in splits])
        if not len(rows):
            raise NotMeasurable(f"{' and '.join(splits)} rows: there are none")
        return self._ready(rows[chosen(len(rows), self._most, key("doctor", *splits))])

    def _ready(self, rows: np.ndarray) -> Batch:
        """These rows as the learner's net takes them."""
        learner = self.learner(self.first)
        return learner.ready(learner.batch_of(self.store, rows))

    @cached_property
    def multiplications(self) -> float:
        """Of one row's forward pass, counted by torch on two rows."""
        from mapsto.training.flops import FlopCounter

        two = self._ready(self.store.rows("train")[:2])
        with torch.no_grad(), FlopCounter() as counter:
            self.learner(self.first.eval()).outputs(two)
        return counter.total / 2 / max(1, two.size)

    @cached_property
    def _most(self) -> int:
        layouts = [self.run.types["input", slot.name].layout for slot in self.run.signature.inputs]
        values = sum(
            512 if layout.ragged else math.prod(side or 1 for side in layout.shape) for layout in layouts
        )
        return int(min(MOST, max(FEWEST, min(VALUES / max(1, values), WORK / (1 + self.multiplications)))))

    @cached_property
    def learned(self) -> Batch:
        """A sample of the training rows, not augmented."""
        return self.sample("train")

    @cached_property
    def held(self) -> Batch:
        """A sample of the rows that nothing was learned from."""
        learned = self.learner(self.first).learns_from
        return self.sample(*(split for split in ("validation", "test") if split not in learned))

    @cached_property
    def batches(self) -> list[Batch]:
        """The first training batches as the learner makes them: shuffled, augmented, mixed."""
        learner = self.learner(self.first)
        state = {name: value.clone() for name, value in learner.state_dict().items()}
        found = list(islice(learner.batches("train", 0), BATCHES))
        learner.load_state_dict(state)
        return found

    # ---- losses ----

    @property
    def probed(self) -> list[Batch]:
        """Training batches for losses and gradients: as many as hold 512 rows, fewer with large nets."""
        rows = min(
            PROBED, WORK / 4 / (1 + self.multiplications)
        )  # seven looks along the way, two with gradients
        return self.batches[: max(1, round(rows / max(1, self.batches[0].size)))]

    @cached_property
    def start(self) -> float:
        """The training loss before the first step."""
        return self.training_loss(self.first)

    def training_loss(self, model: nn.Module) -> float:
        """The learner's own loss, as the trainer counts it: in training mode, on the first batches. The same
        random draws for every net."""
        learner = self.loss_learner(copy.deepcopy(model).train())
        total = count = 0.0
        with torch.no_grad():
            for number, batch in enumerate(self.probed):
                torch.manual_seed(number)
                (rows, counts), _ = learner.loss(learner.ready(batch))
                total, count = total + float(rows.sum()), count + float(counts.sum())
        return total / max(count, 1e-8)

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """{slot: head output} of the trained net."""
        with torch.no_grad():
            return self.learner(self.trained).outputs(batch)

    @cached_property
    def learned_losses(self) -> dict[str, Losses]:
        """Of the trained net on training rows."""
        return self.losses_of(self.outputs(self.learned), self.learned)

    @cached_property
    def held_losses(self) -> dict[str, Losses]:
        """Of the trained net on rows held back."""
        return self.losses_of(self.outputs(self.held), self.held)

    @cached_property
    def first_losses(self) -> dict[str, Losses]:
        """Of the net before its first step on training rows, with batch statistics: a fresh net has no
        others."""
        torch.manual_seed(0)
        with torch.no_grad():
            return self.losses_of(
                self.learner(copy.deepcopy(self.first).train()).outputs(self.learned), self.learned
            )

    def losses_of(self, outputs: Mapping[str, Any], batch: Batch) -> dict[str, Losses]:
        """{slot: its head's losses}. Slots without a known label in the batch are left out."""
        heads = dict(self.first.heads.items())  # type: ignore[union-attr, operator]
        return {
            name: Losses(rows, mean, fitted_loss(heads[name], outputs[name], batch, name, each_row=False))
            for name, (rows, mean) in self.rows_of(outputs, batch).items()
        }

    def rows_of(self, outputs: Mapping[str, Any], batch: Batch) -> dict[str, tuple[np.ndarray, float]]:
        """{slot: (each row's loss (n,), nan where no label is known; their mean over labels)}."""
        found = {}
        for name, head in self.first.heads.items():  # type: ignore[union-attr, operator]
            with torch.no_grad():
                rows, counts = head.loss(outputs[name], batch.targets[name], batch.present.get(name))
            if not float(counts.sum()):
                continue
            each = torch.where(counts > 0, rows / counts.clamp(min=1e-8), math.nan).cpu().double().numpy()
            found[name] = each, float(rows.sum() / counts.sum())
        return found

    def better(self, slot: str, name: str, a: float, b: float) -> bool:
        """Is `a` better than `b` by a metric of an output?"""
        return next(metric for metric in self.run.output(slot).metrics if metric.name == name).better(a, b)

    # ---- the recipe ----

    @cached_property
    def recipe(self) -> recipes.Choice:
        """What the recipe would have chosen for these rows, had nobody asked for anything."""
        settings = self.run.settings
        facts = recipes.Facts(self.run.signature, self.run.types, self.run.record["rows"]["train"])
        return recipes.choose(
            facts,
            replace(settings, model=None, learner=None, metric=None, training=type(settings.training)()),
        )

    @property
    def rate(self) -> float:
        return float(self.run.choice.training.lr or math.nan)


def fitted_loss(head: nn.Module, output: Any, batch: Batch, name: str, each_row: bool) -> float:
    """The least mean loss that free scores reach: the same for all rows (a constant answer: for K equally
    frequent classes log K, for a number its variance), or of their own for each row (what label smoothing
    leaves). Found by L-BFGS, so that no kind of head need be known here.
    """
    if not isinstance(output, Tensor):
        raise NotMeasurable(f"the loss of a constant answer: the output of '{name}' has no fixed shape")
    if head.expects == "tokens":  # (B, T, V)
        raise NotMeasurable(
            f"the loss of a constant answer: '{name}' has as many answers as its text has tokens"
        )
    free = torch.zeros(
        (len(output) if each_row else 1, *output.shape[1:]), device=output.device, requires_grad=True
    )
    optimizer = torch.optim.LBFGS([free], max_iter=100, line_search_fn="strong_wolfe")

    def mean() -> Tensor:
        rows, counts = head.loss(
            free.expand(len(output), *output.shape[1:]), batch.targets[name], batch.present.get(name)
        )  # type: ignore[operator]
        return rows.sum() / counts.sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = mean()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        return float(mean())


def matrices(model: nn.Module) -> dict[str, Tensor]:
    """The weights of two and more dimensions: what layers multiply with. Vectors (biases, norms, tokens of
    missing cells) are left out, and what is solved rather than learned."""
    solved = parameters_of(model, "solved")
    matrices = {name: value for name, value in model.named_parameters() if value.ndim >= 2}
    return {name: value for name, value in matrices.items() if name not in solved}


def percent(share: float) -> str:
    """A share for people: 0.3%, 12%, 480%."""
    return f"{100 * share:.2g}%" if share < 0.1 else f"{100 * share:,.0f}%"


def listed(words: Iterable[str], most: int = 4) -> str:
    """a, b, c, … (9 in all)."""
    names = list(words)
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
