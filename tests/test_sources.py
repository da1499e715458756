"""Opening data: every kind of place becomes a Source, and every bad one an error of at most three lines."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mapsto.cells import Blob
from mapsto.config import Reading
from mapsto.data import archive, members
from mapsto.data.open import open_source
from mapsto.errors import DataError
from mapsto.source import Source

pytestmark = pytest.mark.usefixtures("without_reports")


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MAPSTO_CACHE", str(folder))
    return folder


def rows_of(source: Source, size: int = 7) -> list[tuple]:
    """Every row as a tuple, after checking that chunks keep their contract."""
    rows = []
    for chunk in source.chunks(size):
        assert tuple(chunk.columns) == source.columns
        assert all(len(cells) == len(chunk) == len(chunk.split) for cells in chunk.columns.values())
        assert len(chunk) <= size
        rows += zip(*chunk.columns.values(), strict=True)
    assert len(rows) == sum(len(chunk) for chunk in source.chunks(1000))
    return rows


def bad_of(source: Source) -> list[tuple[str, str]]:
    return [(row.where, row.why) for chunk in source.chunks() for row in chunk.bad]


def splits_of(source: Source) -> list[str | None]:
    return [split for chunk in source.chunks() for split in chunk.split]


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), shade).save(path, format="PNG")
    return path


def fails(place: object, *words: str, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        rows_of(open_source(place, Reading(**options)))  # type: ignore[arg-type]
    text = str(caught.value)
    assert len(text.splitlines()) <= 3, text
    for word in words:
        assert word in text, text
    return text


# --- text tables -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.csv", "name,année\nZoë,1\nJürgen,2\n".encode(encoding))
    assert rows_of(open_source(path)) == [("Zoë", "1"), ("Jürgen", "2")]
    assert open_source(path).columns == ("name", "année")


def test_one_wrong_byte_late_in_a_utf8_file_is_no_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", b"a,b\n" + "é,1\n".encode() * 50_000 + b"\xe9,2\n")
    rows = rows_of(open_source(path), 5000)
    assert len(rows) == 50_000 and rows[0] == rows[-1] == ("é", "1")
    assert [bad.where for chunk in open_source(path).chunks() for bad in chunk.bad] == ["line 50002"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_quoted_newlines(tmp_path: Path, delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([["id", "note"], [1, 'two\nlines, and "quotes"; | \t'], [2, "plain"]])
    source = open_source(write(tmp_path / "a.csv", text.getvalue()))
    assert rows_of(source) == [("1", 'two\nlines, and "quotes"; | \t'), ("2", "plain")]
    assert [place for chunk in source.chunks() for place in chunk.where] == ["line 2", "line 4"]


def test_decimal_comma(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.csv", "x;y;z;t\n1,5;1.234,5;3;a,b\n-2,25;2.000,0;4;1,2,3\n,5;3,0;5;c\n"))
    assert rows_of(source) == [("1.5", "1234.5", "3", "a,b"), ("-2.25", "2000.0", "4", "1,2,3"), (".5", "3.0", "5", "c")]
    assert "decimal comma" in source.said[0]
    assert rows_of(open_source(write(tmp_path / "b.csv", 'x,y\n"1,234",a\n"2,000",b\n'))) == [("1,234", "a"), ("2,000", "b")]
    assert rows_of(open_source(write(tmp_path / "c.csv", 'x,y\n"1,5",a\n"2,25",b\n'))) == [("1.5", "a"), ("2.25", "b")]
    assert rows_of(open_source(write(tmp_path / "d.csv", "x;y\n1,234;1.5\n2,000;2.5\n"))) == [("1,234", "1.5"), ("2,000", "2.5")]


@pytest.mark.parametrize(
    "text, columns, rows",
    [
        ("1,2,x\n3,4,y\n", ("column_1", "column_2", "column_3"), 2),
        ("0.02,0.03,R\n0.1,0.2,M\n?,0.2,M\n", ("column_1", "column_2", "column_3"), 3),
        ("label,0,1,2\n5,3,4,4\n", ("label", "0", "1", "2"), 1),
        ("country,1990,1991,1992\nFrance,1.5,2,2\n", ("country", "1990", "1991", "1992"), 1),
        ("a,b\nx,y\nz,w\n", ("a", "b"), 2),
        (",a,b\n0,1,2\n1,3,4\n", ("column_1", "a", "b"), 2),
        ("sep=;\na;b\n1;2\n", ("a", "b"), 1),
        ("# made by hand\n# twice\na,b\n1,2\n3,4\n", ("a", "b"), 2),
        ('"x" "y"\n"1" 2 3\n"2" 4 5\n'.replace(" ", ","), ("row", "x", "y"), 2),
        ("a,b\n1,2,\n3,4,\n", ("a", "b"), 2),
        ("1.0  2.5 3\n4.0   5 6\n", ("column_1", "column_2", "column_3"), 2),
        ("text\nhello, world\nfine\n", ("text",), 2),
        ("Hi.\tSalut !\nRun!\tCours !\n", ("column_1", "column_2"), 2),
    ],
)
def test_headers(tmp_path: Path, text: str, columns: tuple[str, ...], rows: int) -> None:
    source = open_source(write(tmp_path / "a.csv", text))
    assert source.columns == columns and len(rows_of(source)) == rows


def test_names_twice_and_empty_are_renamed_and_said(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.csv", "a,b,a,,a_2\n1,2,3,4,5\n"))
    assert source.columns == ("a", "b", "a_3", "column_4", "a_2")
    assert any("now 'a_3'" in sentence for sentence in source.said)


def test_ragged_rows_and_nul_bytes_are_named(tmp_path: Path) -> None:
    text = "a,b,c\n" + "1,2,3\n" * 40 + "1,2\n" + "4,5,6,7\n" + "8,\0,9\n" + "x,y,z,,\n"
    source = open_source(write(tmp_path / "a.csv", text))
    assert len(rows_of(source)) == 41 and rows_of(source)[-1] == ("x", "y", "z")
    assert [place for place, _ in bad_of(source)] == ["line 42", "line 43", "line 44"]
    assert "expected 3 cells, got 2" in bad_of(source)[0][1] and "NUL" in bad_of(source)[2][1]


def test_nul_bytes_everywhere_are_taken_out_and_said(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.csv", "a,b\n" + "1\0,2\n" * 30))
    assert rows_of(source) == [("1", "2")] * 30 and "NUL bytes removed" in source.said[0]


def test_an_open_quote_costs_every_line_it_swallows(tmp_path: Path) -> None:
    text = "a,b\n" + "1,2\n" * 5000 + '3,"open\n' + "1,2\n" * 500
    source = open_source(write(tmp_path / "a.csv", text))
    assert len(rows_of(source)) == 5000 and len(bad_of(source)) == 501
    tabs = open_source(write(tmp_path / "a.tsv", "text\tlabel\n" + 'so "good\t1\n"bad\t0\nfine\t1\n' * 20))
    assert len(rows_of(tabs)) == 60 and not bad_of(tabs)


def test_ten_thousand_columns_and_long_cells(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(10_000)]
    text = ",".join(names) + "\n" + (",".join("7" * 10_000) + "\n") * 150
    source = open_source(write(tmp_path / "wide.csv", text))
    assert len(source.columns) == 10_000 and len(rows_of(source, 4096)) == 150
    assert max(len(chunk) for chunk in source.chunks(4096)) <= 100
    long = open_source(write(tmp_path / "long.csv", "a,b\n" + "x" * 500_000 + ",1\ny,2\n"))
    assert [len(row[0]) for row in rows_of(long)] == [500_000, 1]


def test_a_table_streams(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b,c\n" + "1.2345678,some text here,9999\n" * 50_000)
    source = open_source(path)
    tracemalloc.start()
    assert sum(len(chunk) for chunk in source.chunks()) == 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12e6, peak


@pytest.mark.parametrize(
    "content, word", [("", "empty"), ("\n\n", "empty"), ("\ufeff", "empty"), ("a,b\n", "rows below the header"), ("a,b\n\n\n", "rows")]
)
def test_nothing_in_it(tmp_path: Path, content: str, word: str) -> None:
    fails(write(tmp_path / "a.csv", content), word, "a.csv")


# --- json, parquet, memory -----------------------------------------------------------------------------------------------------


def test_json_lines_with_bad_lines_and_the_union_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1, "b": [1, 2]}\n\n{"a": 2, "c": null}\n[1]\n{broken\n{"a": "\xc3\xa9"}\n'))
    source = open_source(path)
    assert source.columns == ("a", "b", "c")
    assert rows_of(source) == [(1, [1, 2], None), (2, None, None), ("é", None, None)]
    assert [place for place, _ in bad_of(source)] == ["line 4", "line 5"]


@pytest.mark.parametrize(
    "value",
    [
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}],
        {"version": 1, "data": [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]},
        {"a": [1, 2], "b": ["x", "y"]},
        {"a": {"0": 1, "1": 2}, "b": {"0": "x", "1": "y"}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_files(tmp_path: Path, value: object, indent: int | None) -> None:
    source = open_source(write(tmp_path / "a.json", json.dumps(value, indent=indent)))
    assert source.columns == ("a", "b") and rows_of(source) == [(1, "x"), (2, "y")]


def test_content_wins_over_the_suffix(tmp_path: Path) -> None:
    assert rows_of(open_source(write(tmp_path / "a.jsonl", '{"a": 1}\n{"a": 2}\n'))) == [(1,), (2,)]
    assert rows_of(open_source(write(tmp_path / "a.txt", '{"a": 1}\n{"a": 2}\n'))) == [(1,), (2,)]
    assert rows_of(open_source(write(tmp_path / "a.csv", gzip.compress(b"a,b\n1,2\n")))) == [("1", "2")]
    fails(write(tmp_path / "b.csv", b"%PDF-1.4 \x00\x01"), "PDF")
    fails(write(tmp_path / "c.csv", os.urandom(4000)), "binary")


def parquet(path: Path, query: str) -> Path:
    with duckdb.connect() as database:
        database.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def test_parquet(tmp_path: Path) -> None:
    folder = tmp_path / "odd [1] *"
    folder.mkdir()
    path = parquet(
        tmp_path / "a.parquet",
        "SELECT i::INT AS n, 1.5::DECIMAL(9,2) AS d, 'ab'::BLOB AS image, {'bytes': 'x'::BLOB, 'path': 'p'} AS s, now() AS t FROM range(5000) r(i)",
    ).rename(folder / "b[2].parquet")
    source = open_source(path)
    rows = rows_of(source, 1000)
    assert len(rows) == 5000 and rows[7][:4] == (7, 1.5, b"ab", {"bytes": b"x", "path": "p"})
    two = open_source(parquet(tmp_path / "c.parquet", "SELECT 'ab'::BLOB AS image, 3 AS label"))
    assert two.guess == "image -> label"
    fails(parquet(tmp_path / "d.parquet", "SELECT 1 AS a WHERE false"), "no row")
    fails(write(tmp_path / "e.parquet", path.read_bytes()[:300]), "e.parquet")


def test_frames_rows_and_columns() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = {"a": [1, 2, 3], "b": ["x", "y", None]}
    for data in (
        columns,
        pandas.DataFrame(columns),
        polars.DataFrame(columns),
        polars.LazyFrame(columns),
        [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3}],
    ):
        source = open_source(data)
        rows = rows_of(source, 2)
        assert source.columns == ("a", "b") and [row[0] for row in rows] == [1, 2, 3] and rows[1][1] == "y" and source.locations == ()
        assert type(rows[0][0]) is int
    assert open_source(columns).fingerprint == open_source({**columns}).fingerprint != open_source({**columns, "a": [1, 2, 4]}).fingerprint
    arrays = open_source({"image": np.zeros((3, 4, 4), np.uint8), "y": np.arange(3)})
    assert rows_of(arrays)[2][0].shape == (4, 4) and rows_of(arrays)[2][1] == 2
    assert open_source(arrays) is arrays
    for bad in ([], {}, 7, [1, 2], {"a": [1], "b": [1, 2]}, {"a": []}, {"a": "text"}):
        fails(bad, "expected")


# --- folders -----------------------------------------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    for name in ("roses/1.png", "roses/2.JPG", "daisies/1.png", ".hidden/x.png"):
        picture(tmp_path / "flowers" / name)
    picture(tmp_path / "flowers" / "daisies" / "nameless")
    write(tmp_path / "flowers/.DS_Store", "x")
    write(tmp_path / "flowers/roses/Thumbs.db", "x")
    write(tmp_path / "flowers/roses/notes.doc", "x")
    write(tmp_path / "flowers/README.md", "x")
    picture(tmp_path / "flowers" / "stray.png")
    source = open_source(tmp_path / "flowers")
    assert source.columns == ("image", "category") and source.guess == "image -> category" and source.name == "flowers"
    rows = rows_of(source, 2)
    assert sorted((str(image), category) for image, category in rows) == [
        ("daisies/1.png", "daisies"),
        ("daisies/nameless", "daisies"),
        ("roses/1.png", "roses"),
        ("roses/2.JPG", "roses"),
    ]
    assert isinstance(rows[0][0], Blob) and rows[0][0].read().startswith(b"\x89PNG")
    assert {place for place, _ in bad_of(source)} == {"roses/notes.doc", "stray.png"}
    assert any("hidden" in sentence for sentence in source.said) and any("README.md" in sentence for sentence in source.said)
    assert source.locations == (str(tmp_path / "flowers"),)
    before = source.fingerprint
    picture(tmp_path / "flowers/roses/3.png")
    assert open_source(tmp_path / "flowers").fingerprint != before


def test_split_folders_nested_and_flat(tmp_path: Path) -> None:
    for name in ("top/train/cat/1.png", "top/train/dog/1.png", "top/val/cat/1.png", "top/test/1.png", "top/test/2.png"):
        picture(tmp_path / "a" / name)
    source = open_source(tmp_path / "a")
    assert (str(rows_of(source)[0][0]), rows_of(source)[0][1]) == ("top/test/1.png", None)
    assert splits_of(source) == ["test", "test", "train", "train", "validation"] and source.divided
    for name in ("train/cat/1.png", "train/dog/1.png"):
        picture(tmp_path / "only" / name)
    assert splits_of(open_source(tmp_path / "only")) == [None, None] and [row[1] for row in rows_of(open_source(tmp_path / "only"))] == ["cat", "dog"]
    picture(tmp_path / "flat/images/1.png")
    flat = open_source(tmp_path / "flat")
    assert flat.columns == ("image",) and flat.guess is None
    for name in ("A/one/1.png", "A/two/1.png", "B/one/1.png"):
        picture(tmp_path / "deep" / name)
    assert [row[1:] for row in rows_of(open_source(tmp_path / "deep"))] == [("A/one", "A", "one"), ("A/two", "A", "two"), ("B/one", "B", "one")]
    for name in ("bus/1.png", "train/1.png", "car/1.png"):  # a class may be called train
        picture(tmp_path / "vehicles" / name)
    assert [row[1] for row in rows_of(open_source(tmp_path / "vehicles"))] == ["bus", "car", "train"]


def test_metadata(tmp_path: Path) -> None:
    for number in range(3):
        picture(tmp_path / f"m/images/{number}.png")
    write(tmp_path / "m/metadata.csv", "file_name,age,kind\nimages/0.png,3,a\nimages/9.png,3,a\n../m/images/1.png,1,b\nimages/2.png,4,b\n")
    source = open_source(tmp_path / "m")
    assert source.columns == ("image", "age", "kind") and source.guess is None
    assert [(str(row[0]), *row[1:]) for row in rows_of(source)] == [("images/0.png", "3", "a"), ("images/2.png", "4", "b")]
    assert [place for place, _ in bad_of(source)] == ["line 3", "line 4"]
    for split in ("train", "test"):
        picture(tmp_path / f"s/{split}/0.png")
        write(tmp_path / f"s/{split}/metadata.jsonl", '{"file_name": "0.png", "label": "x"}\n')
    divided = open_source(tmp_path / "s")
    assert divided.guess == "image -> label" and splits_of(divided) == ["train", "test"]
    picture(tmp_path / "c/0.png")
    picture(tmp_path / "c/1.png")
    write(tmp_path / "c/metadata.csv", "file_name,label,split\n0.png,x,train\n1.png,y,test\n")
    by_column = open_source(tmp_path / "c")
    assert by_column.columns == ("image", "label") and splits_of(by_column) == ["train", "test"] and by_column.guess == "image -> label"
    write(tmp_path / "n/metadata.csv", "filename,label\n0.png,x\n")
    fails(tmp_path / "n", "file_name", "did you mean 'filename'")
    write(tmp_path / "f/a.mp4", b"\0\0\0\x18ftypmp42")
    write(tmp_path / "f/metadata.csv", "file_name,label\na.mp4,x\n")
    fails(tmp_path / "f", ".mp4")


def test_folders_of_tables(tmp_path: Path) -> None:
    write(tmp_path / "adult/adult-train.csv", "age,income\n1,a\n2,b\n")
    write(tmp_path / "adult/adult-test.csv", "age,income\n3,a\n")
    write(tmp_path / "adult/LICENSE", "free")
    source = open_source(tmp_path / "adult")
    assert rows_of(source) == [("1", "a"), ("2", "b"), ("3", "a")] and splits_of(source) == ["train", "train", "test"]
    assert next(source.chunks()).where[0] == "adult-train.csv line 2"
    assert rows_of(open_source(str(tmp_path / "adult/adult-*.csv"))) == rows_of(source)
    assert splits_of(open_source([tmp_path / "adult/adult-test.csv", tmp_path / "adult/adult-train.csv"])) == ["train", "train", "test"]
    write(tmp_path / "kaggle/train.csv", "id,x,target\n1,2,0\n2,3,1\n")
    write(tmp_path / "kaggle/test.csv", "id,x\n3,2\n")
    write(tmp_path / "kaggle/sample_submission.csv", "id,target\n3,0\n")
    kaggle = open_source(tmp_path / "kaggle")
    assert rows_of(kaggle)[-1] == ("3", "2", None) and any("no column 'target'" in sentence for sentence in kaggle.said)
    write(tmp_path / "several/a.csv", "x,y\n1,2\n")
    write(tmp_path / "several/b.csv", "u,v\n1,2\n")
    fails(tmp_path / "several", "a.csv, b.csv", "Name one")
    write(tmp_path / "shards/part-00000.csv", "x,y\n1,2\n")
    write(tmp_path / "shards/part-00001.csv", "x,y\n3,4\n")
    assert rows_of(open_source(str(tmp_path / "shards/part-*.csv"))) == [("1", "2"), ("3", "4")]


def test_a_split_column_that_is_left_out_divides_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,split,y\n1,train,p\n2,test,q\n", encoding="utf-8")
    assert open_source(tmp_path / "t.csv").divided
    source = open_source(tmp_path / "t.csv", Reading(drop="a, split"))
    assert not source.divided and source.columns == ("a", "split", "y")


def test_split_column(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.csv", "x,Split\n1,train\n2,dev\n3,test\n"))
    assert source.columns == ("x",) and splits_of(source) == ["train", "validation", "test"]
    kept = open_source(write(tmp_path / "b.csv", "x,set\n1,train\n2,tea\n"))
    assert kept.columns == ("x", "set") and splits_of(kept) == [None, None]
    single = open_source([{"x": 1, "split": "train"}, {"x": 2, "split": "train"}])
    assert single.columns == ("x",) and splits_of(single) == [None, None] and not single.divided


def test_a_separate_test_place(tmp_path: Path) -> None:
    train = write(tmp_path / "a.csv", "x,y\n1,a\n2,b\n")
    test = write(tmp_path / "b.csv", "y,x,z\nb,7,0\n")
    source = open_source(train, Reading(test=str(test)))
    assert rows_of(source) == [("1", "a"), ("2", "b"), ("7", "b")] and splits_of(source) == [None, None, "test"]
    assert source.locations == (str(train),) and any("'z' left out" in sentence for sentence in source.said)
    assert rows_of(open_source(train, Reading(test=str(write(tmp_path / "c.csv", "x\n9\n")))))[-1] == ("9", None)
    assert rows_of(open_source(train, Reading(test=str(write(tmp_path / "d.csv", "9,b\n")))))[-1] == ("9", "b")
    fails(train, "same columns", test=str(write(tmp_path / "e.csv", "u,v\n1,2\n")))
    fails(write(tmp_path / "f.csv", "x,split\n1,train\n2,test\n"), "holds test rows", test=str(test))


# --- arrays --------------------------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    code = {"uint8": 8, "int32": 12}[array.dtype.name]
    head = bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_idx(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    images, labels = draw.integers(0, 255, (7, 5, 4), np.uint8), draw.integers(0, 3, 7).astype(np.uint8)
    for split in ("train", "t10k"):
        write(tmp_path / f"mnist/{split}-images-idx3-ubyte.gz", gzip.compress(idx(images)))
        write(tmp_path / f"mnist/{split}-labels-idx1-ubyte", idx(labels))
    source = open_source(tmp_path / "mnist")
    assert source.guess == "image -> category" and splits_of(source) == ["train"] * 7 + ["test"] * 7
    rows = rows_of(source, 3)
    assert all((rows[i][0] == images[i]).all() and rows[i][1] == labels[i] for i in range(7)) and rows[0][0].dtype == np.uint8
    write(tmp_path / "mnist/classes.txt", "zero\none\ntwo\n")
    assert rows_of(open_source(tmp_path / "mnist"))[0][1] == ["zero", "one", "two"][labels[0]]
    single = tmp_path / "mnist/train-images-idx3-ubyte.gz"
    assert len(rows_of(open_source(single))) == 7
    write(tmp_path / "cut/train-images-idx3-ubyte", idx(images)[:-9])
    write(tmp_path / "cut/train-labels-idx1-ubyte", idx(labels))
    fails(tmp_path / "cut", "cut off")
    single.write_bytes(single.read_bytes()[:60])
    fails(tmp_path / "mnist", "damaged or cut off")


def test_npz(tmp_path: Path) -> None:
    images = np.arange(5 * 3 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4, 3)
    path = tmp_path / "med.npz"
    np.savez_compressed(
        path,
        train_images=images,
        train_labels=np.arange(5)[:, None] % 2,
        val_images=images[:2],
        val_labels=np.array([[1], [0]]),
        test_images=images[:1],
        test_labels=np.array([[1]]),
    )
    source = open_source(path)
    assert source.guess == "image -> category" and splits_of(source) == ["train"] * 5 + ["validation"] * 2 + ["test"]
    assert (rows_of(source, 2)[4][0] == images[4]).all() and rows_of(source)[1][1] == 1
    np.savez(path, train_images=images, train_labels=np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]]))
    several = open_source(path)
    assert several.guess == "image -> categories" and [row[1] for row in rows_of(several)] == [["0", "2"], [], ["0", "1", "2"], ["1"], ["2"]]
    np.savez(path, X=np.linspace(0, 1, 2 * 1 * 6 * 6).reshape(2, 1, 6, 6), y=np.array(["cat", "dog"]))
    scaled = rows_of(open_source(path))
    assert scaled[1][0].shape == (6, 6) and scaled[1][0].dtype == np.uint8 and scaled[1][0].max() == 255 and scaled[1][1] == "dog"
    np.savez(path, x_train=np.ones((3, 2)), y_train=np.array([0.5, 1, 2]), x_test=np.ones((1, 2)), y_test=np.array([3.0]))
    assert open_source(path).columns == ("column_1", "column_2", "target") and splits_of(open_source(path))[-1] == "test"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.arange(1))
    fails(path, "never executes")
    np.savez(path, weights=np.ones(3))
    fails(path, "weights (3,)")


# --- archives -------------------------------------------------------------------------------------------------------------------


def zipped(path: Path, members: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as handle:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(info)
            handle.writestr(info, data)
    return path


def tarred(path: Path, members: dict[str, bytes], *links: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as handle:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            handle.addfile(info, io.BytesIO(data))
        for link in links:
            handle.addfile(link)
    return path


@pytest.mark.parametrize("kind", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_archives_open_as_folders(tmp_path: Path, kind: str, _cache: Path) -> None:
    png = picture(tmp_path / "x.png").read_bytes()
    members = {"flowers/roses/1.png": png, "flowers/daisies/1.png": png, "__MACOSX/flowers/roses/._1.png": b"x"}
    path = (zipped if kind.endswith("zip") else tarred)(tmp_path / kind, members)
    source = open_source(path)
    assert [row[1] for row in rows_of(source)] == ["daisies", "roses"] and source.name == "a" and source.locations == (str(path),)
    assert open_source(path).fingerprint == source.fingerprint
    for folder in (_cache / "unpacked").iterdir():
        folder.rename(tmp_path / "gone")
    assert open_source(path).fingerprint == source.fingerprint  # the cache may come and go


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz"])
def test_a_folder_packed_from_within(tmp_path: Path, kind: str) -> None:
    """tar czf a.tar.gz -C flowers . names its entries ./ and ./roses/1.png."""
    for name in ("roses", "daisies"):
        (tmp_path / "flowers" / name).mkdir(parents=True)
        picture(tmp_path / "flowers" / name / "1.png")
    with tarfile.open(tmp_path / kind, "w:gz" if kind.endswith("gz") else "w") as handle:
        handle.add(tmp_path / "flowers", arcname=".")
        assert handle.getnames()[0] == "." and "./roses/1.png" in handle.getnames()
    assert [row[1] for row in rows_of(open_source(tmp_path / kind))] == ["daisies", "roses"]


@given(st.lists(st.sampled_from(["", ".", "..", "a", "b.png", "...", "..c"]), min_size=1, max_size=6).map("/".join))
def test_a_member_is_written_into_the_folder_or_refused(name: str) -> None:
    try:
        found = members.safe_name(name, Path("a.tar"))
    except DataError:
        assert name.startswith("/") or ".." in name.split("/") or os.path.normpath(name) == "."
    else:
        assert found == os.path.normpath(name) and not found.startswith(("/", "../"))


def test_paths_into_archives(tmp_path: Path) -> None:
    path = zipped(tmp_path / "t.zip", {"top/a.csv": b"x,y\n1,2\n", "top/b-train.csv": b"u,v\n1,2\n", "top/b-test.csv": b"u,v\n3,4\n"})
    fails(path, "t.zip/", "b*")
    for inside in ("a.csv", "top/a.csv"):
        assert rows_of(open_source(f"{path}/{inside}")) == [("1", "2")]
    assert splits_of(open_source(f"{path}/b*")) == ["train", "test"]
    fails(f"{path}/aa.csv", "did you mean 'a.csv'")
    fails(f"{path}/../../x.csv", "not there")
    fails(f"{write(tmp_path / 'c.csv', 'a,b')}/x.csv", "is a file")


@pytest.mark.parametrize("name", ["../evil.csv", "./../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:\\evil.csv"])
def test_zip_slip(tmp_path: Path, name: str, _cache: Path) -> None:
    fails(zipped(tmp_path / "z.zip", {"a.csv": b"x\n1\n", name: b"x"}), "refused", "outside")
    if "\\" not in name:
        fails(tarred(tmp_path / "z.tar.gz", {name: b"x"}), "refused", "outside")
    assert not list((_cache / "unpacked").iterdir()) and not list(tmp_path.parent.rglob("evil.csv"))


def test_links_in_archives(tmp_path: Path) -> None:
    def linked(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        return info

    def symlink(info: zipfile.ZipInfo) -> None:
        if info.filename == "link":
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    table = {"d/a.csv": b"x,y\n1,2\n"}
    for kind, target in ((tarfile.SYMTYPE, "/etc/passwd"), (tarfile.SYMTYPE, "../../x"), (tarfile.LNKTYPE, "../x"), (tarfile.LNKTYPE, "/etc/passwd")):
        fails(tarred(tmp_path / "l.tar", table, linked("d/b.csv", target, kind)), "link out of the archive")
    fails(tarred(tmp_path / "p.tar", table, linked("d/pipe", "", tarfile.FIFOTYPE)), "device or a pipe")
    fails(zipped(tmp_path / "l.zip", {**table, "link": b"/etc/passwd"}, symlink), "link out of the archive")
    inner = tarred(
        tmp_path / "i.tar", table, linked("d/b.csv", "a.csv"), linked("d/c.csv", "d/a.csv", tarfile.LNKTYPE), linked("d/dangling", "nothing")
    )
    assert rows_of(open_source(f"{inner}/b.csv")) == rows_of(open_source(f"{inner}/c.csv")) == [("1", "2")]


def test_bombs_and_full_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _cache: Path) -> None:
    monkeypatch.setattr(archive, "RATIO_FROM", 100_000)
    data = {"a.csv": b"\0" * 200_000_000}
    fails(zipped(tmp_path / "b.zip", data), "refused", "bombs")
    fails(tarred(tmp_path / "b.tar.gz", data), "refused", "bombs")
    monkeypatch.setattr(archive, "SPARE", 10**18)
    fails(zipped(tmp_path / "c.zip", {"a.csv": b"x\n1\n"}), "not enough room", "MAPSTO_CACHE")
    assert not list((_cache / "unpacked").iterdir())


def test_damaged_archives(tmp_path: Path) -> None:
    good = zipped(tmp_path / "g.zip", {"a.csv": b"x,y\n1,2\n" * 1000, "b.csv": os.urandom(5000)}).read_bytes()
    fails(write(tmp_path / "cut.zip", good[: len(good) // 2]), "damaged")
    fails(write(tmp_path / "bent.zip", good[:60] + b"\xff" * 9 + good[69:]), "damaged")
    tar = tarred(tmp_path / "g.tar.gz", {"a.csv": os.urandom(50_000)}).read_bytes()
    fails(write(tmp_path / "cut.tar.gz", tar[: len(tar) // 2]), "damaged")
    fails(zipped(tmp_path / "doc.zip", {"[Content_Types].xml": b"x"}), "Office")
    fails(zipped(tmp_path / "empty.zip", {}), "empty")


# --- places that are none --------------------------------------------------------------------------------------------------------


def test_places_that_are_none(tmp_path: Path) -> None:
    write(tmp_path / "flowers.csv", "a,b\n1,2\n")
    fails(tmp_path / "flower.csv", "did you mean 'flowers.csv'")
    fails(tmp_path / "no/such/place", "nothing is there")
    fails(str(tmp_path / "*.xyz"), "there are none")
    fails("", "empty text")
    fails("x" * 5000, "x")
    (tmp_path / "empty").mkdir()
    fails(tmp_path / "empty", "the folder is empty")
    write(tmp_path / "junk/a.doc", "x")
    write(tmp_path / "junk/b.exe", "x")
    fails(tmp_path / "junk", "1 .doc", "1 .exe")
    (tmp_path / "table.csv").mkdir()
    fails(tmp_path / "table.csv", "empty")


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    picture(tmp_path / "c/a/1.png")
    picture(tmp_path / "c/b/1.png")
    (tmp_path / "c/b/up").symlink_to(tmp_path / "c")
    (tmp_path / "c/b/self.png").symlink_to("self.png")
    (tmp_path / "c/a/gone.png").symlink_to("nothing.png")
    source = open_source(tmp_path / "c")
    assert len(rows_of(source)) == 2 and {place for place, _ in bad_of(source)} == {"b/up", "b/self.png", "a/gone.png"}
    fails(tmp_path / "c/b/self.png", "self.png")
    fails(tmp_path / "c/a/gone.png", "link to nothing.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,2\n")
    path.chmod(0)
    fails(path, "no permission")
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    fails(folder, "no permission")


def test_no_permission_as_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.csv", "a,b\n1,2\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    fails(path, "no permission")
