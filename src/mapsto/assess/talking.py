"""What a run that learned from conversations answers, beside what was answered in the data."""

from __future__ import annotations

import numpy as np

from mapsto.assess.base import View
from mapsto.assess.writing import while_it_learned
from mapsto.blocks import Gallery, Item, Section
from mapsto.generation.cached import Cached
from mapsto.generation.sampling import Sampling, following
from mapsto.types.text.tokenizers import ASSISTANT, END, SYSTEM, TOOL, USER, pieces_of

TITLE = "What does it reply?"
NET = True  # it asks the net itself
ANSWERS, TOKENS = 6, 120
LETTERS = 600  # of a conversation that are shown
NAMES = {SYSTEM: "system: ", USER: "user: ", ASSISTANT: "assistant: ", TOOL: "tool: ", END: "\n"}


def asks(view: View) -> bool:
    return view.used_by == {"chat"}


def assess(view: View, seconds: float) -> Section:
    """The likeliest answers to the first questions of some rows, evenly spread."""
    (slot,) = view.run.signature.outputs
    column_type = view.run.types["output", slot.name]
    writer = Cached(view.learner.model.eval(), view.learner.device)
    pieces = pieces_of(column_type.kind, column_type.codes, column_type.alphabet)
    values, offsets = view.store.flat(("output", slot.name))
    rows = view.store.rows(view.split)
    items, same = [], 0
    for row in (
        rows[np.unique(np.linspace(0, max(0, len(rows) - 1), ANSWERS).astype(int))] if len(rows) else []
    ):
        cell = values[offsets[row] : offsets[row + 1]].reshape(int(offsets[row + 1] - offsets[row]), -1)[
            :, 0
        ]  # of two answers the chosen one
        learned = np.flatnonzero(cell & 1)
        if not len(learned):
            continue
        first, tokens = int(learned[0]), (cell >> 1).astype(np.int64)
        ends = np.flatnonzero(tokens[first:] == END)
        wanted = _text(tokens[first : first + int(ends[0])] if len(ends) else tokens[first:], pieces)
        steps = following(
            writer, column_type, tokens[:first], [0], Sampling(tokens=TOKENS, temperature=0.0), END
        )
        said = "".join(added[0] for added in steps)
        same += said == wanted
        items.append(
            Item(
                f"row {row}",
                pieces=((_text(tokens[:first], pieces)[-LETTERS:] + said, 0.0),),
                lines=(f"in the data: {wanted}",),
            )
        )
    headline = (
        f"Its likeliest answers to {len(items)} questions of the {view.split} rows; {same} are word for word"
        " those of the data."
    )
    blocks = (
        *while_it_learned(view.run),
        Gallery(tuple(items), "What was asked, and what it answers, behind its mark.", private=True),
    )
    return Section("talking", TITLE, headline, blocks, {"asked": len(items), "same": same})


def _text(tokens: np.ndarray, pieces: list[bytes]) -> str:
    return b"".join(
        NAMES[token].encode() if token in NAMES else pieces[token] for token in tokens.tolist()
    ).decode("utf-8", "replace")
