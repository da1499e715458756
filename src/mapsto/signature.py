"""Signatures: `photo:image(size=64), age:number -> diagnosis:category, days:number`.

    signature := [terms] "->" terms
    terms     := term ("," term)*
    term      := name [":" type ["(" option "=" value ("," option "=" value)* ")"]]

A name is a column of the data, or a type when the data has no column of that name. `*` left of the arrow
stands for every column that is not right of it. Names holding `, : ( )` or an arrow are written in quotes.
Left and right are two namespaces, so `image -> image` is legal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mapsto.errors import SignatureError

ALL = "*"


@dataclass(frozen=True)
class Slot:
    """One place in a signature. `type` is "" until inferred; `column` is the data's column, "" until
    resolved."""

    name: str
    type: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    column: str = ""

    def __str__(self) -> str:
        return format_call(
            _quoted(self.name) + (f":{self.type}" if self.type and self.type != self.name else ""),
            self.options,
        )


@dataclass(frozen=True)
class Signature:
    """What maps to what. `inputs` may be empty (`-> image` learns a distribution); `outputs` may not."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]

    def __str__(self) -> str:
        sides = (", ".join(map(str, self.inputs)), ", ".join(map(str, self.outputs)))
        return f"{sides[0]} -> {sides[1]}".strip()

    @property
    def slots(self) -> tuple[Slot, ...]:
        return self.inputs + self.outputs

    def column_of(self, name: str) -> str:
        """The column of the input of that name."""
        return next(slot.column for slot in self.inputs if slot.name == name)

    def with_slots(self, inputs: tuple[Slot, ...], outputs: tuple[Slot, ...]) -> Signature:
        return replace(self, inputs=inputs, outputs=outputs)

    def to_json(self) -> dict:
        sides = {"inputs": self.inputs, "outputs": self.outputs}
        return {
            side: [{**vars(slot), "options": dict(slot.options)} for slot in slots]
            for side, slots in sides.items()
        }

    @classmethod
    def from_json(cls, record: Mapping) -> Signature:
        return cls(*(tuple(Slot(**slot) for slot in record[side]) for side in ("inputs", "outputs")))


def parse(text: str) -> Signature:
    """Read a signature. Raises SignatureError with the place that could not be understood."""
    sides, text = (
        _split(text.replace("→", "->"), "->"),
        " ".join(text.split()),
    )  # what messages show stands on one line
    if len(sides) != 2:
        found = "no arrow" if len(sides) < 2 else f"{len(sides) - 1} arrows"
        raise SignatureError(
            f"signature '{text}': expected one '->', found {found}.\nWrite what is given, an arrow, what is"
            " learned: 'image -> category'."
        )
    inputs, outputs = (_terms(side, text) for side in sides)
    if not outputs:
        raise SignatureError(
            f"signature '{text}': nothing stands right of the arrow.\nName what is to be learned: 'image ->"
            " category'."
        )
    if any(slot.name == ALL for slot in outputs):
        raise SignatureError(
            f"signature '{text}': '*' may only stand left of the arrow.\nName the columns to be learned."
        )
    return Signature(inputs, outputs)


def parse_call(text: str, what: str = "term") -> tuple[str, dict[str, Any]]:
    """`resnet(depth=110, width=16)` -> ("resnet", {"depth": 110, "width": 16}): the grammar of terms, models
    and learners."""
    text = text.strip()
    if not text.endswith(")"):
        if "(" in text:
            raise SignatureError(
                f"{what} '{text}': a '(' is not closed.\nWrite options as name(option=value, …)."
            )
        return text, {}
    name, _, inside = text[:-1].partition("(")
    options: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in _split(inside, ","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise SignatureError(
                f"{what} '{text}': expected option=value, got '{part}'.\nWrite options as"
                " name(option=value, …)."
            )
        if key.strip() in options:
            raise SignatureError(
                f"{what} '{text}': option '{key.strip()}' is given twice.\nKeep one of them."
            )
        options[key.strip()] = _value(value.strip())
    return name.strip(), options


def format_call(name: str, options: Mapping[str, Any]) -> str:
    """The inverse of `parse_call`."""
    if not options:
        return name
    return f"{name}({', '.join(f'{key}={_literal(value)}' for key, value in options.items())})"


def _terms(side: str, text: str) -> tuple[Slot, ...]:
    slots: list[Slot] = []
    for part in (part.strip() for part in _split(side, ",")):
        if not part:
            if side.strip():
                raise SignatureError(
                    f"signature '{text}': an empty term beside a comma.\nRemove the comma or name the column."
                )
            continue
        slot = _term(part, text)
        if slot.name in (other.name for other in slots):
            raise SignatureError(
                f"signature '{text}': '{slot.name}' stands twice on one side.\nKeep one of them, or name the"
                " columns apart."
            )
        slots.append(slot)
    return tuple(slots)


def _term(part: str, text: str) -> Slot:
    pieces = _split(part, ":")
    if len(pieces) > 2:
        raise SignatureError(
            f"signature '{text}': '{part}' has more than one ':'.\nWrite name:type; put a name with ':' in"
            " quotes."
        )
    name = pieces[0].strip()
    if len(pieces) == 1 and name.endswith(")") and not _is_quoted(name):
        kind, options = parse_call(name)  # 'image(size=64)': the type is the name
        return Slot(kind, kind, options)
    kind, options = parse_call(pieces[1]) if len(pieces) == 2 else ("", {})
    if len(pieces) == 2 and not re.fullmatch(r"[A-Za-z_]\w*", kind):
        raise SignatureError(
            f"signature '{text}': '{pieces[1].strip()}' is no type.\nWrite name:type, as in 'age:number'."
        )
    name = name[1:-1] if _is_quoted(name) else name
    if not name:
        raise SignatureError(
            f"signature '{text}': a term has no name in '{part}'.\nWrite name:type, as in 'age:number'."
        )
    return Slot(name, kind, options)


def _split(text: str, mark: str) -> list[str]:
    """Split at `mark` outside quotes and parentheses."""
    parts, depth, quote, start, i = [], 0, "", 0, 0
    while i < len(text):
        letter = text[i]
        if quote:
            i += quote == '"' and letter == "\\"  # an escaped letter, as JSON has them
            quote = "" if letter == quote else quote
        elif letter in "\"'`" and _begins(text[:i]):  # O'Brien is a name
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
        elif depth == 0 and text.startswith(mark, i):
            parts.append(text[start:i])
            i += len(mark)
            start = i
            continue
        i += 1
    if quote or depth != 0:
        what = f"a quote {quote} is not closed" if quote else "parentheses do not match"
        raise SignatureError(
            f"signature '{' '.join(text.split())}': {what}.\nClose it, or put the name in other quotes."
        )
    return [*parts, text[start:]]


def _begins(before: str) -> bool:
    """Does a name or value begin behind this text?"""
    return not before.strip() or before.rstrip()[-1] in ",:(=>→"


def _is_quoted(name: str) -> bool:
    return len(name) >= 2 and name[0] in "\"'`" and name[-1] == name[0]


def _quoted(name: str) -> str:
    plain = name == ALL or (
        re.fullmatch(r"[^,:()\"'`]+", name) and "->" not in name and "→" not in name and name.strip() == name
    )
    quotes = "'`" if "\\" in name else "\"'`"
    return name if plain else next(f"{q}{name}{q}" for q in quotes if q not in name or q == "`")


def _value(text: str) -> Any:
    try:
        return json.loads(text.lower() if text.lower() in ("true", "false") else text)
    except json.JSONDecodeError:
        return text[1:-1] if _is_quoted(text) else text


def _literal(value: Any) -> str:
    if isinstance(value, str):
        same = (
            _value(value) == value
            and not re.search(r"[,()\"'`=]|->|→", value)
            and value.strip() == value
            and value
        )
        return value if same else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)
