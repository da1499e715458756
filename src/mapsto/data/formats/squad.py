"""The JSON of SQuAD, a question a row: {"data": [{"title", "paragraphs": [{"context", "qas": [{"id",
"question", "answers"}]}]}]}. Without an answer, as some are in version 2, the lists of answers are empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mapsto.data.files import entry_of, fingerprint_of, stem
from mapsto.data.formats.jsonl import value_of
from mapsto.data.offer import Offer
from mapsto.errors import DataError
from mapsto.source import BadRow, Chunk, Source

COLUMNS = ("id", "title", "context", "question", "answers")


@dataclass
class SquadSource(Source):
    """Questions with the paragraph they are put to. Answers: {"text": […], "answer_start": […]}."""

    path: str = ""

    def chunks(self, size: int = 4096) -> Iterator[Chunk]:
        found = _questions(value_of(Path(self.path)))
        while some := list(islice(found, size)):
            rows = [row for row in some if not isinstance(row, BadRow)]
            columns = {name: [row[name] for row in rows] for name in COLUMNS}
            where = [f"question {row['id']}" for row in rows]
            bad = [row for row in some if isinstance(row, BadRow)]
            yield Chunk(columns, where, [None] * len(rows), bad)


def source_of(offer: Offer) -> Source:
    """DataError: no JSON, or no question in it."""
    path = offer.path
    source = SquadSource(
        name=stem(path.name),
        columns=COLUMNS,
        fingerprint=fingerprint_of([entry_of(path)]),
        guess="question:text, context:text -> answers:span",
        said=[f"{path.name}: questions to paragraphs, as SQuAD has them"],
        path=str(path),
    )
    if not any(len(chunk) for chunk in source.chunks(1)):
        raise DataError(
            f"{path.name}: expected articles of paragraphs with questions, data/paragraphs/qas, found"
            f" none.\nIn {path}."
        )
    return source


def _questions(value: Any) -> Iterator[dict[str, Any] | BadRow]:
    """Every question; what is no paragraph or question is a bad row."""
    for a, article in enumerate(_list(value, "data")):
        title = article.get("title") if isinstance(article, dict) else None
        for p, paragraph in enumerate(_list(article, "paragraphs")):
            context = paragraph.get("context") if isinstance(paragraph, dict) else None
            if not isinstance(context, str):
                place = f"article {a + 1}, paragraph {p + 1}"
                yield BadRow(place, "expected an object with a context")
                continue
            for q, asked in enumerate(_list(paragraph, "qas")):
                place = f"article {a + 1}, paragraph {p + 1}, question {q + 1}"
                yield _row(asked, title, context, place)


def _row(asked: Any, title: Any, context: str, place: str) -> dict[str, Any] | BadRow:
    answers = _list(asked, "answers")
    whole = all(isinstance(one, dict) and {"text", "answer_start"} <= set(one) for one in answers)
    if not isinstance(asked, dict) or not isinstance(asked.get("question"), str) or not whole:
        return BadRow(place, "expected a question, and answers of a text and an answer_start")
    found = {name: [one[name] for one in answers] for name in ("text", "answer_start")}
    named = str(asked.get("id", place))
    return {"id": named, "title": title, "context": context, "question": asked["question"], "answers": found}


def _list(value: Any, name: str) -> list[Any]:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []
