"""One sound: told by a residual net on its spectrum, or written down by a Conformer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from mapsto.config import Budget
from mapsto.recipes._choice import INPUTS, PAIR, Facts, Recipe, input_types, output_types
from mapsto.recipes._sizes import CONVOLUTIONS, MUON, batch_below, resnet9_multiplications

TEMPO_MARGIN = 1.15  # times the steps that a transcript takes are wanted: training speaks up to 10% quicker
CONTEXT_MARGIN = 1.25  # times most clips' length is read at once: training speaks slower, too
MIN_CONTEXT = 50  # tokens that a Conformer reads at once at least
CONFORMERS = ((96, 3), (144, 4))  # widths and depths
CONFORMER_PASSES = 14  # over the clips, that the larger of them wants


def decide(facts: Facts) -> dict[str, Any]:
    """The residual net of pictures on a spectrum: noise, warps and masks stand for what pictures have cut
    out. Free Spoken Digit Dataset, official split: accuracy .997 after 200 and after 600 steps, nearest
    neighbours .907, a linear model .943.
    """
    rows = facts.rows
    batch = batch_below(rows, 16, 8, 64)
    passes = facts.passes(resnet9_multiplications(facts.input_type("audio").side))
    return {
        "options": {"width": 32 if passes is None or passes >= 15 else 16},
        "training": replace(CONVOLUTIONS, batch=batch),
        "type_options": {
            "input": {"audio": {"shift": 0.1, "noise": 0.5, "equaliser": 10.0, "masks": 2}},
            "output": {"category": {"smoothing": 0.1}},
        },
        "budget": Budget(epochs=max(60.0, 4000 * batch / rows), patience=0.0),
        "metric": "log_loss" if rows < 6000 else None,
    }


def transcribe(facts: Facts) -> dict[str, Any]:
    """A Conformer whose tokens are as long as the densest transcript allows, up to 40 ms: quicker speech than
    was heard must fit, too. The smaller where the minutes allow fewer than CONFORMER_PASSES of the larger:
    digits .113 after 600 of its steps, .119 after 1,021 of the other's.
    """
    from mapsto.types.audio._frames import STRIDES, frames_of

    audio, rows = facts.input_type("audio"), facts.rows
    frames, least = facts.alignment_lengths() or (np.ones(1), np.zeros(1))
    roomy = (stride for stride in STRIDES if (np.ceil(frames / stride) >= TEMPO_MARGIN * least).all())
    stride = audio.stride or max(roomy, default=1)
    batch = int(np.clip(rows // 2, 1, 8 if rows < 500 else 16))
    width, depth = CONFORMERS[-1]
    if facts.minutes is not None:
        products = 23 * depth * width**2  # of a token: 23 products of width by width in a block
        work = 6 * products * float(np.ceil(frames / stride).mean()) * rows
        width, depth = CONFORMERS[facts.minutes * 60 * facts.text_flops() >= CONFORMER_PASSES * work]
    most = CONTEXT_MARGIN * frames_of(audio.most, audio.hertz) / stride
    return {
        "options": {"width": width, "depth": depth, "reach": max(MIN_CONTEXT, math.ceil(most))},
        "training": replace(MUON, batch=batch, weight_decay=0.02, warmup=0.1),
        "type_options": {
            "input": {"audio": {"shift": 0.1, "noise": 0.5, "masks": 2, "centre": True, "stride": stride}}
        },
        "budget": Budget(epochs=max(60.0, 1500 * batch / rows), patience=0.0),
        "metric": "loss" if rows < 2000 else None,
    }


RECIPES = (
    Recipe(
        pattern="audio -> text",
        rank=PAIR,
        fits=lambda signature: input_types(signature) == ["audio"] and output_types(signature) == ["text"],
        model="conformer",
        decide=transcribe,
        why="speech: a Conformer whose steps are aligned with the text by CTC",
        kinds={"text": "ctc"},
    ),
    Recipe(
        pattern="audio -> any",
        rank=INPUTS,
        fits=lambda signature: input_types(signature) == ["audio"],
        model="resnet9",
        decide=decide,
        why="one sound: a residual net on its spectrum (log-mel)",
    ),
)
