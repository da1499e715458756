"""What a browser must know to read texts as they are read here (`web.js`), beside the type's own fields: what
each sign of Unicode is, in runs of signs that are alike, as the libraries of this machine say it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import cache
from typing import Any

from mapsto.errors import ConfigError
from mapsto.types.text.ngrams import _tables
from mapsto.types.text.pretrained import PUBLIC

# what becomes of a sign where texts are words: it is dropped, or blank, or a word of its own, or part of one
REMOVED, BLANK, ALONE, LETTER = range(4)
TABLE = 0x32000  # code points looked up one by one: the planes of scripts and ideographs
TAGS = (0xE0000, 0xE0200)  # and the tags; stretches around these are as their first sign
STRETCHES = (TABLE, *range(*TAGS), TAGS[1], 0xF0000, 0x100000)


def options_of(text: Any) -> dict[str, Any]:
    """ConfigError: a public model's tokens, of which there are too many kinds."""
    if text.kind == PUBLIC:
        raise ConfigError(
            "texts in a public model's own tokens cannot be read in a browser yet.\nUse --to onnx, and mapsto"
            " serve."
        )
    found: dict[str, Any] = {}
    if text.buckets:
        found["kinds"] = in_runs(_tables()[1].tolist())
    if text.kind == "words":
        found |= _signs()
    return found


@cache
def _signs() -> dict[str, Any]:
    """{"signs", "table", "stretches"}: what becomes of each of so many signs, and [first, what] above."""
    stretches = [[first, _becomes(chr(first))] for first in STRETCHES]
    shown = [one for i, one in enumerate(stretches) if not i or one[1] != stretches[i - 1][1]]
    return {
        "signs": in_runs(_becomes(chr(code)) for code in range(TABLE)),
        "table": TABLE,
        "stretches": shown,
    }


def _becomes(sign: str) -> int:
    """Asked of the library itself, whose tables of Unicode are of its version."""
    if "\ud800" <= sign <= "\udfff":
        return LETTER  # halves of characters, of which texts have none
    around, within = _library()
    parts = [part for part, _ in within.pre_tokenize_str(around.normalize_str(f"a{sign}a"))]
    if len(parts) == 1:
        return REMOVED if parts == ["aa"] else LETTER
    return BLANK if len(parts) == 2 else ALONE


@cache
def _library() -> tuple[Any, Any]:
    """As `tokenizers.learn_tokenizer` has them, but without composing, which a browser does itself."""
    from tokenizers import normalizers, pre_tokenizers

    around = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True
    )
    return around, pre_tokenizers.BertPreTokenizer()


def in_runs(kinds: Iterable[int]) -> str:
    """ "kind:length" of each run of equal kinds."""
    return " ".join(f"{kind}:{sum(1 for _ in run)}" for kind, run in itertools.groupby(kinds))
