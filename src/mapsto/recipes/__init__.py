"""THE table: signature pattern -> model, learner, settings, and why.

The first row whose pattern fits is the recipe. What a person asked for wins over it, field by field. Figures
behind the rows are in `benchmarks/LOG.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from mapsto import models
from mapsto.config import Budget, Settings, Training
from mapsto.errors import ConfigError, did_you_mean
from mapsto.recipes._choice import Choice, Facts
from mapsto.registry import module
from mapsto.signature import Signature, Slot, parse_call
from mapsto.types.audio import Audio
from mapsto.types.audio.spectrum import STRIDES, frames_of
from mapsto.types.base import DataType
from mapsto.types.image import Image
from mapsto.types.text import Text

MINUTES = 5.0
DECODERS = (
    (128, 4),
    (192, 4),
    (256, 6),
    (384, 6),
    (512, 8),
    (768, 12),
)  # widths and depths of language models
PASSES = 12.0  # over a text, at most
WEIGHTS_PER_TOKEN = 5  # weights of theirs for each training token, at most
TEMPO_MARGIN = 1.15  # times the steps that a transcript takes are wanted: training speaks up to 10% quicker
CONTEXT_MARGIN = (
    1.25  # than most clips heard is what a net of sounds reads at once: training speaks slower, too
)
CONFORMERS, CONFORMER_PASSES = (
    ((96, 3), (144, 4)),
    14,
)  # widths and depths of theirs, and passes over the clips that the larger wants
MIN_CONTEXT = 50  # tokens that a net of sounds reads at once at least
FINETUNE_LR = 0.3  # of the usual peak rate, where weights are not fresh
SEQ2SEQS = ((64, 1), (128, 2), (192, 3), (256, 3), (384, 4), (512, 6))  # and of nets that answer
MIN_PASSES, ANSWER_WEIGHTS_PER_TOKEN = (
    6,
    8,
)  # passes of theirs over the rows, at least, and weights for each token, at most
VOCABULARY = 4_000  # tokens of a vocabulary, about


@dataclass(frozen=True)
class Recipe:
    """One row. fits: does the signature match; decide: the settings, complete; why: for the first line
    printed."""

    pattern: str
    fits: Callable[[Signature], bool]
    model: str
    decide: Callable[[Facts], dict[str, Any]]
    why: str
    learner: str = "supervised"
    units: Callable[[Facts], int] = lambda facts: facts.rows  # what a step's rows are taken from
    kinds: Mapping[str, str] = field(
        default_factory=dict
    )  # output type -> kind of head, where it is not the type's first


def pictures(facts: Facts) -> dict[str, Any]:
    """A residual net from scratch. Wider where the budget allows some 45 passes over the rows at width 32,
    more augmentation where rows are few."""
    column_type = next(
        column_type
        for (side, _), column_type in facts.column_types.items()
        if side == "input" and isinstance(column_type, Image)
    )
    rows, few = (
        facts.rows,
        facts.rows <= 20_000 and column_type.side >= 16,
    )  # of 8 pixels, two cut out are a digit's stroke
    batch = max(8, min(128, 1 << max(0, (rows // 16).bit_length() - 1)))
    training = Training(
        optimizer="muon",
        lr=0.03,
        batch=batch,
        weight_decay=0.015,
        momentum=0.9,
        warmup=0.15,
        schedule="linear",
        clip=0.0,
        ema=0.995,
    )
    passes = facts.passes(multiplications(column_type.side))
    width = 32 if passes is None else 16 * int(2 * min(2.0, max(1.0, (passes / 45) ** 0.5)))
    return {
        "options": {"width": width},
        "training": training,
        "learner_options": {"cutmix": 0.5} if few and facts.mixable else {},
        "type_options": {
            "input": {"image": {"augment": "crop colour cutout" if few else "crop"}},
            "output": {"category": {"smoothing": 0.1}},
        },
        "budget": Budget(epochs=max(200.0, 4000 * batch / rows), patience=0.0),
        "metric": (
            "log_loss" if rows < 6000 else None
        ),  # on few validation rows accuracy is too coarse to choose by
    }


def multiplications(side: int) -> float:
    """Multiply-adds of resnet9 at width 32 for one picture: 17 million at 28 pixels."""
    return 17e6 * (min(side, 40) / 28) ** 2


def sounds(facts: Facts) -> dict[str, Any]:
    """The residual net of pictures on a spectrum: noise, warps and masks stand for what pictures have cut
    out. Free Spoken Digit Dataset, official split: accuracy .997 after 200 and after 600 steps, nearest
    neighbours .907, a linear model .943.
    """
    column_type = next(
        column_type
        for (side, _), column_type in facts.column_types.items()
        if side == "input" and isinstance(column_type, Audio)
    )
    rows, size = facts.rows, column_type.side
    batch = max(8, min(64, 1 << max(0, (rows // 16).bit_length() - 1)))
    training = Training(
        optimizer="muon",
        lr=0.03,
        batch=batch,
        weight_decay=0.015,
        momentum=0.9,
        warmup=0.15,
        schedule="linear",
        clip=0.0,
        ema=0.995,
    )
    passes = facts.passes(multiplications(size))
    width = 32 if passes is None or passes >= 15 else 16
    return {
        "options": {"width": width},
        "training": training,
        "type_options": {
            "input": {"audio": {"shift": 0.1, "noise": 0.5, "equaliser": 10.0, "masks": 2}},
            "output": {"category": {"smoothing": 0.1}},
        },
        "budget": Budget(epochs=max(60.0, 4000 * batch / rows), patience=0.0),
        "metric": "log_loss" if rows < 6000 else None,
    }


def speech(facts: Facts) -> dict[str, Any]:
    """A Conformer whose tokens are as long as the densest transcript allows, up to 40 ms: quicker speech than
    was heard must fit, too. The smaller where the minutes allow fewer than HEARINGS passes of the larger:
    digits .113 after 600 of its steps, .119 after 1,021 of the other's.
    """
    column_type = next(
        column_type
        for (side, _), column_type in facts.column_types.items()
        if side == "input" and isinstance(column_type, Audio)
    )
    frames, least = facts.alignment_lengths() or (np.ones(1), np.zeros(1))
    stride = column_type.stride or max(
        (s for s in STRIDES if (np.ceil(frames / s) >= TEMPO_MARGIN * least).all()), default=1
    )
    batch = int(np.clip(facts.rows // 2, 1, 8 if facts.rows < 500 else 16))
    width, depth = CONFORMERS[-1]
    if facts.minutes is not None:
        work = (
            6 * 23 * depth * width**2 * float(np.ceil(frames / stride).mean()) * facts.rows
        )  # 23 products of width by width in a block
        width, depth = CONFORMERS[facts.minutes * 60 * facts.text_flops() >= CONFORMER_PASSES * work]
    training = Training(
        optimizer="muon",
        lr=0.02,
        batch=batch,
        weight_decay=0.02,
        momentum=0.95,
        warmup=0.1,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    return {
        "options": {
            "width": width,
            "depth": depth,
            "reach": max(
                MIN_CONTEXT,
                math.ceil(CONTEXT_MARGIN * frames_of(column_type.most, column_type.hertz) / stride),
            ),
        },
        "training": training,
        "type_options": {
            "input": {"audio": {"shift": 0.1, "noise": 0.5, "masks": 2, "centre": True, "stride": stride}}
        },
        "budget": Budget(epochs=max(60.0, 1500 * batch / facts.rows), patience=0.0),
        "metric": "loss" if facts.rows < 2000 else None,
    }


def tables(facts: Facts) -> dict[str, Any]:
    """An ensemble of MLPs in one net over learned encodings of every cell: 400 to 1,500 steps, and never
    fewer than 14 passes."""
    rows, columns = facts.rows, len(facts.signature.inputs)
    batch = int(
        min(256 if rows < 200_000 else 1024, max(32, 2 ** round(math.log2(max(rows, 1) / 64 + 1e-9))))
    )
    steps = min(1500, max(400, 100 * math.log2(rows / 64 + 1) ** 1.5))
    width, dropout = (96, 0.2) if rows < 1000 else (192, 0.1) if rows < 6000 else (384, 0.15)
    options = {
        "width": width,
        "depth": 2,
        "members": 16,
        "embedding": 8 if columns <= 128 else max(2, 1024 // columns),
        "dropout": dropout,
        "adapter": "output",
    }
    training = Training(
        optimizer="adamw",
        lr=2e-3,
        batch=batch,
        weight_decay=0.03,
        momentum=0.9,
        warmup=0.03,
        schedule="cosine",
        clip=1.0,
        ema=0.0,
    )
    return {
        "options": options,
        "training": training,
        "budget": Budget(epochs=max(14.0, steps * min(batch, rows) / rows), patience=0.4),
        "metric": "log_loss",
    }


def mixtures(facts: Facts) -> dict[str, Any]:
    """Each input by what suits it, then joined."""
    seen, heard = ("image" in _kinds(facts.signature), "audio" in _kinds(facts.signature))
    found = pictures(facts) if seen else sounds(facts)
    if seen and heard:
        found = {
            **found,
            "type_options": {
                **found["type_options"],
                "input": {**found["type_options"]["input"], **sounds(facts)["type_options"]["input"]},
            },
        }
    training = replace(found["training"], optimizer="adamw", lr=1e-3, weight_decay=0.02)
    return {**found, "options": {}, "training": training, "learner_options": {}}


def texts(facts: Facts) -> dict[str, Any]:
    """A convolutional net beside a bag of n-grams: some eight passes; smoothed labels keep the best
    weights from standing before the rate has fallen (trec .884 without, .905 with). Characters need more, and
    where all sequences are of one length, as aligned DNA is, places instead of the bag."""
    column_type = next(
        column_type
        for (side, _), column_type in facts.column_types.items()
        if side == "input" and isinstance(column_type, Text)
    )
    rows, signs = facts.rows, column_type.kind == "char"
    batch = int(min(32, max(8, 2 ** round(math.log2(max(rows, 1) / 100 + 1e-9)))))
    training = Training(
        optimizer="adamw",
        lr=2e-3 if signs else 3e-3,
        batch=batch,
        weight_decay=0.01,
        momentum=0.9,
        warmup=0.1,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    patterns = {"token": 64, "channels": 64, "runs": "3 5 7", "layers": 1, "noise": 0.1}
    places = {"places": column_type.most, "summary": False} if column_type.aligned else {}
    return {
        "why": (
            "sequences of one length: a convolutional net that knows the places" if places and signs else ""
        ),
        "options": {**patterns, **places} if signs else {},
        "training": training,
        "budget": Budget(epochs=max(12.0 if signs else 8.0, 600 * batch / rows), patience=0.5),
        "type_options": {
            "input": {"text": {"hide": 0.0 if signs else 0.1}},
            "output": {"category": {"smoothing": 0.0 if signs else 0.1}},
        },
        "metric": "log_loss",
    }


def words(facts: Facts) -> dict[str, Any]:
    """A net that says something of each word learns few sentences by heart within some passes: small steps,
    and a third of the words unknown."""
    rows = facts.rows
    batch = int(min(16, max(4, 2 ** round(math.log2(max(rows, 1) / 100 + 1e-9)))))
    training = Training(
        optimizer="adamw",
        lr=1e-3,
        batch=batch,
        weight_decay=0.01,
        momentum=0.9,
        warmup=0.1,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    return {
        "options": {"token": 64, "width": 64, "layers": 1, "dropout": 0.5},
        "training": training,
        "budget": Budget(epochs=max(5.0, 600 * batch / rows), patience=0.5),
        "type_options": {"input": {"text": {"hide": 0.5}}, "output": {"tags": {"recall": 2.5}}},
    }


def reading(facts: Facts) -> dict[str, Any]:
    """Texts read together."""
    rows = facts.rows
    batch = int(min(16, max(4, 2 ** round(math.log2(max(rows, 1) / 50 + 1e-9)))))
    training = Training(
        optimizer="adamw",
        lr=2e-3,
        batch=batch,
        weight_decay=0.05,
        momentum=0.9,
        warmup=0.1,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    return {
        "options": {"token": 64, "width": 64, "dropout": 0.4},
        "training": training,
        "budget": Budget(epochs=max(6.0, 600 * batch / rows), patience=0.5),
        "type_options": {"input": {"text": {"hide": 0.3}}},
    }


def language(facts: Facts) -> dict[str, Any]:
    """A decoder on blocks of text, in small steps: the largest net whose weights see a token each within the
    minutes, and that has no more than SEEN weights for each token there is. tinyshakespeare by characters,
    validation and test loss after 1.5 million tokens: 4 blocks, 128 wide, reading 64 at once 1.521 and 1.636
    (1.530 and 1.649 at twice the rate); 192 wide, reading 128 at once 1.469 and 1.581.
    """
    column_type = _written(facts)
    within = None if facts.minutes is None else facts.minutes * 60 * facts.text_flops()
    fitting = [
        (w, d)
        for w, d in DECODERS
        if 12 * d * w * w <= WEIGHTS_PER_TOKEN * facts.tokens
        and (within is None or within / 6 >= (12 * d * w * w) ** 2)
    ]
    width, depth = fitting[-1] if fitting else DECODERS[0]
    if within is None:
        width, depth = min((width, depth), DECODERS[2])
    affordable = min((within or 0) / (6 * 12 * depth * width**2), PASSES * facts.tokens)
    batch = max(1, round(min(1 << 18, max(1024, affordable / 5000)) / column_type.most))
    passes = affordable / max(1, facts.tokens)
    training = Training(
        optimizer="muon",
        lr=0.02,
        batch=batch,
        weight_decay=0.01,
        momentum=0.95,
        warmup=0.005,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    return {
        "options": {
            "width": width,
            "depth": depth,
            "heads": max(4, width // 64),
            "dropout": 0.0 if passes < 3 else 0.1 if passes < 8 else 0.2,
        },
        "training": training,
        "budget": Budget(epochs=PASSES, patience=0.0),
    }


def answers(facts: Facts) -> dict[str, Any]:
    """An encoder-decoder on byte pairs: the largest that sees every row FEWEST times within the minutes, and
    has no more than READ weights for each token there is."""
    rows, tokens = facts.rows, facts.tokens / max(1, facts.rows)  # of a row, read and written
    within = None if facts.minutes is None else facts.minutes * 60 * facts.text_flops()

    def affords(width: int, depth: int) -> bool:
        weights = (
            14 * depth * width**2 + VOCABULARY / 2 * width
        )  # that a token meets: 12 in a block that reads, 16 in one that writes
        return within is None or within >= MIN_PASSES * rows * tokens * 6 * weights

    fitting = [
        (w, d)
        for w, d in SEQ2SEQS
        if 28 * d * w * w <= ANSWER_WEIGHTS_PER_TOKEN * facts.tokens and affords(w, d)
    ]
    width, depth = fitting[-1] if fitting else SEQ2SEQS[0]
    if within is None:
        width, depth = min((width, depth), SEQ2SEQS[3])
    batch = int(
        min(256, max(8, 2 ** round(math.log2(min(4096 / max(1.0, tokens), max(rows, 1) / 50) + 1e-9))))
    )
    training = Training(
        optimizer="muon",
        lr=0.02,
        batch=batch,
        weight_decay=0.01,
        momentum=0.95,
        warmup=0.03,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    return {
        "options": {
            "width": width,
            "depth": depth,
            "decoder": depth,
            "heads": max(4, width // 64),
            "dropout": 0.3 if rows < 100_000 else 0.1,
        },
        "training": training,
        "budget": Budget(epochs=max(30.0, 2000 * batch / max(1, rows)), patience=0.0),
        "metric": "loss",
    }


def preferences(facts: Facts) -> dict[str, Any]:
    """A few passes over the pairs in small steps, from weights that can already answer. The chosen answers'
    own loss beside (Pang et al. 2024): a small net that answered `The cat says meow.` says `meow!` after it,
    where DPO alone left it stammering.
    """
    if not facts.started:
        raise ConfigError(
            "pairs of answers tune a net that can already answer.\nGive the run that it starts from: --from"
            " RUN."
        )
    batch = max(4, min(32, 1 << max(0, (facts.rows // 32).bit_length() - 1)))
    training = Training(
        optimizer="adamw",
        lr=1e-3,
        batch=batch,
        weight_decay=0.0,
        momentum=0.9,
        warmup=0.1,
        schedule="linear",
        clip=1.0,
        ema=0.0,
    )
    budget = Budget(epochs=5.0, patience=0.0)
    return {"options": {}, "training": training, "learner_options": {"words": 1.0}, "budget": budget}


def blocks(facts: Facts) -> int:
    """Blocks of tokens that a pass over the text consists of."""
    return facts.tokens // _written(facts).most


def _written(facts: Facts) -> Any:
    """The room of the one output, which holds texts."""
    return next(column_type for (side, _), column_type in facts.column_types.items() if side == "output")


def _is_chat(signature: Signature) -> bool:
    """As it is learned, or as people write it (`DataType.whole`)."""
    given, learned = _kinds(signature), [slot.type for slot in signature.outputs]
    return (given, learned) in (([], ["messages"]), (["messages"], ["text"]))


def _kinds(signature: Signature) -> list[str]:
    return [slot.type for slot in signature.inputs]


TABLE: tuple[Recipe, ...] = (
    Recipe(
        "-> text",
        lambda s: not s.inputs and [slot.type for slot in s.outputs] == ["text"],
        "gpt",
        language,
        "a text by itself: a decoder that says what comes next",
        "next_token",
        blocks,
    ),
    Recipe(
        "messages -> text",
        _is_chat,
        "gpt",
        language,
        "conversations: a decoder that says what comes next, learning the assistant's words alone",
        "chat",
        blocks,
    ),
    Recipe(
        "audio -> text",
        lambda s: _kinds(s) == ["audio"] and [slot.type for slot in s.outputs] == ["text"],
        "conformer",
        speech,
        "speech: a Conformer whose steps are aligned with the text by CTC",
        kinds={"text": "ctc"},
    ),
    Recipe(
        "any -> text",
        lambda s: bool(s.inputs) and [slot.type for slot in s.outputs] == ["text"],
        "seq2seq",
        answers,
        "a text that answers: an encoder-decoder that writes it token by token",
        "teacher_forcing",
        kinds={"text": "sequence"},
    ),
    Recipe(
        "-> preference",
        lambda s: not s.inputs and [slot.type for slot in s.outputs] == ["preference"],
        "gpt",
        preferences,
        "pairs of answers: what people prefer becomes likelier (DPO)",
        "dpo",
    ),
    Recipe(
        "image -> any",
        lambda s: _kinds(s) == ["image"],
        "resnet9",
        pictures,
        "one picture: a residual net from scratch",
    ),
    Recipe(
        "audio -> any",
        lambda s: _kinds(s) == ["audio"],
        "resnet9",
        sounds,
        "one sound: a residual net on its spectrum (log-mel)",
    ),
    Recipe(
        "text -> tags",
        lambda s: _kinds(s) == ["text"] and any(slot.type == "tags" for slot in s.outputs),
        "tagger",
        words,
        "a tag for each word: a recurrent net over words and their letters, and a conditional random field",
    ),
    Recipe(
        "text -> any",
        lambda s: _kinds(s) == ["text"],
        "textcnn",
        texts,
        "one text: a convolutional net and a bag of n-grams, side by side",
    ),
    Recipe(
        "text, text -> span",
        lambda s: (
            len(s.inputs) > 1
            and set(_kinds(s)) == {"text"}
            and any(slot.type == "span" for slot in s.outputs)
        ),
        "reader",
        reading,
        "an answer in a text: question and text read together, with the words they share",
    ),
    Recipe(
        "several with an image or a sound -> any",
        lambda s: bool({"image", "audio"} & {*_kinds(s)}),
        "fusion",
        mixtures,
        "pictures or sounds beside other inputs: each encoded in its way, then joined",
    ),
    Recipe(
        "cells -> any",
        lambda s: bool(_kinds(s)),
        "mlp",
        tables,
        "a table: every cell a token, an ensemble of MLPs in one net",
    ),
)


def recipe_of(signature: Signature) -> Recipe:
    """The first row that fits."""
    for recipe in TABLE:
        if recipe.fits(signature):
            return recipe
    raise ConfigError(
        f"'{signature}': no default recipe learns this.\nPatterns with one:"
        f" {', '.join(recipe.pattern for recipe in TABLE)}."
    )


def output_kind(signature: Signature, slot: Slot, column_type: type[DataType] | DataType) -> str:
    """The kind of head that an output gets: the pair of inputs and output decides."""
    return recipe_of(signature).kinds.get(slot.type, column_type.outputs[0])


def model_of(signature: Signature, settings: Settings) -> tuple[str, dict[str, Any]]:
    """The model's name and the options a person gave it; the recipe's model without options where nobody
    asked."""
    if settings.model is None:
        return ("hub", settings.public) if settings.public else (recipe_of(signature).model, {})
    name, options = parse_call(settings.model, "model")
    module("models", name)  # it exists, or an error with the nearest match
    return name, {**options, **settings.public}


def choose(facts: Facts, settings: Settings) -> Choice:
    """The recipe's decisions under a person's wishes. Every default is filled in; reasons say which rule
    decided."""
    recipe = recipe_of(facts.signature)
    model, asked_options = model_of(facts.signature, settings)
    found = facts.found or models.find(model, facts.signature, asked_options)
    decided = {**recipe.decide(facts), **models.defaults(model, facts, asked_options, found)}
    options = {**(decided["options"] if model == recipe.model else {}), **asked_options}
    learner, learner_options = (
        parse_call(settings.learner, "learner") if settings.learner else (recipe.learner, {})
    )
    if learner == recipe.learner:
        learner_options = {**decided.get("learner_options", {}), **learner_options}
    usual: Training = decided["training"]
    training = _filled(
        settings.training, replace(usual, lr=FINETUNE_LR * (usual.lr or 0.0)) if facts.started else usual
    )
    training = replace(training, batch=min(training.batch or 1, max(1, recipe.units(facts))))
    if (training.devices or 1) > (training.batch or 1):
        raise ConfigError(
            f"--devices {training.devices}: a step takes {training.batch} rows, too few for each process to"
            " get one.\nGive fewer devices."
        )
    return Choice(
        model,
        options,
        learner,
        learner_options,
        training,
        _budget(settings.budget, decided["budget"]),
        _heads(facts),
        decided.get("type_options", {}),
        _best(facts, settings.metric, decided.get("metric")),
        (decided.get("why") or recipe.why,),
        found,
    )


def _filled(asked: Training, decided: Training) -> Training:
    """The recipe's numbers where nobody asked. A rate chosen for one optimizer is not taken over for
    another."""
    values = {
        f.name: getattr(asked, f.name) if getattr(asked, f.name) is not None else getattr(decided, f.name)
        for f in fields(Training)
    }
    if asked.optimizer not in (None, decided.optimizer):
        plain = {"adamw": (1e-3, 0.9, 0.02), "sgd": (0.05, 0.9, 5e-4), "muon": (0.02, 0.95, 0.01)}[
            asked.optimizer
        ]  # type: ignore[index]
        for name, value in zip(("lr", "momentum", "weight_decay"), plain, strict=True):
            values[name] = getattr(asked, name) if getattr(asked, name) is not None else value
    return Training(**values)


def _budget(asked: Budget, decided: Budget) -> Budget:
    """Steps or epochs asked for: these alone. Else minutes, ended early by the recipe's epochs."""
    patience = asked.patience if asked.patience is not None else decided.patience
    if asked.steps is not None or asked.epochs is not None:
        return replace(asked, patience=asked.patience or 0.0)
    return Budget(
        minutes=asked.minutes or MINUTES, epochs=decided.epochs, until=asked.until, patience=patience
    )


def _heads(facts: Facts) -> dict[str, str]:
    return {
        slot.name: output_kind(facts.signature, slot, facts.column_types["output", slot.name])
        for slot in facts.signature.outputs
    }


def _best(facts: Facts, metric: str | None, usual: str | None) -> tuple[str, str] | None:
    """(slot, metric) that decides which weights are best: --metric NAME[@SLOT], or the recipe's usual one, or
    the first output's first."""
    outputs: dict[str, Slot] = {slot.name: slot for slot in facts.signature.outputs}
    name, _, where = (metric or "").partition("@")
    slot = where or next(iter(outputs))
    if slot not in outputs:
        raise ConfigError(f"--metric {metric}: no output '{slot}'.\n{did_you_mean(slot, outputs)}")
    kind = output_kind(facts.signature, outputs[slot], facts.column_types["output", slot])
    known = [found.name for found in facts.column_types["output", slot].output(kind).metrics]
    if name and name not in known:
        raise ConfigError(f"--metric: '{slot}' has no metric '{name}'.\n{did_you_mean(name, known)}")
    default = usual if usual in known else known[0] if known else None
    return (slot, name or default) if default else None
