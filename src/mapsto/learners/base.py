"""The contract of a way of learning: where batches come from, what the loss is, what one step does.

Most learners write `loss` and nothing else. A game of two players writes `step` as two explicit updates;
reinforcement and few-shot learning write `batches`. `tests/test_learners.py` holds every file of this folder
to the contract.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch, Padded, Ragged
from mapsto.config import Training
from mapsto.metrics import Metric
from mapsto.models.base import Types
from mapsto.prediction import Prediction
from mapsto.signature import Signature
from mapsto.training.optimizers import build_optimizer
from mapsto.types.base import Baseline

if TYPE_CHECKING:
    from mapsto.training.trainer import Trainer

Logs = dict[str, Tensor]
Scores = dict[str, dict[str, float]]  # {slot: {metric: value}}
EVAL_ROWS = 20_000  # rows that an evaluation during training reads at most


class Batches:
    """What a learner needs of a store: {split: rows} and batches by row. `mapsto.data.store.Store` is one; so
    is any stream."""

    device: torch.device = torch.device("cpu")  # where batches are wanted; the trainer says it by `place`
    few_shapes: bool = True  # have batches so few shapes that compiling a graph for each may pay?

    def place(self, device: torch.device) -> None:
        """Batches are wanted there from now on."""
        self.device = device

    def size(self, split: str) -> int | None:
        """Rows in a split; None when nobody knows, as in an endless stream: such a split is never walked."""
        raise TypeError(f"{type(self).__name__} has no size")

    def rows(self, split: str) -> np.ndarray:
        """(m,) row numbers of a split in the source."""
        raise TypeError(f"{type(self).__name__} has no rows")

    def flat(self, spot: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Cells of unequal length behind each other: (values (N, …), offsets (rows + 1,)), as they lie on
        disk."""
        raise TypeError(f"{type(self).__name__} has no cells of unequal length")

    def stream(self, split: str, step: int, batch: int, seed: int) -> Iterator[Batch]:
        """Endless shuffled, augmented batches from `step` on: a function of (split, step, batch, seed)
        alone."""
        raise TypeError(f"{type(self).__name__} has no stream")

    def steps_to_probe(self, split: str, batch: int, seed: int) -> tuple[int, int]:
        """Steps of `stream` whose batches take middling and most time and memory; the first where all are
        alike."""
        return 0, 0

    def iterate(self, split: str, batch: int, most: int | None = None) -> Iterator[Batch]:
        """Every row of a split once, in order, not augmented; `most` rows at the most, a keyed sample."""
        raise TypeError(f"{type(self).__name__} has no rows to walk")


@dataclass(frozen=True)
class Predictions:
    """Everything predicted over a split, as numpy: predicted[slot][name], target[slot], present[slot], rows
    (n,)."""

    predicted: Mapping[str, Mapping[str, np.ndarray]]
    target: Mapping[str, np.ndarray]
    present: Mapping[str, np.ndarray]
    rows: np.ndarray


class Learner:
    """A way of learning. `model` holds everything that is trained or saved; `store` is None for learners that
    make their own rows."""

    ignores: ClassVar[
        tuple[str, ...]
    ] = ()  # settings it cannot honour: asking for one is an error, never silence
    prefetch: ClassVar[bool] = (
        # are batches a function of data and step alone, so that a thread may make them while the model
        # learns?
        False
    )

    @dataclass(frozen=True)
    class Config:
        """Options of this learner, as in `--learner "supervised(mixup=0.2)"`."""

    def __init__(
        self,
        model: nn.Module,
        signature: Signature,
        types: Types,
        store: Batches | None,
        training: Training,
        config: Any = None,
    ):
        self.model, self.signature, self.types, self.store, self.training = (
            model,
            signature,
            types,
            store,
            training,
        )
        self.config: Any = config if config is not None else self.Config()
        self.device = torch.device("cpu")  # the trainer sets it
        self.autocast = torch.autocast(
            "cpu", torch.bfloat16, enabled=False
        )  # likewise: the plan's arithmetic
        self.scaler = torch.amp.GradScaler(
            "cpu", enabled=False
        )  # which keeps the gradients of float16 within its range
        self.channels_last = False  # and its memory format
        self.compiled: Callable[[Batch], Any] | None = None  # and `loss` as torch.compile makes it
        self.first: Callable[[], nn.Module] | None = (
            None  # makes the net as it was before its first step, where a run knows
        )

    def ready(self, batch: Batch) -> Batch:
        """The batch where and as the plan wants it."""
        batch = batch if self.device.type == "cpu" else batch.to(self.device)
        if not self.channels_last:
            return batch
        pictures = {
            name: (
                value.contiguous(memory_format=torch.channels_last)
                if isinstance(value, Tensor) and value.ndim == 4
                else value
            )
            for name, value in batch.inputs.items()
        }
        return replace(batch, inputs=pictures)

    packs: ClassVar[bool] = (
        False  # are rows joined before they are read, so that new ones must be stored first?
    )

    def condition(self, batch: Batch) -> Any:
        """What it hands over to the model beside the inputs."""
        return None

    def batch_of(self, store: Any, rows: np.ndarray) -> Batch:
        """One batch of rows of a store, to see what predicting takes."""
        return store.batch(rows)

    def batches(self, split: str, step: int) -> Iterator[Batch]:
        """Global batches for training, from `step` on."""
        assert self.store is not None and self.training.batch is not None
        return self.store.stream(split, step, self.training.batch, self.training.seed)

    @property
    def few_shapes(self) -> bool:
        """Have training batches so few shapes that compiling a graph for each may pay?"""
        return self.store is not None and self.store.few_shapes

    @property
    def row_tokens(self) -> float:
        """Tokens that are learned of a training row in the mean, where speed is told in tokens; 0
        elsewhere."""
        return 0.0

    def preparing(self) -> float:
        """Seconds that a batch takes to be made, where a thread may make it while the model learns; 0
        elsewhere."""
        if not self.prefetch:
            return 0.0
        batches = self.batches("train", 0)
        next(batches)
        start = time.perf_counter()
        self.ready(next(batches))
        return time.perf_counter() - start

    def probes(self) -> tuple[Batch, Batch]:
        """A usual training batch to measure time with, and the heaviest of the first pass over the rows to
        measure memory with."""
        usual, heaviest = (
            (0, 0)
            if self.store is None
            else self.store.steps_to_probe("train", self.training.batch or 1, self.training.seed)
        )
        batch = next(self.batches("train", usual))
        return batch, batch if usual == heaviest else next(self.batches("train", heaviest))

    def loss(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], Logs]:
        """-> ((per_row (B,), count (B,)), logs): sums and what they are sums over; the trainer owns the
        division."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def step(self, batch: Batch, trainer: Trainer) -> Logs:
        """One step of learning: by default one update of everything."""
        return trainer.update(self.loss, batch)

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """{slot: head output} before decoding: calibration, ensembles and test-time augmentation read
        these."""
        return self.model(batch.inputs, size=batch.size)

    @torch.no_grad()
    def predict(self, batch: Batch) -> dict[str, list[Prediction]]:
        """{slot: one Prediction a row}."""
        heads = dict(self.model.heads.items())  # type: ignore[union-attr, operator]
        found = self.arrays(batch)
        return {name: heads[name].decode(arrays) for name, arrays in found.items()}

    @torch.inference_mode()
    def arrays(self, batch: Batch) -> dict[str, dict[str, np.ndarray]]:
        """{slot: {name: (B, ...)}}: what metrics read."""
        if self.model.training:
            self.model.eval()  # walks through all modules: a fifth of a small net's time
        heads = dict(self.model.heads.items())  # type: ignore[union-attr, operator]
        ready = self.ready(batch)
        with self.autocast:
            outputs = self.outputs(ready)
        said = {
            slot: {**self._said(heads[slot], slot, output, ready), **self._places(slot, ready)}
            for slot, output in outputs.items()
        }
        return {slot: {name: _numpy(value) for name, value in found.items()} for slot, found in said.items()}

    def _said(self, head: Any, slot: str, output: Any, batch: Batch) -> dict[str, Any]:
        """What a head predicts, and what only the truth tells of it, where that is known."""
        if slot not in batch.targets:
            return head.predict(output)
        return {
            **head.predict(output),
            **head.target_stats(output, batch.targets[slot], batch.present.get(slot)),
        }

    def _places(self, slot: str, batch: Batch) -> dict[str, Any]:
        """Of an output that speaks of places: how its rows' own coordinates became those of the net, by which
        it is decoded and measured in the first."""
        if batch.geometry is None or self.types["output", slot].annotates(self.signature) is None:
            return {}
        return {"geometry": batch.geometry, "extent": batch.extent}

    def set_decoding(self, how: Mapping[str, Any], language: Any = None) -> None:
        """Search for answers so from now on, as `mapsto predict --beam` asks. ConfigError where nothing is
        searched for."""
        for _, head in self.model.heads.items():  # type: ignore[union-attr, operator]
            head.set_decoding(how, language)

    def size(self, split: str, store: Batches | None = None) -> int | None:
        """Rows of a split as `batches` and `walk` count them: the store's, or blocks of a text. None when
        nobody knows."""
        store = store or self.store
        return None if store is None else store.size(split)

    @property
    def eval_rows(self) -> int:
        """Rows that are enough for a look at how well it does while it learns."""
        return EVAL_ROWS

    def iterate(self, split: str, most: int | None = None, store: Batches | None = None) -> Iterator[Batch]:
        """Every row of a split once (or a keyed sample of `most`), to be predicted. store: another than the
        learner's own."""
        store = store or self.store
        assert store is not None
        return store.iterate(split, self.evaluation_batch, most)

    def predict_split(self, split: str, most: int | None = None, store: Batches | None = None) -> Predictions:
        """Predict every row of a split (or a sample of `most`)."""
        return predict_split(self, self.iterate(split, most, store))

    def sample_text(self) -> str:
        """What it writes by now, for people who look at it while it learns; "" where it writes nothing. Takes
        no random number of torch's."""
        return ""

    def baseline(self, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """{slot: {baseline: predicted arrays}} for the rows that `collect` gives, where the learner or an
        output's room knows a simple answer."""
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        for slot in self.signature.outputs:
            rule = self.types["output", slot.name].baseline(
                slot.name, self.types, self.iterate("train", EVAL_ROWS)
            )
            if rule is not None:
                found[slot.name] = answered(rule, self.iterate(split))
        return found

    def evaluate(self, split: str, most: int | None = None) -> Scores:
        """{slot: {metric: value}} over a split; {} when the learner has nothing to compare with."""
        if self.store is None or not self.size(split):
            return {}
        found = self.predict_split(split, most)
        return {
            slot.name: score_values(self.metrics(slot.name), found, slot.name)
            for slot in self.signature.outputs
        }

    def metrics(self, slot: str) -> tuple[Metric, ...]:
        """What `evaluate` says of an output; its type's metrics. Override where it measures something else,
        e.g. an environment's return."""
        return self.types["output", slot].metrics

    @property
    def evaluation_batch(self) -> int:
        """Rows per forward pass where nothing is kept for a backward pass."""
        return max(1, min(1024, 4 * (self.training.micro_batch or self.training.batch or 64)))

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """By name; "main" is what `update` takes unless told otherwise."""
        return {"main": build_optimizer(self.model, self.training)}

    def state_dict(self) -> dict[str, Tensor]:
        """What must survive a crash beside model, optimizers and EMA: replay buffers, privacy spent, players'
        pasts."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        assert not state, f"{type(self).__name__} saved a state it does not load"


def predict_split(learner: Learner, batches: Iterator[Batch]) -> Predictions:
    """Predictions and targets of many batches, joined in the order of their rows: batches may be walked by
    length."""
    predicted: dict[str, dict[str, list[np.ndarray]]] = {}
    target: dict[str, list[np.ndarray]] = {}
    present: dict[str, list[np.ndarray]] = {}
    rows = []
    for batch in batches:
        for slot, arrays in learner.arrays(batch).items():
            for name, value in arrays.items():
                predicted.setdefault(slot, {}).setdefault(name, []).append(value)
        for slot, value in batch.targets.items():
            target.setdefault(slot, []).append(_numpy(value))
            present.setdefault(slot, []).append(
                _numpy(batch.present[slot]) if slot in batch.present else np.ones(batch.size, bool)
            )
        if batch.rows is not None:
            rows.append(_numpy(batch.rows))
    numbers = np.concatenate(rows) if rows else np.empty(0, np.int64)
    place = np.empty(len(numbers), np.int64)
    place[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))
    return Predictions(
        {
            slot: {name: _placed(values, place) for name, values in arrays.items()}
            for slot, arrays in predicted.items()
        },
        {name: _placed(values, place) for name, values in target.items()},
        {name: _placed(values, place) for name, values in present.items()},
        np.sort(numbers),
    )


def answered(rule: Baseline, batches: Iterator[Batch]) -> dict[str, dict[str, np.ndarray]]:
    """{baseline: arrays} of what a simple rule says of batches, in the order of their rows."""
    found: dict[str, dict[str, list[np.ndarray]]] = {}
    rows = []
    for batch in batches:
        assert batch.rows is not None
        rows.append(_numpy(batch.rows))
        for baseline, arrays in rule(batch).items():
            for name, value in arrays.items():
                found.setdefault(baseline, {}).setdefault(name, []).append(value)
    place = np.argsort(np.argsort(np.concatenate(rows), kind="stable"), kind="stable")
    return {
        baseline: {name: _placed(parts, place) for name, parts in arrays.items()}
        for baseline, arrays in found.items()
    }


def _placed(parts: list[np.ndarray], place: np.ndarray) -> np.ndarray:
    """Parts behind each other, (n, ...), row i at place[i] (n,), or as they are where no row has a number.
    The parts are dropped on the way, so that there is one copy and no second."""
    if not len(place):
        return np.concatenate(parts)
    found, low = np.empty((len(place), *parts[0].shape[1:]), parts[0].dtype), 0
    parts.reverse()
    while parts:
        part = parts.pop()
        found[place[low : low + len(part)]] = part
        low += len(part)
    return found


def score_values(metrics: tuple[Metric, ...], found: Predictions, slot: str) -> dict[str, float]:
    """{metric: value} over the rows whose label is known; {} when none is."""
    known = found.present[slot].reshape(len(found.present[slot]), -1).any(1)
    if not known.any():
        return {}
    predicted = {name: value[known] for name, value in found.predicted[slot].items()}
    target = found.target[slot][known]
    return {metric.name: metric.reduce(metric.rows(predicted, target)) for metric in metrics}


def _numpy(value: Any) -> np.ndarray:
    """(B, ...) as numpy; rows of unequal length as (B,) objects, each an array."""
    if isinstance(value, Padded):
        value = value.cells()
    if isinstance(value, Ragged):
        value = list(value)
    if isinstance(value, list):
        rows = np.empty(len(value), object)
        for i, row in enumerate(value):
            rows[i] = _numpy(row)
        return rows
    value = value.detach()
    return (value.float() if value.dtype in (torch.bfloat16, torch.float16) else value).cpu().numpy()
