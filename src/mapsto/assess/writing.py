"""What a run that learned a text writes by itself, and how much what stands before a token helps to say
it."""

from __future__ import annotations

import time
from itertools import islice

import numpy as np
import torch
from torch.nn import functional as F

from mapsto.assess.base import View
from mapsto.blocks import Block, Gallery, Item, Line, Lines, Section, Table
from mapsto.run import Run

TITLE = "What does it write?"
NET = True  # it asks the net itself
TEXTS, TOKENS = 3, 200
BATCHES = 2  # of blocks, for the loss by place


def asks(view: View) -> bool:
    return view.used_by == {"sample"}


def assess(view: View, seconds: float) -> Section:
    slot = view.run.signature.outputs[0].name
    started = time.perf_counter()
    texts = view.run.sample(TEXTS, tokens=TOKENS)
    rate = TEXTS * TOKENS / (time.perf_counter() - started)
    by_place = _by_place(view, slot)
    first, last = float(by_place[0]), float(by_place[-max(1, len(by_place) // 4) :].mean())
    headline = f"Drawn from what it believes may follow, {TEXTS} texts at once at {rate:,.0f} tokens/s. "
    headline += (
        f"A token costs it {first:.2f} nats at the beginning of a block and {last:.2f} in its last quarter,"
        " with more before it to go by."
    )
    blocks: list[Block] = [
        Gallery(
            tuple(Item(f"text {i + 1}", pieces=((text, 0.0),)) for i, text in enumerate(texts)),
            "Seeds 0, temperature 0.8, top-p 0.95.",
        ),
        Lines(
            (Line("loss", tuple(range(1, len(by_place) + 1)), tuple(float(value) for value in by_place)),),
            "place in the block",
            "loss (nats)",
            f"The mean loss on {view.split} text, by how many tokens stand before.",
            log_x=len(by_place) > 8,
        ),
    ]
    return Section(
        "writing",
        TITLE,
        headline,
        (*blocks, *while_it_learned(view.run)),
        {"tokens_per_second": rate, "loss_by_place": by_place.tolist()},
    )


def while_it_learned(run: Run) -> tuple[Table, ...]:
    """What it wrote at some looks, the same beginning each time."""
    said = tuple(
        (entry["step"], entry["said"].strip() or "(nothing)") for entry in run.history if "said" in entry
    )
    return (Table(("step", "what it wrote"), said, "What it wrote while it learned."),) if said else ()


@torch.no_grad()
def _by_place(view: View, slot: str) -> np.ndarray:
    """(T,): the mean loss of each place over some blocks."""
    learner = view.learner
    learner.model.eval()
    found = []
    for batch in islice(learner.iterate(view.split, store=view.store), BATCHES):
        ready = learner.ready(batch)
        target = ready.targets[slot]
        assert isinstance(target, torch.Tensor)
        logits = learner.outputs(ready)[slot].float()
        found.append(
            F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="none")
            .view(target.shape)
            .cpu()
            .numpy()
        )
    return np.concatenate(found).mean(0)
