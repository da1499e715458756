"""Folders of class folders of text files."""

from __future__ import annotations

from pathlib import Path

import pytest

from mapsto.config import Reading
from mapsto.data.open import open_source
from mapsto.source import Source


def write(folder: Path, classes: tuple[str, ...] = ("neg", "pos"), each: int = 15, suffix: str = ".txt") -> Path:
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            (folder / name / f"{i}{suffix}").write_text(f"{name} text {i}, naïve\n")
    return folder


def rows(source: Source) -> list[tuple[object, ...]]:
    return [row for chunk in source.chunks() for row in zip(*chunk.columns.values(), chunk.split, strict=True)]


@pytest.mark.parametrize("suffix", [".txt", ""])
def test_each_file_is_a_text_and_its_folder_the_class(tmp_path: Path, suffix: str) -> None:
    source = open_source(write(tmp_path / "mail", suffix=suffix))
    assert source.columns == ("text", "category") and source.guess == "text -> category"
    found = rows(source)
    assert len(found) == 30 and ("neg text 3, naïve", "neg", None) in found and ("pos text 14, naïve", "pos", None) in found


def test_splits_stand_above_and_texts_without_a_class_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "aclImdb" / "train", ("neg", "pos", "unsup"))
    write(tmp_path / "aclImdb" / "test")
    for name in ("README", "imdb.vocab"):
        (tmp_path / "aclImdb" / name).write_text("of the data")
    source = open_source(tmp_path / "aclImdb")
    found = rows(source)
    assert len(found) == 60 and {row[1] for row in found} == {"neg", "pos"}
    assert sum(row[2] == "test" for row in found) == 30
    assert "15 files in train/unsup have no class: left out" in source.said


def test_files_that_hold_no_text_are_listed(tmp_path: Path) -> None:
    folder = write(tmp_path / "mail")
    (folder / "neg" / "0.txt").write_text(" \n")
    (folder / "pos" / "1.txt").write_bytes(b"PK\x00\x01" * 9)
    (folder / "pos" / "2.txt").write_bytes("œuvre ".encode("cp1252"))
    (folder / "pos" / "3.txt").write_text("naïve", encoding="utf-16")
    source = open_source(folder)
    bad = {row.where: row.why for chunk in source.chunks() for row in chunk.bad}
    assert bad == {"neg/0.txt": "the file is empty", "pos/1.txt": "expected a text, this is a binary file"}
    texts = {row[0] for row in rows(source)}
    assert len(rows(source)) == 28 and {"œuvre", "naïve"} <= texts


def test_books_in_folders_stay_prose(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    for author in ("austen", "melville"):
        (folder / author).mkdir(parents=True)
        for i in range(12):
            (folder / author / f"{i}.txt").write_text("It was a long line of a longer book.\n" * 3_000)
    assert open_source(folder).columns == ("text",)
    assert open_source(write(tmp_path / "few", each=3)).columns == ("text",)


def test_a_language_is_learned_from_them_too(tmp_path: Path) -> None:
    from mapsto.config import settings_of
    from mapsto.steps.rows import make_ready

    source = open_source(write(tmp_path / "mail"), Reading())
    ready = make_ready(source, "-> text", settings_of({}), lambda event: None)
    assert str(ready.signature) == "-> text" or "text" in str(ready.signature)
    assert ready.store.n == 30
