"""Questions asked of a finished run. One file in this folder is one question.

A file holds
    TITLE                               the question in words, as the report's heading
    asks(view) -> bool                  does it make sense for this run?
    assess(view, seconds) -> Section    the answer; `seconds`: how long it may take, by sizes, not the clock
and, where they hold,
    AFTER = "classes"                   the question behind which it stands in the report
    NET = True                          it asks the net again, or anything else that must not have learned the
                                        rows: of a cross-validation it looks at validation rows, the others at
                                        every row as the fold that never saw it predicted it
    TIMED = True                        its figures are seconds
The same file serves the report at the end of a training and `mapsto assess RUN QUESTION --data NEW`. Random
choices are keyed by `view.seed`. A question may leave the net in whatever mode it likes: who asks
(`mapsto.assess._ask`) puts everything back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mapsto.assess._usual import Usual
from mapsto.batch import Batch, Padded, Ragged, key
from mapsto.blocks import Block, Code, Item, Paragraph
from mapsto.data.store import Store, collate, tensors
from mapsto.errors import CellError, DataError
from mapsto.learners.base import Learner, gather
from mapsto.measure.baseline import chosen
from mapsto.models.base import Heads
from mapsto.outputs.base import Head, Output
from mapsto.prediction import Predictions
from mapsto.run import Run
from mapsto.signature import Slot
from mapsto.source import Source
from mapsto.types.base import DataType

MOST_ROWS, FEWEST_ROWS, MOST_BYTES = (
    20_000,
    300,
    1e8,
)  # rows whose cells are held at once: fewer where encoded cells are large
WORST = 40  # rows of each output whose cells are held for being the worst
# What forward passes are taken to cost, in multiplications: a guess that only sizes, and never decides, the
# work
SPEED = 2e10  # a second
ROW, ROW_INPUT = 2e5, 5e3  # beside the net's own, for each row and for each of its inputs
PASS, PASS_INPUT = 1e7, 1e5  # for each pass through the net, and for each input
MOST_CELLS, LONG, MOST_LETTERS = (
    12,
    60,
    600,
)  # of a row that is shown: cells; a text longer than LONG stands by itself, cut


@dataclass(frozen=True)
class View:
    """What a question may look at.

    store: encoded rows; `store.batch(rows)` gives any of them as the net takes them. split: which of its
    splits is asked about ("test", or "validation" where nothing was held back; new data is all "test").
    found: predictions by split as the heads gave them, not yet calibrated (`raw`), and with the run's
    calibration (`held`). source: the data itself, None when it has moved. groups: (rows of the store,) group
    of each row where rows come in groups (--group), else None."""

    run: Run
    learner: Learner
    store: Store
    found: Mapping[str, Predictions]
    split: str
    source: Source | None
    seed: int = 0
    groups: np.ndarray | None = None
    flattered: str = ""  # of new rows: what to think of figures on them, where the run learned from some

    # ---- predictions ----

    @property
    def raw(self) -> Predictions:
        """Predictions on the rows asked about, before calibration."""
        return self.found[self.split]

    @cached_property
    def held(self) -> Predictions:
        """Predictions on the rows asked about, calibrated as `predict` gives them."""
        raw = self.raw
        arrays = {
            slot: self.output(slot).calibrated(values, self.fitted(slot))
            for slot, values in raw.predicted.items()
        }
        return Predictions(arrays, raw.target, raw.present, raw.rows)

    def of(self, slot: str) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """(predicted arrays, target, row numbers) of the held rows whose label of `slot` is known wholly or
        in part; calibrated."""
        known = self.held.present[slot].reshape(len(self.held.rows), -1).any(1)
        if not known.any():
            raise DataError(
                f"'{slot}': no row with a known answer to look at.\nGive rows with answers: --data"
            )
        return (
            {name: values[known] for name, values in self.held.predicted[slot].items()},
            self.held.target[slot][known],
            self.held.rows[known],
        )

    def output(self, slot: str) -> Output:
        """What stands right of the arrow there: the kind of answer knows what can be asked of it."""
        return self.run.output(slot)

    def fitted(self, slot: str) -> Mapping[str, Any]:
        """What makes its predictions honest, {} where nothing does."""
        return self.run.calibration.get(slot, {})

    def outputs(self, asked: Callable[[Output], Any] = lambda output: output.rowwise) -> list[str]:
        """Outputs with a known answer among the held rows of which something can be asked: by default, how
        wrong each row is."""
        names = [slot.name for slot in self.run.signature.outputs]
        return [name for name in names if asked(self.output(name)) and self.held.present[name].any()]

    @property
    def used_by(self) -> set[str]:
        """The commands by which a run that is given nothing is used (`Output.usage`)."""
        if self.run.signature.inputs:
            return {"predict"}
        usages = [self.output(slot.name).usage for slot in self.run.signature.outputs]
        return {"predict" if usage is None else usage.command for usage in usages}

    def column_type(self, slot: str) -> DataType:
        """The room of an output."""
        return self.run.types["output", slot]

    def positive(self, slot: str) -> tuple[int, bool]:
        """Of an output of two classes (the number of the positive one, was it asked for?): else it is the
        rarer of the rows asked about."""
        asked, classes = self.run.settings.report.positive, self.column_type(slot).classes
        if asked in classes:
            return classes.index(asked), True
        return int(np.bincount(self.of(slot)[1].astype(np.int64), minlength=2).argmin()), False

    def head(self, slot: str) -> Head:
        heads: Heads = self.learner.model.heads  # type: ignore[assignment]
        return dict(heads.items())[slot]

    def group_of(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.groups is None else self.groups[rows]

    def captioned(self, slot: str, blocks: Iterable[Block]) -> list[Block]:
        """Blocks whose captions name the output where there are several."""
        return [
            block
            if isinstance(block, (Paragraph, Code))
            else replace(block, caption=self.titled(slot, block.caption))
            for block in blocks
        ]

    def titled(self, slot: str, text: str) -> str:
        """A caption that names the output where there are several."""
        return f"{slot}: {text}" if len(self.run.signature.outputs) > 1 else text[:1].upper() + text[1:]

    # ---- asking the net again ----

    @cached_property
    def multiplications(self) -> float:
        """Of one row's forward pass, counted on one row."""
        from mapsto.training.flops import FlopCounter

        some = next(split for split in ("test", "validation", "train") if self.store.size(split))
        batch = self.learner.batch_of(self.store, self.store.rows(some)[:1])
        with FlopCounter() as counter:
            self.learner.arrays(batch)
        return counter.total / 2

    def rows_in(self, seconds: float) -> int:
        """About how many forward passes of a row fit into so many seconds on an ordinary machine: from the
        net's and the rows' size alone."""
        size = self.learner.evaluation_batch
        return int(seconds * size / self.seconds_of(size))

    def seconds_of(self, rows: int) -> float:
        """About how long one pass of so many rows together takes."""
        inputs = len(self.run.signature.inputs)
        return (rows * (self.multiplications + ROW + ROW_INPUT * inputs) + PASS + PASS_INPUT * inputs) / SPEED

    def sample(self, most: int, *name: Any) -> np.ndarray:
        """At most `most` of the held rows (row numbers, ascending): a keyed sample."""
        return self.held.rows[chosen(len(self.held.rows), max(1, most), key(self.seed, *name))]

    def predicted(self, batches: Iterator[Batch]) -> Predictions:
        """What the net says of batches, calibrated."""
        found = gather(self.learner, batches).sample
        arrays = {
            slot: self.output(slot).calibrated(values, self.fitted(slot))
            for slot, values in found.predicted.items()
        }
        return Predictions(arrays, found.target, found.present, found.rows)

    def pieces(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Rows in pieces as long as the net takes at once."""
        size = self.learner.evaluation_batch
        return (rows[low : low + size] for low in range(0, len(rows), size))

    def batch_of(self, rows: np.ndarray, changed: Mapping[str, Sequence[Any]]) -> Batch:
        """The rows as a batch in which some inputs hold other values. changed: {input: a read value for each
        row}."""
        raw = self.store.raw(rows)
        for name, values in changed.items():
            column_type = self.run.types["input", name]
            encoded = column_type.encode_all(values)
            cells = (
                encoded
                if column_type.layout.ragged
                else np.stack(encoded).astype(column_type.layout.dtype, copy=False)
            )
            raw["input", name] = tensors(cells, self.store.device)
        return collate(
            self.run.signature, self.run.types, raw, len(rows), _tensor(rows, self.store.device), None, None
        )

    # ---- the data behind the rows ----

    @cached_property
    def fair(self) -> np.ndarray:
        """Rows (ascending row numbers) that stand for all held rows and whose cells are at hand: all, or a
        keyed sample of MOST_ROWS (fewer of large pictures)."""
        layouts = [self.run.types["input", slot.name].layout for slot in self.run.signature.inputs]
        size = sum(
            np.dtype(layout.dtype).itemsize * math.prod(side or 1000 for side in layout.shape)
            for layout in layouts
        )
        return self.sample(int(np.clip(MOST_BYTES / max(1, size), FEWEST_ROWS, MOST_ROWS)), "looked")

    @cached_property
    def looked(self) -> np.ndarray:
        """Rows (ascending row numbers) whose raw cells are held: `fair`, and each output's worst."""
        shown = (rows[:WORST] for slot in self.outputs() for rows in (self.worst(slot), self.mistakes(slot)))
        return np.unique(np.concatenate([self.fair, *shown]))

    def worst(self, slot: str) -> np.ndarray:
        """Row numbers from the most to the least wrong answer, among the held rows with a known answer."""
        predicted, target, rows = self.of(slot)
        loss = self.output(slot).row_loss
        assert loss is not None
        return rows[np.argsort(-loss(predicted, target), kind="stable")]

    def mistakes(self, slot: str) -> np.ndarray:
        """Row numbers of wrong answers: of one class of several the surest first, else the most wrong.
        Among more than two classes a row can be most wrong by an answer of which the net was not sure."""
        predicted, target, rows = self.of(slot)
        output = self.output(slot)
        assert output.row_loss is not None and output.wrong is not None
        score = output.row_loss(predicted, target)
        if output.exclusive and output.chances is not None:
            chances = output.chances(predicted)
            score = chances[np.arange(len(rows)), predicted["value"].astype(np.int64)]
        order = np.argsort(-score, kind="stable")
        return rows[order[output.wrong(predicted, target)[order]]]

    @cached_property
    def _found_cells(self) -> tuple[dict[str, list[Any]], list[str]]:
        """Cells by column, and the places' names, of `looked`: one pass over the source."""
        assert self.source is not None
        place = {int(row): i for i, row in enumerate(self.looked)}
        cells: dict[str, list[Any]] = {name: [None] * len(place) for name in self.source.columns}
        where, first = [f"row {row + 1}" for row in self.looked.tolist()], 0
        last = int(self.looked[-1]) if len(self.looked) else -1
        for chunk in self.source.chunks():
            for i in range(len(chunk)):
                if (at := place.get(first + i)) is not None:
                    where[at] = chunk.where[i]
                    for name, found in cells.items():
                        found[at] = chunk.columns[name][i]
            first += len(chunk)
            if first > last:
                break
        return cells, where

    @property
    def cells(self) -> Mapping[str, Sequence[Any]]:
        """Raw cells of the rows `looked`, by column of the source. Columns not used by the net are there too:
        they can be slices. {} when the data has moved."""
        return {} if self.source is None else self._found_cells[0]

    @property
    def where(self) -> Sequence[str]:
        """What a person would call each of the rows `looked`; row numbers when the data has moved."""
        return (
            [f"row {row + 1}" for row in self.looked.tolist()]
            if self.source is None
            else self._found_cells[1]
        )

    def place(self, rows: np.ndarray) -> np.ndarray:
        """Positions of rows in `looked`, `cells` and `where`. DataError when one is not held."""
        at = np.minimum(np.searchsorted(self.looked, rows), len(self.looked) - 1)
        if not (self.looked[at] == rows).all():
            raise DataError("a row was asked for whose cells are not held.\nAsk for rows of `looked`.")
        return at

    def values(self, slot: Slot, rows: np.ndarray, stored: bool = False) -> list[Any]:
        """Read values of an input for rows of `looked`: from the data's own cells, or from the store's where
        the data has moved (or first of all, when `stored`: pictures need not be decoded again). CellError
        when a type keeps no way back from its encoding.
        """
        column_type = self.run.types["input", slot.name]
        if stored or slot.column not in self.cells:
            try:
                return [
                    column_type.decode_cell(value.cpu().numpy())
                    for value in self.store.raw(rows, [("input", slot.name)])["input", slot.name]
                ]
            except CellError:
                if slot.column not in self.cells:
                    raise
        column = self.cells[slot.column]
        return [column_type.read(column[at]) for at in self.place(rows).tolist()]

    def items(self, slot: str, rows: np.ndarray) -> tuple[Item, ...]:
        """Rows of `looked` as what they are, with the truth and what was said of one output."""
        at = np.searchsorted(self.held.rows, rows)
        predicted = {name: values[at] for name, values in self.held.predicted[slot].items()}
        output, head = self.output(slot), self.head(slot)
        true = output.truths(head, self.held.target[slot][at], predicted)
        told = output.describe(head, predicted, self.fitted(slot))
        return tuple(
            self.item(int(row), (f"true: {a}", f"said: {b}"))
            for row, a, b in zip(rows, true, told, strict=True)
        )

    @cached_property
    def _usual(self) -> Usual:
        return Usual.of(self.store, self.run.signature.inputs[:MOST_CELLS], self.seed)

    def item(self, row: int, lines: tuple[str, ...] = ()) -> Item:
        """One row of `looked`: its first picture, its first sound, its long texts as pieces, its other cells
        as lines behind those given, the unusual ones marked."""
        rows, marked = np.array([row]), []
        unusual = self._usual.unusual(self.store, self.run.signature.inputs[:MOST_CELLS], row)
        picture, sound, pieces, cells = None, None, [], []
        for slot in self.run.signature.inputs:
            if len(cells) >= MOST_CELLS:
                cells.append(f"… and {len(self.run.signature.inputs) - MOST_CELLS} more columns")
                break
            column_type = self.run.types["input", slot.name]
            try:
                value = self.values(slot, rows)[0]
            except CellError:
                cells.append(f"{slot.name}: not at hand, the data has moved")
                continue
            shown = column_type.picture(value) if picture is None else None
            text = column_type.show(value)
            sound = sound or column_type.sound(value)
            if shown is not None:
                picture = shown
            elif len(text) > LONG:
                pieces.append((text[:MOST_LETTERS] + "…" * (len(text) > MOST_LETTERS), 0.0))
            else:
                marked += [len(lines) + len(cells)] if slot.name in unusual else []
                cells.append(f"{slot.name}: {text}")
        where = self.where[int(self.place(rows)[0])]
        return Item(where, picture, tuple(pieces), (*lines, *cells), sound, marked=tuple(marked))


def short(value: float, sign: str = "") -> str:
    """A figure in a sentence, of three digits, thousands whole: 0.747, 35,857. sign: "+" to show it."""
    return f"{value:{sign},.0f}" if 1e3 <= abs(value) < 1e12 else f"{value:{sign}.3g}"


def taken(field: Any, order: np.ndarray) -> Any:
    """The rows of a batch's field in another order: tensor, Padded or list."""
    if isinstance(field, list):
        return [field[i] for i in order.tolist()]
    return field[
        _tensor(
            order,
            (
                field.values.device
                if isinstance(field, Padded)
                else field.flat.device
                if isinstance(field, Ragged)
                else field.device
            ),
        )
    ]


def _tensor(value: np.ndarray, device: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(value)).to(device)
