"""Places that events come from and answers go to: the folder is the registry, a file a kind."""

from __future__ import annotations

from mapsto.errors import ConfigError
from mapsto.registry import entry, names
from mapsto.serve.streams.base import Place

ROOM = "serve/streams"


def kind_of(word: str) -> type[Place]:
    """The kind of place that a word names. ConfigError: none."""
    kinds = [entry(ROOM, name) for name in names(ROOM)]
    for kind in kinds:
        if kind.is_meant(word):
            return kind
    raise ConfigError(f"{word}: expected {', '.join(kind.noun for kind in kinds)}.\nName one of them.")
