"""Other words for types, as people write them in a signature; a type says them (`DataType.synonyms`)."""

from __future__ import annotations

from dataclasses import replace

from mapsto.registry import entry, names
from mapsto.signature import Signature, Slot, parse


def understood(text: str) -> Signature:
    """The signature that was written, with types by their own names: `when:date` is `when:number`. Raises
    SignatureError as `signature.parse` does."""
    signature = parse(text)
    known = names("types")
    if all(slot.type in known for slot in signature.slots if slot.type):
        return signature
    words = {word: name for name in known for word in entry("types", name).synonyms}

    def plain(slots: tuple[Slot, ...]) -> tuple[Slot, ...]:
        return tuple(replace(slot, type=words.get(slot.type, slot.type)) for slot in slots)

    return signature.with_slots(plain(signature.inputs), plain(signature.outputs))
