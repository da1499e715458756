"""Texts right of the arrow, as `mapsto.types.text.inputs` has it of those left of it: what is learned of
them. How they are written as tokens is their kind of answer's (`mapsto.outputs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mapsto.cells import Continued
from mapsto.errors import ConfigError, DataError
from mapsto.registry import entry
from mapsto.types.text._copied import COPIED, share_copied
from mapsto.types.text.cells import texts_of


def fitted(column_type: Any, values: Sequence[str | None], spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a `Text` right of the arrow learns of training texts, as its fields. spec: as in `Text.fit`."""
    name, kind = str(spec.get("name", "text")), str(spec.get("kind", column_type.outputs[0]))
    asked = {
        key: getattr(column_type, key) for key in ("grams", "hide") if getattr(column_type, key) is not None
    }
    if column_type.tokenizer in ("words", "ngrams") or column_type.long != "start" or asked:
        wrong = (
            f"tokenizer={column_type.tokenizer}"
            if column_type.tokenizer in ("words", "ngrams")
            else next(iter(asked), "long")
        )
        raise ConfigError(
            f"'{name}': a text that is learned is written whole, so {wrong} has no meaning.\nOptions"
            " here: tokenizer=char or bpe, max, size."
        )
    if not any(text for value in values for text in texts_of(value)):
        raise DataError(
            f"'{name}': no training row has a text to learn from.\nName another column right of the arrow."
        )
    kept = (
        {"most": column_type.max or column_type.most} if column_type.answer == kind else None
    )  # a run that goes on keeps the earlier one's tokens
    own = (spec["codes"],) if "codes" in spec else ()
    if not kept and not own and (source := _copied(column_type, spec)):
        copied, codes = source
        own = (codes,)
        column_type = replace(column_type, tokenizer="bpe", copied=copied)
    found = kept or entry("outputs", kind).learn(
        values, column_type.tokenizer, column_type.size, column_type.max, spec.get("beside", ()), *own
    )
    found |= {"most": min(found["most"], spec["reach"])} if "reach" in spec else {}
    running = any(isinstance(value, Continued) for value in values)
    return {"answer": kind, "running": running, "words": 0, "copied": column_type.copied, **found}


def _copied(column_type: Any, spec: Mapping[str, Any]) -> tuple[float, str] | None:
    """(share of the words that stand in the input which holds the most of them, its byte pairs), where
    answers are to be copied from it. spec: as in `Text.fit`."""
    asked = spec.get("copy", False)
    if asked is False or column_type.tokenizer not in (None, "bpe") or column_type.size:
        return None
    shares = {
        name: share_copied(spec["pairs"](name)) for name, one in spec["inputs"].items() if _in_pieces(one)
    }
    best = max(shares, key=lambda name: shares[name], default=None)
    if best is None or not (asked or shares[best] >= COPIED):
        return None
    return shares[best], spec["inputs"][best].codes


def _in_pieces(column_type: Any) -> bool:
    return column_type.prose and column_type.kind == "bpe"


def sentence(column_type: Any, name: str) -> str:
    """How an answer is written, in a sentence."""
    how = column_type.output().how(column_type.writes or column_type.most)
    found = f"'{name}' is written in {column_type.about()}, {how}"
    if column_type.copied:
        found += (
            f"; tokens of what it answers are copied too, where {column_type.copied:.0%} of its words stand"
            " (copy=false: none)"
        )
    return found
