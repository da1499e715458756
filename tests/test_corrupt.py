"""Inputs of every format, damaged at random: each ends in rows, in rows and a quarantine, or in three lines, and no
row goes without a word.

MAPSTO_CORRUPT says how many of each format (2,000 in all once a release: MAPSTO_CORRUPT=80).
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import random
import signal
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openpyxl
import PIL.Image
import polars as pl
import pytest
import soundfile

from mapsto.config import settings_of
from mapsto.data.open import open_source
from mapsto.errors import MapstoError
from mapsto.steps.rows import make_ready

TRIALS = int(os.environ.get("MAPSTO_CORRUPT", "4"))  # of each format
N = 60
COLORS = ["red", "green", "blue"]
WORDS = ["the", "a", "house", "river", "tree", "stone", "bird", "song", "walks", "sings", "stands", "falls"]


def words(row: int) -> str:
    draw = random.Random(row)
    return f"n{row} " + " ".join(draw.choice(WORDS) for _ in range(draw.randint(3, 8)))


def rows() -> list[dict[str, object]]:
    draw = random.Random(0)
    return [{"x": round(draw.gauss(0, 1), 4), "text": words(i), "y": COLORS[i % 3]} for i in range(N)]


def delimited(mark: str = ",") -> bytes:
    lines = [mark.join(["x", "text", "y"]), *(mark.join(map(str, row.values())) for row in rows())]
    return ("\n".join(lines) + "\n").encode()


def lines_of_json() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows()).encode()


def excel(path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [["x", "text", "y"], *(list(one.values()) for one in rows())]:
        book.active.append(row)
    book.save(path)


def arff(path: Path) -> None:
    head = "@relation r\n@attribute x numeric\n@attribute text string\n@attribute y {red,green,blue}\n@data\n"
    path.write_text(head + "".join(f"{row['x']},'{row['text']}',{row['y']}\n" for row in rows()))


def sqlite(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("create table t (x real, text text, y text)")
        file.executemany("insert into t values (?, ?, ?)", [tuple(row.values()) for row in rows()])
    file.close()


def picture(row: int, kind: str = "png") -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(row).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def sound(row: int, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.random.default_rng(row).normal(0, 0.1, 400), 8000, format=kind)
    return file.getvalue()


def folder_of(make: Callable[[int], bytes], suffix: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        for i in range(N):
            place = path / COLORS[i % 3] / f"{i:03d}{suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(make(i))

    return write


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for i in range(N):
            file.writestr(f"{COLORS[i % 3]}/{i:03d}.png", picture(i))


def tarred(path: Path, webdataset: bool = False) -> None:
    mode = "w:gz" if path.suffix == ".gz" else "w"
    with tarfile.open(path, mode) as file:
        for i in range(N):
            members = {f"{COLORS[i % 3]}/{i:03d}.png": picture(i)}
            if webdataset:
                members = {f"{i:03d}.png": picture(i), f"{i:03d}.cls": str(i % 3).encode()}
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                file.addfile(member, io.BytesIO(data))


def parallel(path: Path) -> None:
    path.mkdir()
    (path / "train.en").write_text("".join(f"{words(i)}\n" for i in range(N)))
    (path / "train.fr").write_text("".join(f"{words(i).upper()}\n" for i in range(N)))


def conll(path: Path) -> None:
    path.write_text("".join(f"{word} {'B-X' if word in ('house', 'tree') else 'O'}\n" for i in range(N) for word in [*words(i).split()]) + "\n")
    sentences = ["".join(f"{word} {'B-X' if word in ('house', 'tree') else 'O'}\n" for word in words(i).split()) for i in range(N)]
    path.write_text("\n".join(sentences) + "\n")


def annotated(path: Path) -> None:
    path.mkdir()
    lines = ["file_name,y", *(f"{i:03d}.png,{COLORS[i % 3]}" for i in range(N))]
    (path / "metadata.csv").write_text("\n".join(lines) + "\n")
    for i in range(N):
        (path / f"{i:03d}.png").write_bytes(picture(i))


def idx(path: Path) -> None:
    path.mkdir()
    pixels, labels = np.random.default_rng(0).integers(0, 255, (N, 8, 8)).astype(np.uint8), np.arange(N) % 3
    sizes = b"".join(int(size).to_bytes(4, "big") for size in pixels.shape)
    (path / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + sizes + pixels.tobytes())
    (path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + N.to_bytes(4, "big") + labels.astype(np.uint8).tobytes())


def npz(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (N, 8, 8)).astype(np.uint8)
    np.savez_compressed(path, x_train=pixels, y_train=np.arange(N) % 3)


def frame() -> pl.DataFrame:
    return pl.DataFrame(rows())


@dataclasses.dataclass(frozen=True)
class Format:
    """A valid input of N rows. checked: does the format tell of damage to itself, so that no row may go unsaid?
    Of the others a line may become part of its neighbour, and what was cut off can't be known."""

    name: str
    write: Callable[[Path], object]
    signature: str
    checked: bool = False


TABLE, IMAGE, SOUND = "x, text -> y", "image -> category", "audio -> category"
FORMATS = (
    Format("t.csv", lambda path: path.write_bytes(delimited()), TABLE),
    Format("t.tsv", lambda path: path.write_bytes(delimited("\t")), TABLE),
    Format("latin.csv", lambda path: path.write_bytes(delimited(";").replace(b"song", b"s\xf6ng")), TABLE),
    Format("t.csv.gz", lambda path: path.write_bytes(gzip.compress(delimited())), TABLE, checked=True),
    Format("t.jsonl", lambda path: path.write_bytes(lines_of_json()), TABLE),
    Format("t.json", lambda path: path.write_text(json.dumps(rows())), TABLE, checked=True),
    Format("t.jsonl.gz", lambda path: path.write_bytes(gzip.compress(lines_of_json())), TABLE, checked=True),
    Format("t.parquet", lambda path: frame().write_parquet(path), TABLE, checked=True),
    Format("t.arrow", lambda path: frame().write_ipc(path), TABLE, checked=True),
    Format("t.xlsx", excel, TABLE, checked=True),
    Format("t.arff", arff, TABLE),
    Format("t.sqlite", sqlite, TABLE),
    Format("png", folder_of(picture, ".png"), IMAGE, checked=True),
    Format("jpg", folder_of(lambda i: picture(i, "jpeg"), ".jpg"), IMAGE, checked=True),
    Format("wav", folder_of(sound, ".wav"), SOUND, checked=True),
    Format("flac", folder_of(lambda i: sound(i, "FLAC"), ".flac"), SOUND, checked=True),
    Format("texts", folder_of(lambda i: words(i).encode(), ".txt"), "text -> category", checked=True),
    Format("p.zip", zipped, IMAGE, checked=True),
    Format("p.tar.gz", tarred, IMAGE, checked=True),
    Format("w.tar", lambda path: tarred(path, webdataset=True), "image -> cls:category", checked=True),
    Format("parallel", parallel, "en:text -> fr:text"),
    Format("t.conll", conll, "words -> tags"),
    Format("annotated", annotated, "image -> y:category"),
    Format("idx", idx, IMAGE, checked=True),
    Format("a.npz", npz, IMAGE, checked=True),
)
SECONDS = 20  # for which nothing this small is read


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise AssertionError(f"hangs for {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damaged(data: bytes, draw: random.Random) -> tuple[bytes, str]:
    """One damage, as disks, networks and editors do them."""
    at = draw.randrange(len(data))
    more = draw.choice((1, 4, 50, 600))
    kind = draw.choice(("bit", "bytes", "cut", "zeros", "twice", "gone", "noise", "head", "swap"))
    match kind:
        case "bit":
            data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)]) + data[at + 1 :]
        case "bytes":
            data = data[:at] + draw.randbytes(more) + data[at + more :]
        case "cut":
            data = data[:at]
        case "zeros":
            data = data[:at] + bytes(more) + data[at + more :]
        case "twice":
            data = data[: at + more] + data[at:]
        case "gone":
            data = data[:at] + data[at + more :]
        case "noise":
            data = data[:at] + draw.randbytes(more) + data[at:]
        case "head":
            data = draw.randbytes(min(more, 16)) + data[min(more, 16) :]
        case "swap":
            half = len(data) // 2
            data = data[half:] + data[:half]
    return data, f"{kind} at {at}, {more}"


def counted(path: Path, signature: str) -> tuple[int, int, int]:
    """(rows read, rows left out by name, cells left out by name)."""
    settings = settings_of({"max_bad": 1.0})
    ready = make_ready(open_source(path, settings.reading), signature, settings, lambda event: None)
    return ready.store.n, len(ready.store.bad), len(ready.store.problems)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_damage_is_said_or_harmless(form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path / "cache"))
    whole = tmp_path / "whole" / form.name
    whole.parent.mkdir()
    form.write(whole)
    assert counted(whole, form.signature) == (N, 0, 0)
    for trial in range(TRIALS):
        draw = random.Random(f"{form.name} {trial}")
        path = tmp_path / str(trial) / form.name
        path.parent.mkdir()
        form.write(path)
        file = path if path.is_file() else draw.choice(sorted(one for one in path.rglob("*") if one.is_file()))
        data, what = damaged(file.read_bytes(), draw)
        file.write_bytes(data)
        with at_most(SECONDS):
            try:
                read, bad, _ = counted(path, form.signature)
            except MapstoError as problem:
                assert len(str(problem).splitlines()) <= 3, (what, str(problem))
                continue
        if form.checked:
            assert read + bad >= N, (what, file.name, read, bad)
