"""What was heard: the worst and the best transcripts beside what was said, words that are taken for others,
and which moment says which letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from mapsto.assess.base import View
from mapsto.batch import Padded
from mapsto.blocks import Block, Gallery, Item, Matrix, Section, Table
from mapsto.outputs.ctc import BLANK, Ctc, edits, jiwer, text_of

TITLE = "What does it hear?"
NET = True  # it asks the net itself, for the moments
WORST, BEST = 8, 4  # transcripts shown
CONFUSED = 12  # pairs of words
STEPS, TOKENS = 100, 16  # of the picture: steps of the input, and different tokens


def asks(view: View) -> bool:
    return any(view.held.present[slot].any() for slot in _slots(view))


def _slots(view: View) -> list[str]:
    return [slot.name for slot in view.run.signature.outputs if view.kind(slot.name) == "ctc"]


def assess(view: View, seconds: float) -> Section:
    slot = next(name for name in _slots(view) if view.held.present[name].any())
    predicted, target, rows = view.of(slot)
    head = view.head(slot)
    assert isinstance(head, Ctc)
    true, said = ([text_of(row, head.pieces) for row in found] for found in (target, predicted["value"]))
    wrong = edits(true, said)  # (n, 2)
    order = np.lexsort((wrong[:, 1], wrong[:, 0] / np.maximum(1, wrong[:, 1])))[
        ::-1
    ]  # the worst first, of equal ones the longest
    order = order[np.isin(rows[order], view.fair)]  # whose cells are at hand
    worst = [i for i in order[:WORST] if wrong[i, 0]]
    best = [i for i in order[::-1] if not wrong[i, 0]][-BEST:]
    kinds, pairs = _confused(true, said)
    blocks: list[Block] = []
    if pairs:
        taken = tuple((*pair, count) for pair, count in pairs)
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
        blocks.append(_moments(view, slot, head, int(rows[order[len(order) // 2]])))
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


def _confused(
    true: Sequence[str], said: Sequence[str]
) -> tuple[dict[str, int], list[tuple[tuple[str, str], int]]]:
    """(how many words are replaced, missed and made up, the words most often heard for others)."""
    kinds, pairs = Counter({"substitute": 0, "delete": 0, "insert": 0}), Counter[tuple[str, str]]()
    found = jiwer().process_words(list(true), list(said))
    for row, reference, heard in zip(found.alignments, found.references, found.hypotheses, strict=True):
        for part in row:
            if part.type != "equal":
                kinds[part.type] += max(
                    part.ref_end_idx - part.ref_start_idx, part.hyp_end_idx - part.hyp_start_idx
                )
            if part.type == "substitute":
                words = (
                    reference[part.ref_start_idx : part.ref_end_idx],
                    heard[part.hyp_start_idx : part.hyp_end_idx],
                )
                pairs.update(zip(*words, strict=True))
    return dict(kinds), pairs.most_common(CONFUSED)


@torch.no_grad()
def _moments(view: View, slot: str, head: Ctc, row: int) -> Matrix:
    """How probable each token is at each step of one clip: the middling one."""
    learner = view.learner
    learner.model.eval()
    output = learner.outputs(learner.ready(learner.batch_of(view.store, np.array([row]))))[slot]
    assert isinstance(output, Padded)
    steps = min(STEPS, int(output.lengths.clamp(min=1)))
    chance = output.values[0, :steps].float().softmax(-1).cpu().numpy()  # (T, V)
    shown = [
        token
        for token in np.argsort(-chance.max(0), kind="stable")[:TOKENS].tolist()
        if chance[:, token].max() > 0.1 and token != BLANK
    ]
    shown = sorted(shown, key=lambda token: int(chance[:, token].argmax()))
    names = [head.pieces[token].decode("utf-8", "replace").replace(" ", "␣") for token in shown]
    return Matrix(
        (*names, "nothing"),
        tuple(f"{step + 1}" for step in range(steps)),
        tuple(tuple(float(value) for value in chance[:, token]) for token in (*shown, BLANK)),
        "token",
        "step",
        f"{view.where[int(view.place(np.array([row]))[0])]}: how sure it is of each token at each step"
        f" ({steps} of {int(output.lengths):,}).",
        private=True,
    )
