"""From what a person writes and points at to what is read: columns, files beside each other, encodings, and what is said on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

import mapsto
from mapsto.config import Reading
from mapsto.data.open import open_source
from mapsto.data.resolve import as_asked, asked
from mapsto.errors import DataError, SignatureError, did_you_mean

# ---- what a column is called says what it is ----


def asked_of(data: object, signature: str) -> tuple[dict[str, str], str]:
    """{column: type or ""} before cells are counted, and what is said of it."""
    found, said = asked(signature, as_asked(signature, open_source(data)), Reading())
    return {slot.column: slot.type for slot in found.slots}, " ".join(said)


def test_a_column_named_text_is_a_text_though_its_cells_repeat() -> None:
    rows = [{"q": f"who has {i}?", "text": "Ann has a car. Bob has a dog.", "answer": {"text": "Ann", "answer_start": 0}} for i in range(60)]
    types, said = asked_of(rows, "q:text, text -> answer:span")
    assert types == {"q": "text", "text": "text", "answer": "span"} and "'text' is read as text, as it is called" in said


def test_a_few_transcripts_are_no_classes(tmp_path: Path) -> None:
    rows = [{"audio": f"{i}.wav", "text": "yes no" if i % 2 else "no"} for i in range(60)]
    assert asked_of(rows, "audio -> text")[0] == {"audio": "audio", "text": "text"}


def test_a_column_named_tags_is_tags_though_all_are_outside_and_some_are_wrong() -> None:
    rows = [{"tokens": ["a", "b", "c"], "tags": ["O"] * 3 if i else ["O"]} for i in range(60)]
    assert asked_of(rows, "tokens:text -> tags")[0] == {"tokens": "text", "tags": "tags"}


def test_a_column_that_plainly_is_not_what_it_is_called_is_said() -> None:
    types, said = asked_of([{"text": i / 2, "notes": "of two colours", "tags": "red;blue"} for i in range(60)], "text, notes:text -> tags")
    assert types == {"text": "", "notes": "text", "tags": ""}
    assert "'text' holds no text" in said and "'tags' holds no tags" in said


def test_the_answer_that_a_preference_lacks_is_named() -> None:
    rows = [{"prompt": f"hi {i}", "chosen": f"hello {i}"} for i in range(30)]
    with pytest.raises(SignatureError, match="Add a column 'rejected'"):
        asked_of(rows, "-> preference")


def test_which_of_two_texts_is_learned_is_said_and_files_keep_the_order_they_are_named_in(tmp_path: Path) -> None:
    for name in ("en", "de"):
        (tmp_path / f"train.{name}").write_text("".join(f"the {name} line {i} of many others\n" for i in range(50)))

    types, said = asked_of([str(tmp_path / "train.en"), str(tmp_path / "train.de")], "text -> text")
    other, _ = asked_of([str(tmp_path / "train.de"), str(tmp_path / "train.en")], "text -> text")

    assert list(types) == ["en", "de"] and "for the other way write: de:text -> en:text" in said
    assert list(other) == ["de", "en"]


def test_a_name_that_is_no_column_is_refused_but_running_text_may_be_called_anything(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text("A cat sat on the mat and saw the dog.\n" * 50)
    rows = [{"text": f"the cat number {i} sat on its mat", "label": "ab"[i % 2]} for i in range(50)]

    assert list(asked_of(book, "-> txt:text")[0]) == ["text"]
    with pytest.raises(SignatureError, match="did you mean 'text'"):
        asked_of(rows, "-> txt:text")
    with pytest.raises(SignatureError, match="did you mean 'text'"):
        asked_of(rows, "txt:text -> label")


SAID = "Hello, said the man\nGood morning, said she\n"


def test_a_text_with_a_comma_in_every_line_is_running_text_where_text_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "comma.txt").write_text(SAID * 100)
    (tmp_path / "table.txt").write_text("text,label\n" + "".join(f"a cat and {i} dogs,{i % 2}\n" for i in range(50)))
    (tmp_path / "folder").mkdir()
    for name in ("a", "b"):
        (tmp_path / "folder" / f"{name}.txt").write_text(f"{name} said, {SAID * 100}")

    for place, rows in (("comma.txt", SAID * 100), ("folder", f"a said, {SAID * 100}b said, {SAID * 100}")):
        source = as_asked("-> text", open_source(tmp_path / place))
        assert "".join(text for chunk in source.chunks() for text in chunk.columns["text"]) == rows
    assert as_asked("-> text", open_source(tmp_path / "table.txt")).columns == ("text", "label")
    assert as_asked("* -> column_2", open_source(tmp_path / "comma.txt")).columns == ("column_1", "column_2")


def lines_of(place: object) -> tuple[str, list[str]]:
    """All text of a source, and why rows of it are bad, with their places."""
    chunks = list(open_source(place).chunks())
    texts = "".join(text for chunk in chunks for column in chunk.columns.values() for text in column)
    return texts, [f"{bad.where}: {bad.why}" for chunk in chunks for bad in chunk.bad]


def test_lines_of_a_text_that_are_not_utf8_are_left_out_and_counted(tmp_path: Path) -> None:
    (path := tmp_path / "mixed.txt").write_bytes("A café.\n".encode() * 400 + "Ein größerer.\n".encode("cp1252") * 3 + b"A plain line.\n" * 400)
    (many := tmp_path / "many.txt").write_bytes("A café.\n".encode() * 100 + "Ein größerer.\n".encode("cp1252") * 30)
    (other := tmp_path / "other.txt").write_bytes("Ein größerer.\n".encode("cp1252") * 300)

    text, bad = lines_of(path)

    assert text == "A café.\n" * 400 + "A plain line.\n" * 400
    assert bad == ["mixed.txt: 3 lines (the first: 401) are not utf-8, as the rest of the file is: left out"]
    with pytest.raises(DataError, match=r"many.txt.*30 lines \(the first: 101\) are not utf-8, of 130"):
        lines_of(many)
    assert lines_of(other) == ("Ein größerer.\n" * 300, []) and "other.txt: cp1252 text" in open_source(other).said


def test_lines_side_by_side_that_are_not_utf8_are_quarantined(tmp_path: Path) -> None:
    (tmp_path / "train.en").write_text("a cat\n" * 40)
    (tmp_path / "train.de").write_bytes("schön\n".encode() * 39 + "schön\n".encode("latin-1"))

    text, bad = lines_of(tmp_path)

    assert text == "schön" * 39 + "a cat" * 39 and bad == ["line 40: 'de' is not utf-8, as the rest of the file is"]
    assert "train.de: two encodings in one file: line 40 is not utf-8" in " ".join(open_source(tmp_path).said)


def test_an_empty_document_among_others_is_quarantined_and_ends_nothing(tmp_path: Path) -> None:
    (texts := tmp_path / "texts").mkdir()
    for i in range(10):
        (texts / f"{i}.txt").write_text("" if i == 4 else f"A cat {i} sat on the mat and saw the dog.\n" * 40)

    run = mapsto.train(
        texts, "-> text:text(max=16)", steps=2, model="gpt(width=16, depth=1, heads=2)", plan="default", threads=1, out=tmp_path / "runs"
    )

    assert "4.txt,,the file is empty" in (run.path / "quarantine.csv").read_text()


def test_a_file_without_its_partner_is_named(tmp_path: Path) -> None:
    for name in ("train.en", "train.de", "val.en"):
        (tmp_path / name).write_text("a line of words\n" * 9)
    with pytest.raises(DataError, match=r"val\.en has no val\.de beside it"):
        open_source(tmp_path)

    for name in ("train.de", "val.en"):
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match=r"train.en has no partner beside it.*train.de"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("word", "choice", "near"),
    [
        ("date", "text", False),
        ("houses.csv", "titanic.csv", False),
        ("b.csv", "a.csv", False),
        ("aa.csv", "a.csv", True),
        ("house.csv", "houses.csv", True),
        ("acc", "accuracy", True),
        ("widht", "width", True),
    ],
)
def test_only_what_is_near_may_be_meant(word: str, choice: str, near: bool) -> None:
    assert ("did you mean" in did_you_mean(word, [choice])) == near


def test_a_date_is_a_number_by_another_word() -> None:
    rows = [{"when": f"2020-01-{i + 1:02d}", "y": i} for i in range(28)]
    found, _ = asked("when:date -> y:number", open_source(rows), Reading())
    assert [slot.type for slot in found.slots] == ["number", "number"]


@pytest.mark.parametrize(("said", "told"), [("no such file.", "damaged: no such file."), ("more…", "damaged: more…."), ("and so on...", "damaged: and so on....")])
def test_a_sentence_within_a_message_ends_once(said: str, told: str) -> None:
    message = str(DataError(f"damaged: {said}.\nPut it in ../data"))
    assert message == f"{told}\nPut it in ../data"
