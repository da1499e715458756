"""Rows of JSON: jsonl, or a file of one list or one dict of columns (`mapsto.data.formats.jsonl`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Source

SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
FORMATS = ("jsonl", "json")


def claims(offer: Offer) -> float:
    """By its name, or where it begins like objects."""
    if offer.kind != "text":
        return 0.0
    return 0.9 if offer.suffix in SUFFIXES else 0.8 if _looks_json(offer.head) else 0.0


def _looks_json(head: bytes) -> bool:
    head = head[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    packed = head.replace(b" ", b"").replace(b"\n", b"")
    return head.startswith((b'{"', b"[{")) or packed.startswith((b'{"', b"[{"))


def open(offer: Offer) -> Source:
    """jsonl or json, whichever the content is; the columns are the union of all keys. DataError: no rows."""
    from mapsto.data.formats.jsonl import source_of

    return source_of(offer)
