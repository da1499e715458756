"""Texts that are written: by themselves, in a conversation, as an answer, and as people prefer them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mapsto.config import Budget
from mapsto.errors import ConfigError
from mapsto.recipes._choice import OUTPUTS, PAIR, Facts, Recipe, input_types, output_types
from mapsto.recipes._sizes import ADAMW, MUON, batch_below, power_of_two
from mapsto.signature import Signature

# Widths and depths of decoders, and of nets that read one text and write another.
DECODERS = ((128, 4), (192, 4), (256, 6), (384, 6), (512, 8), (768, 12))
SEQ2SEQS = ((64, 1), (128, 2), (192, 3), (256, 3), (384, 4), (512, 6))
PASSES = 12.0  # of a decoder over its text, at most
WEIGHTS_PER_TOKEN = 5  # of a decoder for each training token, at most
MIN_PASSES = 6  # of a net that answers over its rows, at least
ANSWER_WEIGHTS_PER_TOKEN = 8  # of such a net for each token, at most
VOCABULARY = 4_000  # tokens of a vocabulary, about
# Length penalty of answers that copy, where many runs of what is read are nearly as likely: a beam of 5 wrote
# 11.5 words of SciTLDR's 18.2 at 1.0 (ROUGE-1 .302, greedily .337), 18.2 at 2.0 (.343).
COPYING_PENALTY = 2.0


def decide(facts: Facts) -> dict[str, Any]:
    """A decoder on blocks of text, in small steps: the largest net whose weights see a token each within the
    minutes, and that has no more than WEIGHTS_PER_TOKEN for each token there is. tinyshakespeare by
    characters, validation and test loss after 1.5 million tokens: 4 blocks, 128 wide, reading 64 at once
    1.521 and 1.636 (1.530 and 1.649 at twice the rate); 192 wide, reading 128 at once 1.469 and 1.581.
    """
    within = None if facts.minutes is None else facts.minutes * 60 * facts.text_flops()  # FLOP

    def affords(width: int, depth: int) -> bool:
        weights = 12 * depth * width**2
        learnable = weights <= WEIGHTS_PER_TOKEN * facts.tokens
        return learnable and (within is None or within / 6 >= weights**2)

    fitting = [size for size in DECODERS if affords(*size)]
    width, depth = fitting[-1] if fitting else DECODERS[0]
    if within is None:
        width, depth = min((width, depth), DECODERS[2])
    affordable = min((within or 0) / (6 * 12 * depth * width**2), PASSES * facts.tokens)  # tokens seen
    passes = affordable / max(1, facts.tokens)
    tokens_per_step = min(1 << 18, max(1024, affordable / 5000))
    batch = max(1, round(tokens_per_step / facts.output_type().most))
    return {
        "options": {
            "width": width,
            "depth": depth,
            "heads": max(4, width // 64),
            "dropout": 0.0 if passes < 3 else 0.1 if passes < 8 else 0.2,
        },
        "training": replace(MUON, batch=batch, warmup=0.005),
        "budget": Budget(epochs=PASSES, patience=0.0),
    }


def answer(facts: Facts) -> dict[str, Any]:
    """An encoder-decoder on byte pairs: the largest that sees every row MIN_PASSES times within the minutes,
    and has no more than ANSWER_WEIGHTS_PER_TOKEN for each token there is."""
    rows, tokens = facts.rows, facts.tokens / max(1, facts.rows)  # of a row, read and written
    within = None if facts.minutes is None else facts.minutes * 60 * facts.text_flops()

    def affords(width: int, depth: int) -> bool:
        # a token meets 12 products of width by width in a block that reads, 16 in one that writes
        weights = 14 * depth * width**2 + VOCABULARY / 2 * width
        return within is None or within >= MIN_PASSES * rows * tokens * 6 * weights

    fitting = [
        (width, depth)
        for width, depth in SEQ2SEQS
        if 28 * depth * width * width <= ANSWER_WEIGHTS_PER_TOKEN * facts.tokens and affords(width, depth)
    ]
    width, depth = fitting[-1] if fitting else SEQ2SEQS[0]
    if within is None:
        width, depth = min((width, depth), SEQ2SEQS[3])
    batch = power_of_two(min(4096 / max(1.0, tokens), max(rows, 1) / 50), 8, 256)
    return {
        "options": {
            "width": width,
            "depth": depth,
            "decoder": depth,
            "heads": max(4, width // 64),
            "dropout": 0.3 if rows < 100_000 else 0.1,
        },
        "training": replace(MUON, batch=batch),
        "learner_options": {"penalty": COPYING_PENALTY} if facts.output_type().copied else {},
        "budget": Budget(epochs=max(30.0, 2000 * batch / max(1, rows)), patience=0.0),
        "metric": "loss",
    }


def prefer(facts: Facts) -> dict[str, Any]:
    """A few passes over the pairs in small steps, from weights that can already answer. The chosen answers'
    own loss beside (Pang et al. 2024): a small net that answered `The cat says meow.` says `meow!` after it,
    where DPO alone left it stammering.
    """
    if not facts.started:
        raise ConfigError(
            "pairs of answers tune a net that can already answer.\nGive the run that it starts from: --from"
            " RUN."
        )
    return {
        "options": {},
        "training": replace(ADAMW, batch=batch_below(facts.rows, 32, 4, 32), weight_decay=0.0),
        "learner_options": {"words": 1.0},
        "budget": Budget(epochs=5.0, patience=0.0),
    }


def blocks(facts: Facts) -> int:
    """Blocks of tokens that a pass over the text consists of."""
    return facts.tokens // facts.output_type().most


def _is_chat(signature: Signature) -> bool:
    """As it is learned, or as people write it (`DataType.restated`)."""
    kinds = (input_types(signature), output_types(signature))
    return kinds in (([], ["messages"]), (["messages"], ["text"]))


RECIPES = (
    Recipe(
        pattern="-> text",
        rank=PAIR,
        fits=lambda signature: not signature.inputs and output_types(signature) == ["text"],
        model="gpt",
        decide=decide,
        why="a text by itself: a decoder that says what comes next",
        learner="next_token",
        units=blocks,
    ),
    Recipe(
        pattern="messages -> text",
        rank=PAIR,
        fits=_is_chat,
        model="gpt",
        decide=decide,
        why="conversations: a decoder that says what comes next, learning the assistant's words alone",
        learner="chat",
        units=blocks,
    ),
    Recipe(
        pattern="-> preference",
        rank=PAIR,
        fits=lambda signature: not signature.inputs and output_types(signature) == ["preference"],
        model="gpt",
        decide=prefer,
        why="pairs of answers: what people prefer becomes likelier (DPO)",
        learner="dpo",
    ),
    Recipe(
        pattern="any -> text",
        rank=OUTPUTS,
        fits=lambda signature: bool(signature.inputs) and output_types(signature) == ["text"],
        model="seq2seq",
        decide=answer,
        why="a text that answers: an encoder-decoder that writes it token by token",
        learner="teacher_forcing",
        kinds={"text": "sequence"},
    ),
)
