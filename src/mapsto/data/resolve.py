"""From what a person wrote to a signature whose every slot names a column and a type, and a sentence for each
thing inferred."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mapsto.cells import Annotated, Column, is_missing
from mapsto.config import Reading
from mapsto.data import unused
from mapsto.data.media import media
from mapsto.data.scan import Scan
from mapsto.data.structs import with_fields
from mapsto.data.unused import kinds, starred
from mapsto.errors import ConfigError, DataError, SignatureError, did_you_mean
from mapsto.registry import entry, names
from mapsto.signature import ALL, Signature, Slot, parse
from mapsto.source import Source
from mapsto.types._synonyms import understood
from mapsto.types.base import DataType

CLOSE = 0.15  # less sure: a type that a target could have, too
Said = list[str]
Types = Mapping[str, type[DataType]]


def columns_named(text: str | None, source: Source, option: str) -> list[str]:
    """Column names separated by commas, checked against the source."""
    if text is None:
        return []
    wanted = [text] if text in source.columns else [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in source.columns:
            raise ConfigError(
                f"--{option}: {source.name} has no column '{name}'.\n{did_you_mean(name, source.columns)}"
            )
    return wanted


def asked(text: str | None, source: Source, reading: Reading) -> tuple[Signature, Said]:
    """The signature that was asked for, with '*' and columns filled in, types perhaps still open."""
    targets = columns_named(reading.target, source, "target")
    if text is not None and targets:
        raise ConfigError("expected a signature or --target, got both.\nKeep one of them.")
    if text is None and not targets:
        if source.guess is None:
            raise SignatureError(
                f'{source.name}: which column is to be learned? Add --target NAME, or a signature: "* ->'
                f' NAME".\ncolumns: {_listed(source.columns)}'
            )
        return _located(parse(source.guess), source, reading)
    signature = (
        _restated(understood(text), source)
        if text is not None
        else Signature((Slot(ALL),), tuple(Slot(name) for name in targets))
    )
    return _located(signature, source, reading)


def as_opened(source: Source) -> Source:
    """The source with what types make of its columns, before anybody has asked for anything."""
    for name in names("types"):
        source = entry("types", name).arrange(source, None, None)
    return source


def as_asked(text: str | Signature | None, source: Source) -> Source:
    """The rows as the types in a signature learn from them (`DataType.arrange`)."""
    if text is None:
        return source
    signature = understood(text) if isinstance(text, str) else text
    slots = signature.inputs + tuple(slot for slot in signature.outputs if slot not in signature.inputs)
    source = with_fields(source, [slot.column or slot.name for slot in slots])
    for slot in slots:  # each once, also where both sides are written alike
        kind = slot.type or ("" if slot.name in source.columns else slot.name)
        if kind in names("types"):
            source = entry("types", kind).arrange(source, slot, signature)
    return source


def _restated(signature: Signature, source: Source) -> Signature:
    """As it is learned, where a type says so (`DataType.restated`)."""
    for slot in signature.slots:
        if (kind := slot.type or slot.name) in names("types"):
            signature = entry("types", kind).restated(slot, signature, source.columns)
    return signature


def _located(signature: Signature, source: Source, reading: Reading) -> tuple[Signature, Said]:
    """Every slot knows its column; '*' stands for the columns nobody else claims."""
    said: Said = []
    claimed: set[str] = set()
    signature = _side_by_side(signature, source, said)
    outputs = tuple(_locate(slot, source, claimed) for slot in signature.outputs)
    dropped = set(columns_named(reading.drop, source, "drop"))
    outside = set(dropped)
    for option in ("weight", "group"):
        outside |= set(columns_named(getattr(reading, option), source, option))
    columns_named(reading.time, source, "time")  # stays an input: a time knows the trend
    elsewhere = outside - set(columns_named(reading.group, source, "group"))  # by class: `splits/by_class`
    if lost := [slot.column for slot in outputs if slot.column in elsewhere | dropped]:
        raise ConfigError(
            f"'{lost[0]}' is to be learned, but also dropped, or used as weight or group.\nUse it for one"
            " thing."
        )
    claimed_inputs: set[str] = set()
    named = [slot for slot in signature.inputs if slot.name != ALL]
    inputs = [
        slot
        for slot in (_locate(slot, source, claimed_inputs) for slot in named)
        if slot.column not in dropped
    ]
    inputs = [_as_named(slot, source, (), said) for slot in inputs]
    if named and not inputs and len(named) == len(signature.inputs):
        raise ConfigError(
            "--drop leaves no column to learn from.\nDrop fewer, or name others left of the arrow."
        )
    if len(named) < len(signature.inputs):
        taken = (
            {slot.column for slot in outputs} | {slot.column for slot in inputs} | outside | set(source.made)
        )
        rest = [name for name in source.columns if name not in taken]
        inputs += [Slot(name, column=name) for name in rest]
        if not inputs:
            raise SignatureError(
                f"{source.name}: no column is left to learn from.\nThe columns are: {_listed(source.columns)}"
            )
    outputs = tuple(
        _as_named(slot, source, None if _is_class(slot, outputs, inputs, source) else inputs, said)
        for slot in outputs
    )
    return signature.with_slots(tuple(inputs), outputs), said


def _is_class(slot: Slot, outputs: Sequence[Slot], inputs: Sequence[Slot], source: Source) -> bool:
    """May a column right of the arrow that is called like a type of prose be a class? It is written only
    alone, and from what is no table."""
    if slot.type or not _is_prose(slot.name):
        return False
    head = next(iter(source.chunks(256)), None)
    if len(outputs) > 1 or head is None:
        return True
    kinds = (one.type or _likely(Column(one.column, list(head.columns[one.column])))[0] for one in inputs)
    return any(entry("types", kind).modality == "tabular" for kind in kinds if kind in names("types"))


def _is_prose(name: str) -> bool:
    """Is it the name of a type of running words?"""
    return name in names("types") and entry("types", name).prose


def _likely(column: Column, output: bool = False) -> tuple[str, dict[str, float]]:
    """The type that is surest of a column, and how sure each is."""
    sure = {
        name: column_type.sniff(column)
        for name in names("types")
        if (column_type := entry("types", name)).outputs or not output
    }
    return max(sure, key=lambda name: sure[name]), sure


def _side_by_side(signature: Signature, source: Source, said: Said) -> Signature:
    """`text -> text` where the columns have other names, and as many are texts as are asked for: the first
    given, the last learned; said."""
    asked = [
        slot
        for slot in signature.slots
        if slot.column == "" and slot.name not in source.columns and slot.name in names("types")
    ]
    kinds = {slot.type or slot.name for slot in asked}
    if len(asked) < 2 or len(asked) < len(signature.slots) or len(kinds) != 1:
        return signature
    head = next(iter(source.chunks(256)), None)
    column_type = entry("types", next(iter(kinds)))
    fitting = [
        name
        for name in source.columns
        if head is not None and column_type.sniff(Column(name, list(head.columns[name]))) >= 0.5
    ]
    if len(fitting) != len(asked):
        return signature
    placed = [
        replace(slot, column=name, type=slot.type or slot.name)
        for slot, name in zip(asked, fitting, strict=True)
    ]
    given, learned = placed[: len(signature.inputs)], placed[len(signature.inputs) :]
    if len(given) == len(learned) == 1:
        there, back = (
            f"{_plain(one)} -> {_plain(other)}"
            for one, other in ((given[0], learned[0]), (learned[0], given[0]))
        )
        said.append(f"{signature}: {there}, as the columns stand; for the other way write: {back}")
    return signature.with_slots(tuple(given), tuple(learned))


def _plain(slot: Slot) -> str:
    """A column with its type, as a signature has them."""
    return str(Slot(slot.column, slot.type))


def _locate(slot: Slot, source: Source, claimed: set[str]) -> Slot:
    """The column a slot means: of its name, or, when it is named like a type, the one column the layout
    offers for it."""
    column = slot.column or slot.name
    if column not in source.columns:
        column = _by_type(slot, source, claimed)
        slot = replace(slot, type=slot.type or slot.name)
    if slot.type and slot.type not in names("types"):
        raise SignatureError(
            f"'{slot}': unknown type '{slot.type}'.\n{did_you_mean(slot.type, names('types'))}"
        )
    claimed.add(column)
    return replace(slot, column=column, type=slot.type or _laid_out(source).get(column, ""))


def _as_named(slot: Slot, source: Source, inputs: Sequence[Slot] | None, said: Said) -> Slot:
    """`text`, a column too, is a text, whatever else its cells look like; said where they do, and where they
    plainly are none. Words for the columns of tables (number, category, categories) promise less. inputs: of
    an output's row, of which its cells may speak; () for an input.
    """
    if (
        slot.type
        or inputs is None
        or slot.name not in names("types")
        or entry("types", slot.name).modality == "tabular"
    ):
        return slot
    head = next(iter(source.chunks(256)), None)
    column = Column(slot.column, list(head.columns[slot.column]) if head is not None else [])
    if head is None or not column.known:
        return slot
    likely, sure = _likely(column, bool(inputs))
    given = [(one, list(head.columns[one.column])) for one in inputs]
    texts = [cells for one, cells in given if _is_prose(one.type or _likely(Column(one.column, cells))[0])]
    if sure.get(slot.name, 0) < 0.5 and not _most_are(slot.name, column, texts):
        said.append(
            f"'{slot.column}' holds no {slot.name}, though it is called so: {likely}; to insist,"
            f" {slot.column}:{slot.name}"
        )
        return slot
    if likely != slot.name:
        said.append(
            f"'{slot.column}' is read as {slot.name}, as it is called; its cells alone look like {likely}"
            f" ({slot.column}:{likely})"
        )
    return replace(slot, type=slot.name)


def _most_are(kind: str, column: Column, within: Sequence[Sequence[Any]]) -> bool:
    """Can most cells of a column be read as that type, beside another's where they speak of it, and are they
    nothing else plainly?"""
    column_type = entry("types", kind)()
    if type(column_type).annotates is not DataType.annotates:
        return any(
            _share(
                column_type, [Annotated(cell, other) for cell, other in zip(column.cells, cells, strict=True)]
            )
            > 0.5
            for cells in within
        )
    others = [entry("types", name) for name in names("types") if name != kind]
    plain = max(other.sniff(column) for other in others if other.unmistakable)
    return plain < 0.5 and _share(column_type, column.known) > 0.5


def _share(column_type: DataType, cells: Sequence[Any]) -> float:
    """Of the first cells that are not missing, those that can be read."""
    some = [cell for cell in cells if not is_missing(cell.cell if isinstance(cell, Annotated) else cell)][:32]
    return 1 - len(column_type.read_all(some)[1]) / len(some) if some else 0.0


def _is_named(column: str, source: Source) -> bool:
    """Does the data name that column? Names that its layout gave, as to running text or to pictures in
    folders, a signature may change."""
    made = {slot.name for slot in parse(source.guess).slots} if source.guess else set()
    return column not in made and column not in media() and not re.fullmatch(r"column_\d+", column)


def _laid_out(source: Source) -> dict[str, str]:
    """{column: type} that the layout leaves no doubt of."""
    return {slot.name: slot.type for slot in parse(source.guess).slots if slot.type} if source.guess else {}


def _by_type(slot: Slot, source: Source, claimed: set[str]) -> str:
    kind = slot.type or (slot.name if slot.name in names("types") else "")
    if not kind:
        raise SignatureError(
            f"{source.name} has no column '{slot.name}', and there is no type of that name.\n"
            f"{did_you_mean(slot.name, [*source.columns, *names('types')])}"
        )
    if kind not in names("types"):
        raise SignatureError(f"'{slot}': unknown type '{kind}'.\n{did_you_mean(kind, names('types'))}")
    free = [name for name in source.columns if name not in claimed]
    if slot.name not in names("types") and all(_is_named(column, source) for column in source.columns):
        raise SignatureError(
            f"'{slot}': {source.name} has no column '{slot.name}'.\n{did_you_mean(slot.name, source.columns)}"
        )
    if kind in free:
        return kind
    head = next(iter(source.chunks(256)), None)
    if head is None:
        raise DataError(
            f"{source.name}: expected rows, found none.\nCheck that the file is what it should be."
        )
    column_type = entry("types", kind)
    sure = {name: column_type.sniff(Column(name, list(head.columns[name]))) for name in free}
    fitting = [name for name, found in sure.items() if found >= 0.5]
    if len(fitting) != 1:
        found = (
            f"{len(fitting)} columns could be one: {_listed(fitting)}"
            if fitting
            else f"no column is one; columns: {_listed(source.columns)}"
        )
        raise SignatureError(
            f"'{slot}': {source.name} has no column '{slot.name}'; looking for a {kind}, {found}.\nName the"
            f" column: COLUMN:{kind}."
        )
    return fitting[0]


def resolve(
    signature: Signature, scan: Scan, source: Source, reading: Reading, text: str | None = None
) -> tuple[Signature, Said]:
    """Every open type inferred from the sample; columns that nothing can be learned from (`data.unused`) are
    left out of '*', and that is said. text: the signature as it was asked for."""
    said: Said = []
    star = starred(text, signature, reading)
    kept = set(columns_named(reading.keep, source, "keep"))
    column_types = {name: entry("types", name) for name in names("types")}
    answers = {name: column_type for name, column_type in column_types.items() if column_type.outputs}
    outputs = tuple(_learned(slot, scan.column(slot.column), answers, said) for slot in signature.outputs)
    if wrong := [slot for slot in outputs if slot.type not in answers]:
        raise SignatureError(
            f"'{wrong[0]}' cannot stand right of the arrow.\nWhat can be learned: {', '.join(answers)}."
        )
    sure = {slot.column: _sureness(slot, scan.column(slot.column), column_types) for slot in signature.inputs}
    used, left = unused.divided(signature.inputs, sure, scan, reading, star - kept, kept)
    said += [f"left out: '{column}' ({why})" for column, why in left.items()]
    inputs = [
        slot if slot.type else _surest(slot, sure[slot.column], scan.column(slot.column)) for slot in used
    ]
    if not inputs and signature.inputs:
        raise DataError(f"{source.name}: no column is left to learn from.\n{'; '.join(said)}")
    for slot in outputs:
        if not scan.column(slot.column).known:
            raise DataError(
                f"{source.name}: every cell of '{slot.column}', which is to be learned, is missing.\nChoose"
                " another column, or fill it."
            )
    return signature.with_slots(tuple(inputs), outputs), said


def _sureness(slot: Slot, column: Column, column_types: Types) -> dict[str, float]:
    """How sure each type is of an input's cells; {} where its type is named, or all are missing."""
    if slot.type or not column.known:
        return {}
    return {name: kind.sniff(column) for name, kind in column_types.items()}


def _learned(slot: Slot, column: Column, column_types: Types, said: Said) -> Slot:
    """An output with its type; said where it could as well be another: whole numbers that are classes."""
    if slot.type:
        return slot
    column = replace(column, side="output")
    sure = {name: kind.sniff(column) for name, kind in column_types.items()}
    slot = _surest(slot, sure, column)
    near = [
        name
        for name, found in sure.items()
        if name != slot.type and column_types[name].unmistakable and 0.5 <= found > sure[slot.type] - CLOSE
    ]
    told = f"'{slot.column}' is learned as {slot.type}"
    said += [f"{told}; it could be {slot.column}:{name}, too" for name in near]
    return slot


def _surest(slot: Slot, sure: Mapping[str, float], column: Column) -> Slot:
    """The slot with the type that is surest of its column. sure: by type."""
    best = max(sure, key=lambda name: sure[name])
    if sure[best] <= 0:
        raise SignatureError(
            f"'{slot.column}': expected cells that a type reads ({', '.join(sure)}), got {kinds(column)}.\n"
            "Write numbers or texts in their place, or name another column."
        )
    return replace(slot, type=best)


def _listed(columns: Sequence[str], most: int = 12) -> str:
    return ", ".join(columns[:most]) + (f", … ({len(columns)} in all)" if len(columns) > most else "")
