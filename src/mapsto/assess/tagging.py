"""What a run marks in the words of a text: each kind of mark by itself, and the sentences it gets most wrong
beside the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Gallery, Item, Section, Table
from mapsto.errors import CellError
from mapsto.outputs.base import Marked

TITLE = "Which words does it tag, and which wrongly?"
WORST, BEST = 8, 4  # sentences shown


def asks(view: View) -> bool:
    return bool(_outputs(view))


def assess(view: View, seconds: float) -> Section:
    blocks: list[Block] = []
    headlines, figures = [], {}
    for slot in _outputs(view):
        predicted, target, rows = view.of(slot)
        marked = view.output(slot).marked
        assert marked is not None
        found = marked(predicted, target)
        figures[slot] = found.figures
        columns = (found.what, "F1", "precision", "recall", "right", "answered", "there")
        blocks.append(Table(columns, found.rows, view.titled(slot, f"each {found.what} by itself")))
        headlines.append(view.titled(slot, found.headline))
        order = np.lexsort((rows, -found.mistakes))
        order = order[np.isin(rows[order], view.fair)]  # whose words are at hand
        worst = [i for i in order[:WORST] if found.mistakes[i]]
        best = [i for i in order[::-1] if not found.mistakes[i] and found.there[i]][:BEST]
        for chosen, caption in (
            (worst, "the sentences with most mistakes, which are underlined"),
            (best, "sentences without a mistake"),
        ):
            items = tuple(_item(view, found, rows[i], i) for i in chosen)
            blocks += [Gallery(items, view.titled(slot, f"{caption}."))] if items else []
    return Section("tagging", TITLE, " ".join(headlines), tuple(blocks), figures)


def _outputs(view: View) -> list[str]:
    return view.outputs(lambda output: output.marked is not None)


def _item(view: View, found: Marked, row: Any, i: int) -> Item:
    """A sentence with its true marks and with those that were answered: what is missed, and what is wrongly
    there, is marked."""
    place = view.where[int(view.place(np.array([row]))[0])]
    slot = next(slot for slot in view.run.signature.inputs if slot.name == found.within)
    try:
        text = view.values(slot, np.array([row]))[0]
    except CellError:
        return Item(place, lines=("the words are not at hand, the data has moved",))
    mistakes = int(found.mistakes[i])
    lines = (f"{mistakes} missed or wrongly there",) if mistakes else ()
    return Item(place, texts=found.shown(i, text), lines=lines)
