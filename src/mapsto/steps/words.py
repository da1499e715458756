"""What a person is told of decisions before the first step."""

from __future__ import annotations

from mapsto import models, recipes
from mapsto.data.encode_chunk import spots
from mapsto.registry import entry
from mapsto.signature import Signature
from mapsto.steps.rows import Types


def column_words(signature: Signature, types: Types) -> list[str]:
    """How columns are read where it is not obvious."""
    twice = {slot.name for slot in signature.inputs} & {
        slot.name for slot in signature.outputs
    }  # `text -> text`: told apart by their columns
    told = [
        (types[side, slot.name], slot.column if slot.name in twice else slot.name)
        for side, slot in spots(signature)
    ]
    return [text for column_type, name in told if (text := column_type.said(name))]


def optimizer_words(choice: recipes.Choice) -> list[str]:
    """The optimizer's settings, where one is used."""
    if models.solved(choice.model, choice.model_options):
        return []
    t = choice.training
    rate = f"{t.optimizer}, peak rate {t.lr:g} ({t.schedule}, {100 * (t.warmup or 0):.2g}% warm-up)"
    return [f"{rate}, {t.batch} rows a step, weight decay {t.weight_decay:g}, seed {t.seed}"]


def line_words(choice: recipes.Choice, validation_rows: int) -> list[str]:
    """Of a linear model beside the net that will count nothing, for no rows are there to weigh it by."""
    learner = entry("learners", choice.learner)
    if not choice.model_options.get("line") or validation_rows or "validation" in learner.learns_from:
        return []
    return [
        "no validation rows say how much the linear model beside the net counts, so it counts nothing: add"
        " rows, or leave line out"
    ]
