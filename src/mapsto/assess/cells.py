"""What each cell of a row adds to its answer, for a few rows: Shapley values by sampling (Štrumbelj &
Kononenko 2014).

A row's cells are put one by one, in an order by lot, into another row by lot; what the answer moves by is
what the cell adds. Its mean over many orders is drawn, with its 95% interval: together the cells add up to
the row's answer less the mean answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mapsto.assess._answers import answers, in_numbers, put_together
from mapsto.assess.base import View, short, taken
from mapsto.batch import key
from mapsto.blocks import Bars, Block, Section
from mapsto.errors import CellError
from mapsto.measure.baseline import chosen
from mapsto.measure.intervals import ratio
from mapsto.outputs.base import in_words

TITLE = "What did each cell of a row add?"
AFTER = "dependence"
NET = True
SHOWN = 4  # rows: the worst error, and others by lot
ORDERS, FEWEST_ORDERS = 48, 12  # of each row
CELLS, LETTERS = 8, 28  # bars of a row, the rest as one; letters of a cell
SHARE = 0.4  # of its seconds


def asks(view: View) -> bool:
    return len(view.run.signature.inputs) > 1 and bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    inputs = len(view.run.signature.inputs)
    outputs, headlines, blocks, figures = _outputs(view), [], [], {}
    each = view.rows_in(seconds * SHARE) // (len(outputs) * (inputs + 1))  # orders, of all rows together
    count = int(np.clip(each // FEWEST_ORDERS, 1, SHOWN))
    orders = int(np.clip(each // count, FEWEST_ORDERS, ORDERS))
    for slot in outputs:
        found = [_added(view, slot, row, orders) for row in _few(view, slot, count).tolist()]
        headlines.append(view.titled(slot, _headline(found)))
        blocks += view.captioned(slot, [_bars(one) for one in found])
        figures[slot] = [
            {
                "row": one.row,
                "answer": one.answer,
                "base": one.base,
                "orders": orders,
                "added": dict(zip(one.names, one.value.tolist(), strict=True)),
            }
            for one in found
        ]
    return Section("cells", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return view.outputs(in_numbers)


def _few(view: View, slot: str, count: int) -> np.ndarray:
    worst = view.worst(slot)[:1]
    others = np.setdiff1d(view.fair, worst)
    draw = np.random.default_rng(key(view.seed, "cells", slot))
    return np.concatenate([worst, np.sort(draw.permutation(others)[: count - 1])])


@dataclass(frozen=True)
class Added:
    """One row: names and words of its cells; value, low, high (D,) of what they add; from the mean answer to
    the row's. what: the answer that is followed; said, true: in words."""

    row: int
    where: str
    what: str
    said: str
    true: str
    names: tuple[str, ...]
    words: tuple[str, ...]
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    base: float
    answer: float


def _added(view: View, slot: str, row: int, orders: int) -> Added:
    names = [one.name for one in view.run.signature.inputs]
    d = len(names)
    draw = np.random.default_rng(key(view.seed, "cells", slot, row))
    others = view.fair[view.fair != row]
    others = draw.permutation(others if len(others) else np.array([row]))
    background = np.resize(others[chosen(len(others), orders)], orders)
    batch = view.store.batch(np.concatenate([[row], background]))
    place = np.argsort(draw.random((orders, d)), 1).argsort(1)  # (M, D): which step puts the cell in
    own = place[:, None] < np.arange(d + 1)[None, :, None]  # (M, D + 1, D): is it the row's by that step?
    source = np.where(own, 0, 1 + np.arange(orders)[:, None, None]).reshape(-1, d)
    inputs = {name: taken(batch.inputs[name], source[:, i]) for i, name in enumerate(names)}
    found = answers(view, [slot], put_together(batch, len(source), inputs))[slot]
    what, k = _followed(view, slot, row)
    steps = found[:, k].reshape(orders, d + 1)
    moved = np.take_along_axis(np.diff(steps, axis=1), place, 1)  # (M, D)
    ends = np.array([ratio(moved[:, i : i + 1]) for i in range(d)])
    item = view.items(slot, np.array([row]))[0]
    true, said = (line.split(": ", 1)[1] for line in item.lines[:2])
    return Added(
        row,
        item.title,
        what,
        said,
        true,
        tuple(names),
        tuple(_word(view, i, row) for i in range(d)),
        moved.mean(0),
        ends[:, 0],
        ends[:, 1],
        float(steps[:, 0].mean()),
        float(steps[0, -1]),
    )


def _followed(view: View, slot: str, row: int) -> tuple[str, int]:
    """What is followed: the probability of the class said, or the number itself."""
    output, at = view.output(slot), int(np.searchsorted(view.held.rows, row))
    if output.chances is None:
        return slot, 0
    of = {name: values[at : at + 1] for name, values in view.held.predicted[slot].items()}
    k = int(output.chances(of)[0].argmax())
    return f"the probability of '{view.column_type(slot).classes[k]}'", k


def _word(view: View, i: int, row: int) -> str:
    slot = list(view.run.signature.inputs)[i]
    try:
        value = view.values(slot, np.array([row]))[0]
    except CellError:
        return ""
    text = " ".join(view.run.types["input", slot.name].show(value).split())
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"


def _headline(found: list[Added]) -> str:
    one = found[0]
    i = int(np.abs(one.value).argmax())
    return (
        f"in its worst error {one.what} is {in_words(one.answer)} where the mean is {in_words(one.base)}; the"
        f" cell of '{one.names[i]}' adds most: {short(float(one.value[i]), '+')}."
    )


def _bars(one: Added) -> Block:
    order = np.argsort(-np.abs(one.value), kind="stable")
    shown, rest = order[:CELLS], order[CELLS:]
    labels = tuple(f"{one.names[i]}: {one.words[i]}" if one.words[i] else one.names[i] for i in shown)
    value, low, high = (tuple(part[shown].tolist()) for part in (one.value, one.low, one.high))
    if len(rest):
        labels += (f"{len(rest):,} other{'s' * (len(rest) > 1)}",)
        value, low, high = (*value, float(one.value[rest].sum())), (*low, None), (*high, None)
    caption = (
        f"{one.where}: said {one.said}, true {one.true}. What each cell adds to {one.what}, from"
        f" {in_words(one.base)} in the mean to {in_words(one.answer)}; 95% intervals of the sampling."
    )
    return Bars(labels, value, "added", caption, low, high, private=True)
