"""What a run that tags words finds: each kind of name by itself, and the sentences it gets most wrong beside
the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mapsto.assess.base import View
from mapsto.blocks import Block, Gallery, Item, Section, Table
from mapsto.errors import CellError
from mapsto.types.tags import Entity, Tags, entities, labelled
from mapsto.types.text.words import words_of

TITLE = "Which words does it tag, and which wrongly?"
WORST, BEST = 8, 4  # sentences shown


def asks(view: View) -> bool:
    return bool(view.outputs("tags"))


def assess(view: View, seconds: float) -> Section:
    blocks: list[Block] = []
    headlines, figures = [], {}
    for slot in view.outputs("tags"):
        column_type = view.column_type(slot)
        assert isinstance(column_type, Tags)
        predicted, target, rows = view.of(slot)
        true = [[column_type.vocabulary[tag] for tag in row.tolist()] for row in target]
        said = [
            _as_long([column_type.vocabulary[tag] for tag in row.tolist()], len(one), column_type)
            for row, one in zip(predicted["value"], true, strict=True)
        ]
        found = [(_marked(a, column_type), _marked(b, column_type)) for a, b in zip(true, said, strict=True)]
        what = "kind of name" if column_type.names else "tag"
        table, figures[slot] = _by_kind(found)
        blocks.append(
            Table(
                (what, "F1", "precision", "recall", "right", "answered", "there"),
                table,
                view.titled(slot, f"each {what} by itself"),
            )
        )
        wrong = np.array([len(a ^ b) for a, b in found])
        clean = int((wrong == 0).sum())
        headlines.append(
            view.titled(slot, f"{clean:,} of {len(rows):,} sentences are tagged without a mistake.")
        )
        order = np.lexsort((rows, -wrong))
        order = order[np.isin(rows[order], view.fair)]  # whose words are at hand
        worst = [i for i in order[:WORST] if wrong[i]]
        best = [i for i in order[::-1] if not wrong[i] and found[i][0]][:BEST]
        for chosen, caption in (
            (worst, "the sentences with most mistakes, which are underlined"),
            (best, "sentences without a mistake"),
        ):
            items = tuple(_item(view, column_type, rows[i], true[i], said[i], int(wrong[i])) for i in chosen)
            blocks += [Gallery(items, view.titled(slot, f"{caption}."))] if items else []
    return Section("tagging", TITLE, " ".join(headlines), tuple(blocks), figures)


def _as_long(tags: list[str], length: int, column_type: Tags) -> list[str]:
    """Of words that were not read nothing is said."""
    return [*tags, *[column_type.vocabulary[0]] * (length - len(tags))][:length]


def _marked(tags: Sequence[str], column_type: Tags) -> set[Entity]:
    """The names, or where tags name nothing every word with its tag."""
    return {*entities(tags)} if column_type.names else {(i, i + 1, tag) for i, tag in enumerate(tags)}


def _by_kind(
    found: Sequence[tuple[set[Entity], set[Entity]]],
) -> tuple[tuple[tuple[Any, ...], ...], dict[str, Any]]:
    """(rows of the table, the most frequent kind first; the same by kind)."""
    there, answered, right = Counter[str](), Counter[str](), Counter[str]()
    for true, said in found:
        for counts, marked in ((there, true), (answered, said), (right, true & said)):
            counts.update(kind for _, _, kind in marked)
    figures = {}
    for kind in sorted({*there, *answered}, key=lambda kind: (-there[kind], kind)):
        hits, guessed, known = right[kind], answered[kind], there[kind]
        f1, precision, recall = (
            2 * hits / (guessed + known),
            hits / guessed if guessed else None,
            hits / known if known else None,
        )
        figures[kind] = {
            "f1": f1,
            "precision": precision,
            "recall": recall,
            "right": hits,
            "answered": guessed,
            "there": known,
        }
    return tuple((kind, *one.values()) for kind, one in figures.items()), figures


def _item(
    view: View, column_type: Tags, row: Any, true: Sequence[str], said: Sequence[str], wrong: int
) -> Item:
    """A sentence with its true tags and with those that were answered: what is missed, and what is wrongly
    there, is marked."""
    place = view.where[int(view.place(np.array([row]))[0])]
    slot = next(slot for slot in view.run.signature.inputs if slot.name == column_type.within)
    try:
        words = words_of(view.values(slot, np.array([row]))[0])
    except CellError:
        return Item(place, lines=("the words are not at hand, the data has moved",))
    lines = (f"{wrong} missed or wrongly there",) if wrong else ()
    return Item(
        place,
        texts=(("true", labelled(words, true, said)), ("it says", labelled(words, said, true))),
        lines=lines,
    )
