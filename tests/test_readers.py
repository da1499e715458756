"""Readers: each format in one file, found by what it claims, and held to one contract."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mapsto import registry
from mapsto.data.formats.memory import MemorySource
from mapsto.data.open import open_source
from mapsto.source import table_of
from mapsto.testing.readers import check_reader

ROWS = [{"x": i, "y": "even" if i % 2 == 0 else "odd"} for i in range(10)]


def test_tables_in_text_json_and_memory(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n" + "".join(f"{row['x']},{row['y']}\n" for row in ROWS))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    check_reader("delimited", tmp_path / "a.csv", [{"x": str(row["x"]), "y": row["y"]} for row in ROWS])
    check_reader("jsonl", tmp_path / "a.jsonl", ROWS)
    check_reader("memory", ROWS, ROWS)


def test_arrays_words_and_tags(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((5, 8, 8), np.uint8), y=np.arange(5))
    (tmp_path / "a.conll").write_text("Ada B-PER\nsings O\n\n" * 5)
    check_reader("arrays", tmp_path / "a.npz")
    check_reader("conll", tmp_path / "a.conll", [{"words": ["Ada", "sings"], "tags": ["B-PER", "O"]}] * 5)


@pytest.mark.parametrize("suffix", ["avif", "png"])
def test_pictures_in_folders_and_as_bare_paths(tmp_path: Path, suffix: str) -> None:
    for kind in ("a", "b"):
        (tmp_path / "set" / kind).mkdir(parents=True)
        for i in range(3):
            PIL.Image.new("RGB", (8, 8), (9 * i, 0, 0)).save(tmp_path / "set" / kind / f"{i}.{suffix}")
    source = check_reader("media", tmp_path / "set")
    assert source.columns == ("image", "category") and source.guess == "image -> category"
    assert open_source(tmp_path / "set" / "a" / f"0.{suffix}").columns == ("image",)





def test_a_package_adds_a_reader_by_an_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file: words of a line each, the last its class."""
    (tmp_path / "lastword.py").write_text('''
from mapsto.data.readers import memory
from mapsto.data.offer import Offer

SUFFIXES = frozenset({".words"})

def claims(offer):
    return 0.95 if offer.kind == "text" and offer.suffix in SUFFIXES else 0.0

def open(offer):
    lines = [line.rsplit(" ", 1) for line in offer.path.read_text().splitlines()]
    return memory.open(Offer(data=[{"text": text, "word": last} for text, last in lines]))
''')
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("lastword", "lastword", "mapsto.readers")
    monkeypatch.setattr(registry, "_outside", lambda room: (point,) if room == "data/readers" else ())
    (tmp_path / "a.words").write_text("a red rose\na blue sky\n")
    source = open_source(tmp_path / "a.words")
    assert isinstance(source, MemorySource) and table_of(source) == {"text": ["a red", "a blue"], "word": ["rose", "sky"]}


def test_a_reader_that_breaks_the_contract_is_told_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not claim"):
        check_reader("parquet", ROWS)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"one\nt\rwo\nthree\n", ["one", "t\rwo", "three"]),
        (b"one\r\nt\rwo\r\nthree\r\n", ["one", "t\rwo", "three"]),
        (b"one\rtwo\rthree\r", ["one", "two", "three"]),
    ],
    ids=["lf", "crlf", "cr"],
)
def test_a_carriage_return_within_a_line_shifts_no_pairs(written: bytes, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.en").write_bytes(written)
    (tmp_path / "t.de").write_bytes(b"eins\nzwei\ndrei\n")
    assert table_of(open_source(tmp_path)) == {"de": ["eins", "zwei", "drei"], "en": expected}


@pytest.mark.parametrize(("value", "scale"), [(np.nan, 1), (np.inf, 1), (-3, 1), (7, 1), (np.nan, 255), (900, 255)])
def test_a_picture_of_wrong_pixels_is_one_row(value: float, scale: int, tmp_path: Path) -> None:
    pictures = np.random.default_rng(0).random((1010, 4, 4)).astype("f4") * scale
    pictures[1005, 1, 2] = value
    pictures[3, 1, 2] = np.nan
    np.savez(tmp_path / "p.npz", x=pictures, y=np.arange(1010) % 2)

    chunks = list(open_source(tmp_path / "p.npz").chunks())

    bad = {row.where: row.why for chunk in chunks for row in chunk.bad}
    cells = [cell for chunk in chunks for cell in chunk.columns["image"]]
    assert set(bad) == {"item 3", "item 1005"} and f"expected pixels from 0 to {scale}" in bad["item 1005"]
    assert len(cells) == 1008 and np.array_equal(cells[0], np.rint(pictures[0] * 255 / scale).astype(np.uint8))
