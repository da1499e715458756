"""What a run that learned texts can be asked for beside writing (`mapsto.lite.writing`): to say how probable
a text is, and to help another run hear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mapsto.data.documents import documents
from mapsto.errors import CellError
from mapsto.generation.likelihood import scored
from mapsto.lite.writing import written_type
from mapsto.outputs._text import sizes
from mapsto.run.folder import RunFolder
from mapsto.source import Source


def language(run: RunFolder) -> tuple[Any, Any]:
    """(its net, its text's room) of a run that learned `-> text`, for one that hears texts to ask
    (`mapsto.outputs.ctc.continuations`)."""
    return run.learner.model.eval(), written_type(run, "sample")


def scores(
    run: RunFolder, texts: Sequence[str] | Source, column: str = ""
) -> Iterator[tuple[str, dict[str, Any] | CellError]]:
    """(its name, its figures (`Scored.to_json`), or why it could not be read) of each text, given or of a
    column of a source."""
    column_type = written_type(run, "sample")
    bytes_of = sizes(column_type.kind, column_type.codes, column_type.alphabet)
    given = (
        documents(texts, column, column_type.read)
        if isinstance(texts, Source)
        else ((f"text {i}", iter([text])) for i, text in enumerate(texts, 1))
    )
    for name, pieces in given:
        yield (
            name,
            (
                pieces
                if isinstance(pieces, CellError)
                else scored(run.learner, column_type, pieces, bytes_of).to_json()
            ),
        )
