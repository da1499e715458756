"""What was heard: the worst and the best transcripts beside what was said, words that are taken for others,
and which moment says which letter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from mapsto.assess.base import View
from mapsto.batch import Padded
from mapsto.blocks import Block, Gallery, Item, Matrix, Section, Table
from mapsto.types.text.edits import confused, edits

TITLE = "What does it hear?"
NET = True  # it asks the net itself, for the moments
WORST, BEST = 8, 4  # transcripts shown
CONFUSED = 12  # pairs of words
STEPS, TOKENS = 100, 16  # of the picture: steps of the input, and different tokens


def asks(view: View) -> bool:
    return bool(_outputs(view))


def _outputs(view: View) -> list[str]:
    return view.outputs(lambda output: output.heard is not None)


def assess(view: View, seconds: float) -> Section:
    slot = _outputs(view)[0]
    predicted, target, rows = view.of(slot)
    heard = view.output(slot).heard
    assert heard is not None
    true, said = heard(predicted, target)
    wrong = edits(true, said)  # (n, 2)
    order = np.lexsort((wrong[:, 1], wrong[:, 0] / np.maximum(1, wrong[:, 1])))[
        ::-1
    ]  # the worst first, of equal ones the longest
    order = order[np.isin(rows[order], view.fair)]  # whose cells are at hand
    worst = [i for i in order[:WORST] if wrong[i, 0]]
    best = [i for i in order[::-1] if not wrong[i, 0]][-BEST:]
    kinds, pairs = confused(true, said)
    blocks: list[Block] = []
    if pairs:
        taken = tuple((*pair, count) for pair, count in pairs.most_common(CONFUSED))
        blocks.append(
            Table(("said", "heard", "times"), taken, "Words most often taken for others.", private=True)
        )
    if worst:
        blocks.append(
            Gallery(
                tuple(_item(view, rows[i], true[i], said[i], wrong[i]) for i in worst),
                "The worst transcripts.",
            )
        )
    if best:
        blocks.append(
            Gallery(
                tuple(_item(view, rows[i], true[i], said[i], wrong[i]) for i in best),
                "Transcripts without a wrong word.",
            )
        )
    if len(order):
        blocks.append(_moments(view, slot, int(rows[order[len(order) // 2]])))
    total, words = wrong.sum(0)
    clean = int((wrong[:, 0] == 0).sum())
    headline = (
        f"Of {words:,.0f} words {kinds['substitute']:,} are taken for others, {kinds['delete']:,} missed and"
        f" {kinds['insert']:,} made up; {clean:,} of {len(rows):,} clips have no wrong word."
    )
    return Section(
        "transcripts",
        TITLE,
        headline,
        tuple(blocks),
        {"words": words, "wrong": total, **kinds, "clean": clean, "n": len(rows)},
    )


def _item(view: View, row: Any, true: str, said: str, wrong: np.ndarray) -> Item:
    """A clip to listen to, what was said in it and what was heard."""
    return view.item(
        int(row),
        (f"said: {true}", f"heard: {said or '(nothing)'}", f"{wrong[0]:.0f} of {wrong[1]:.0f} words wrong"),
    )


@torch.no_grad()
def _moments(view: View, slot: str, row: int) -> Matrix:
    """How probable each token is at each step of one clip: the middling one."""
    learner = view.learner
    learner.model.eval()
    output = learner.outputs(learner.ready(learner.batch_of(view.store, np.array([row]))))[slot]
    assert isinstance(output, Padded)
    steps, every = min(STEPS, int(output.lengths.clamp(min=1))), int(output.lengths)
    shown = replace(output, lengths=output.lengths.clamp(max=STEPS))
    head: Any = view.head(slot)
    names, chance = head.moments(shown, TOKENS)
    return Matrix(
        (*names, "nothing"),
        tuple(f"{step + 1}" for step in range(steps)),
        tuple(tuple(float(value) for value in line) for line in chance),
        "token",
        "step",
        f"{view.where[int(view.place(np.array([row]))[0])]}: how sure it is of each token at each step"
        f" ({steps} of {every:,}).",
        private=True,
    )
