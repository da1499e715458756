"""Environments, as gymnasium has them, or a function that makes one (`mapsto.data.formats.environment`)."""

from __future__ import annotations

from mapsto.data.offer import Offer
from mapsto.source import Environment, Source


def claims(offer: Offer) -> float:
    if not offer.is_memory:
        return 0.0
    return 1.0 if isinstance(offer.made, Environment) else 0.0


def open(offer: Offer) -> Source:
    """Its spaces are looked at, and nothing is done in it yet."""
    from mapsto.data.formats.environment import source_of

    return source_of(offer)
