"""The contract of a way of learning: where batches come from, what the loss is, what one step does.

Most learners write `loss` and nothing else. A game of two players writes `step` as two explicit updates;
reinforcement and few-shot learning write `batches`. `tests/test_learners.py` holds every file of this folder
to the contract.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from mapsto.batch import Batch, Batches
from mapsto.config import Training, setting
from mapsto.errors import ConfigError
from mapsto.learners._arrays import answered, to_numpy
from mapsto.metrics import Metric
from mapsto.models.base import Types
from mapsto.outputs.base import Output
from mapsto.prediction import USUAL, Keep, Measured
from mapsto.signature import Signature
from mapsto.training.optimizers import build_optimizer

if TYPE_CHECKING:
    from mapsto.learners._graphs import Part, Sides

Logs = dict[str, Tensor]
Scores = dict[str, dict[str, float]]  # {slot: {metric: value}}
LossOf = Callable[[Batch], tuple[tuple[Tensor, Tensor], Logs]]
DENSE = 1 << 19  # numbers of dense targets whose predictions are made at once
EVAL_ROWS = 20_000  # rows that an evaluation during training reads at most


class Updates(Protocol):
    """What `Learner.step` may ask of its trainer: `update`, or `gradients` and `apply` with something between
    (each example's clipped, several clients' joined). optimizer: one of `Learner.optimizers`. step: updates'
    number so far. Batches that a learner makes itself go through `Learner.ready` first."""

    step: int

    def update(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        """`gradients`, then `apply`."""
        ...

    def gradients(self, loss_of: LossOf, batch: Batch, optimizer: str = "main") -> Logs:
        """The mean loss's gradients over a batch into `p.grad`; logs, and the loss under "loss"."""
        ...

    def apply(self, optimizer: str = "main") -> None:
        """One step by the gradients that lie in `p.grad`, clipped as the settings say."""
        ...


class Learner:
    """A way of learning. `model` holds everything that is trained or saved; `store` is None for learners that
    make their own rows."""

    ignores: ClassVar[
        tuple[str, ...]
    ] = ()  # settings it cannot honour: asking for one is an error, never silence
    unseen_classes: ClassVar[bool] = (
        # may whole classes be held back (--group naming what is learned), so that no row of theirs trains?
        False
    )
    learns_from: ClassVar[tuple[str, ...]] = ("train",)  # splits of the rows that are learned from
    incremental: ClassVar[bool] = False  # may it go on with rows that come later, an update at a time?
    weighs_lines: ClassVar[bool] = False  # does it settle how much the linear models beside nets count?
    looks_first: bool = False  # may the weights before the first step be the best?
    prefetch: ClassVar[bool] = (
        # are batches a function of data and step alone, so that a thread may make them while the model
        # learns?
        False
    )

    @dataclass(frozen=True)
    class Config:
        """Options of this learner, as in `--learner "supervised(mixup=0.2)"`."""

    @dataclass(frozen=True)
    class Sampling:
        """Options of `sample`."""

        seed: int = setting(0, "seed of the draws", above=-1)

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
        self.decoding: Mapping[str, Any] = {}  # how answers are searched for, by output
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

    kinds: Mapping[str, str] = MappingProxyType({})  # {output: the kind of answer it is}, set by `build`

    def output(self, slot: str) -> Output:
        """What stands right of the arrow there: a fitted type as the kind of answer that it is."""
        return self.types["output", slot].output(self.kinds.get(slot))

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

    def step(self, batch: Batch, trainer: Updates) -> Logs:
        """One step of learning: by default one update of everything."""
        return trainer.update(self.loss, batch)

    def outputs(self, batch: Batch) -> dict[str, Any]:
        """{slot: head output} before decoding: calibration, ensembles and test-time augmentation read
        these."""
        return self.model(batch.inputs, size=batch.size)

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
        return {
            slot: {name: to_numpy(value) for name, value in found.items()} for slot, found in said.items()
        }

    def _said(self, head: Any, slot: str, output: Any, batch: Batch) -> dict[str, Any]:
        """What a head predicts, and what only the truth tells of it, where that is known."""
        how = self.decoding.get(slot)
        found = head.predict(output) if how is None else head.predict(output, how)
        if slot not in batch.targets:
            return found
        return {**found, **head.target_stats(output, batch.targets[slot], batch.present.get(slot))}

    def with_decoding(self, how: Mapping[str, Any], language: Any = None) -> Self:
        """This learner, on the same net, searching for answers as asked, e.g. {"beam": 5}: one for each
        request, so that no two can meet. ConfigError where nothing is searched for."""
        found = copy.copy(self)
        heads = self.model.heads.items()  # type: ignore[union-attr, operator]
        found.decoding = {name: head.decoding(how, language) for name, head in heads}
        return found

    def sample(self, n: int, options: Any) -> dict[str, list[Any]]:
        """{output: n values, as its type reads them}, made from nothing, where nothing stands left of the
        arrow. options: a `Sampling` of this learner; torch's random numbers are seeded by whoever asks."""
        raise ConfigError(
            f"learner '{type(self).__name__}' makes nothing by itself.\nAsk it with: mapsto predict."
        )

    # ---- exported (`mapsto.deploy`), where one graph from cells to what heads predict will not do ----

    way: ClassVar[str] = "rows"  # how its graphs are asked: a file of `mapsto.lite.ways`

    def graphs(self, cells: Mapping[str, np.ndarray], sides: Sides) -> list[Part]:
        """Its graphs, [] for that one. cells: an example of what the first is given; sides: that may change.
        ConfigError: the net is none that a graph can be."""
        return []

    def eval_texts(self, store: Batches, split: str, most: int) -> Any:
        """`learners._graphs.EvalTexts` of a split, where texts are written by themselves: on what a net and
        its export are compared."""
        raise TypeError(f"{type(self).__name__} writes no texts")

    def way_options(self, parts: Sequence[Part]) -> dict[str, Any]:
        """What `way` is told beside, as JSON."""
        return {}

    def _places(self, slot: str, batch: Batch) -> dict[str, Any]:
        """Of an output that speaks of places: how its rows' own coordinates became those of the net, by which
        it is decoded and measured in the first."""
        if batch.geometry is None or self.types["output", slot].annotates(self.signature) is None:
            return {}
        return {"geometry": batch.geometry, "extent": batch.extent}

    @property
    def rows(self) -> np.ndarray:
        """(m,) all that it learns from."""
        assert self.store is not None
        return self.store.rows("train")

    def rows_of_net(self, number: int) -> np.ndarray:
        """(m,) what one of several nets side by side learns from."""
        return self.rows

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

    def measure(self, split: str, keep: Keep = USUAL) -> Measured:
        """What it says over a split, and how that fares: what metrics know of every row, and the predictions
        of as many rows as `keep` allows. Nobody holds a split's predictions where they are large. Empty where
        there are no rows that anybody can count. Override it where learning is not measured row by row."""
        if keep.store is None and (self.store is None or not self.size(split)):
            return Measured(np.empty(0, np.int64))
        return gather(self, self.iterate(split, keep.most, keep.store), keep)

    def sample_text(self) -> str:
        """What it writes by now, for people who look at it while it learns; "" where it writes nothing. Takes
        no random number of torch's."""
        return ""

    def baseline(self, split: str) -> dict[str, dict[str, dict[str, np.ndarray]]]:
        """{slot: {baseline: predicted arrays}} for the rows that `collect` gives, where the learner or an
        output's room knows a simple answer."""
        found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
        for slot in self.signature.outputs:
            rule = self.output(slot.name).baseline(slot.name, self.iterate("train", EVAL_ROWS))
            if rule is not None:
                found[slot.name] = answered(rule, self.iterate(split))
        return found

    def evaluate(self, split: str, most: int | None = None) -> Scores:
        """{slot: {metric: value}} over a split; {} when the learner has nothing to compare with."""
        found = self.measure(split, Keep(most=most))
        if not len(found):
            return {}
        outputs = [slot.name for slot in self.signature.outputs]
        return {slot: found.values(slot, self.metrics(slot)) for slot in outputs}

    def metrics(self, slot: str) -> tuple[Metric, ...]:
        """What is said of an output, while it learns, at the end and when runs are compared: what its kind of
        answer is measured by. Override where it measures something else, e.g. an environment's return. Asked
        also before there is a net (`mapsto.learners.metrics_of`): is it this that --metric names?"""
        return self.output(slot).metrics

    def record(self) -> dict[str, Any]:
        """What it found out and people should know, as JSON: rounds, the privacy spent, a return. It stands
        in run.json under "learned", and on the model card."""
        return {}

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


def gather(learner: Learner, batches: Iterable[Batch], keep: Keep = USUAL) -> Measured:
    """What a learner says of batches, in the order of their rows: batches may be walked by length."""
    from mapsto.prediction.gathering import Gathering

    metrics = {slot.name: learner.metrics(slot.name) for slot in learner.signature.outputs}
    found = Gathering(metrics, keep)
    for batch in batches:
        for piece in _dense_pieces(batch):
            part: dict[tuple[str, ...], np.ndarray] = {
                ("predicted", slot, name): values
                for slot, arrays in learner.arrays(piece).items()
                for name, values in arrays.items()
            }
            for slot, value in piece.targets.items():
                known = piece.present.get(slot)
                part["target", slot] = to_numpy(value)
                part["present", slot] = np.ones(piece.size, bool) if known is None else to_numpy(known)
            found.add(None if piece.rows is None else to_numpy(piece.rows), piece.size, part)
            if keep.listen is not None:
                keep.listen(piece)
    return found.measured()


def _dense_pieces(batch: Batch) -> Iterator[Batch]:
    """The batch; one whose targets are dense (B, H, W, ...) in pieces: of each pixel a net may say as much as
    there are classes, 88 MB of 16 masks of 256 x 256 and 21 classes."""
    dense = [
        value[0].numel() for value in batch.targets.values() if isinstance(value, Tensor) and value.ndim > 2
    ]
    rows = max(1, DENSE // max(dense)) if dense and batch.size else batch.size
    if rows >= batch.size:
        yield batch
        return
    for low in range(0, batch.size, rows):
        yield batch.slice(low, low + rows)
