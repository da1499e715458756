"""The contract of a room, held over every file of types/; then what is each room's own."""

from __future__ import annotations

import hashlib
import io
import json
import math
import threading
import uuid
import warnings
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mapsto import registry
from mapsto.batch import Draw, Padded, Ragged
from mapsto.cells import Blob, Column
from mapsto.errors import CellError, ConfigError, DataError
from mapsto.testing import check_type
from mapsto.types.base import DataType
from mapsto.types.categories import Categories
from mapsto.types.category import Category
from mapsto.types.image import Image
from mapsto.types.number import Number
from mapsto.types.number.numerals import Moment

pytestmark = pytest.mark.usefixtures("one_thread")
RANDOM = np.random.default_rng(0)
DNA = ["".join(RANDOM.choice(list("ACGT"), 30)) for _ in range(40)]
WORDS = ["the", "a", "cat", "dog", "house", "runs", "over", "sees", "big", "small", "red", "in", "time", "river"]
PROSE = [" ".join(RANDOM.choice(WORDS, 9)) for _ in range(60)]
# For each type, columns of cells a person might have. A type without a line here has only its name held to the contract.
CELLS: dict[str, list[list[Any]]] = {
    "image": [
        [RANDOM.integers(0, 256, (12, 12), dtype=np.uint8) for _ in range(6)],
        [None, RANDOM.random((20, 15, 3)), PIL.Image.new("RGBA", (9, 9), (200, 3, 3, 128)), RANDOM.integers(0, 60000, (8, 30)).astype(np.uint16)],
    ],
    "number": [
        [1, 2.5, None, "3,000.5", "$ 7", True, "NA"],
        ["2011-01-01", date(2012, 5, 6), None, "3 Mar 2011", "13/02/2011 10:30"],
        [4],
        [7, 7, 7],
    ],
    "category": [["b", "a ", None, "b", "ä"], [3, 10, 1, "3", 3.0, float("nan")], [True, False], ["only"]],
    "categories": [
        [["x", "y"], [], None, ["z"]],
        ["a;b", "c", None, "b; c"],
        [{"p": 1, "q": None}, {"p": 0, "q": 1}],
        [np.array([0, 1, 1]), np.array([1, 0, 0])],
    ],
    "audio": [
        [RANDOM.normal(0, 0.1, 900).astype(np.float32), (RANDOM.integers(-9999, 9999, (700, 2)).astype(np.int16), 8000), None, (np.zeros(300), 8000)],
        [{"array": np.sin(np.arange(4000) / 9), "sampling_rate": 96_000}, np.array([3], np.int16), RANDOM.integers(0, 256, 50, dtype=np.uint8)],
    ],
    "span": [[{"text": "cat", "answer_start": 4}, None, "mat", {"text": ["a", "on the"], "answer_start": [0, 3]}], ["only"]],
    "tags": [[["O", "B-person", "I-person"], None, "B-place O", '["O"]', ["O"] * 9], [["NOUN", "VERB"], ("NOUN",)]],
    "text": [
        ["The cat sat.", "", None, "e\u0301t\xe9 \U0001f600 \u5317\u4eac", "<pad> <start>", "x\0y", "half \ud83d", 7, float("nan"), "  ", "a " * 40],
        DNA[:5],
        ["only"],
    ],
}
OPTIONS: dict[str, list[dict[str, Any]]] = {  # of types whose options change what they are
    "text": [{}, {"tokenizer": "bpe"}, {"tokenizer": "char", "max": 8, "long": "windows"}, {"tokenizer": "ngrams"}, {"grams": False, "long": "ends"}],
}
ANSWERS: dict[str, list[dict[str, Any]]] = {"text": [{}, {"tokenizer": "bpe"}, {"tokenizer": "char", "max": 8}]}  # the same right of the arrow


OUTPUTS = ("tags", "span")  # which stand right of the arrow alone


@dataclass(frozen=True)
class Case:
    """A column and the room fitted on it."""

    name: str
    n: int
    side: str
    options: tuple[tuple[str, Any], ...]
    kind: str = ""  # of head, right of the arrow

    def __str__(self) -> str:
        return f"{self.name} {self.n} {self.kind or self.side} {dict(self.options) or ''}".strip()

    @property
    def cells(self) -> list[Any]:
        return CELLS[self.name][self.n]

    @property
    def column_type(self) -> DataType:
        return fitted(self.name, self.cells, self.side, dict(self.options), **({"kind": self.kind} if self.kind else {}))


CASES = [
    Case(name, n, side, tuple(options.items()), kind)
    for name in registry.names("types")
    for n in range(len(CELLS.get(name, [])))
    for side in ("input", "output")
    for kind in (registry.entry("types", name).outputs if side == "output" else ("",))
    for options in (ANSWERS if side == "output" else OPTIONS).get(name, [{}])
    if kind != "ctc" or "max" not in options  # what is heard is as long as it is
    if side == "output" or name not in OUTPUTS
]
cases = pytest.mark.parametrize("case", CASES, ids=str)


def fitted(name: str, cells: list[Any], side: str = "input", options: dict[str, Any] | None = None, **spec: Any) -> DataType:
    column_type = registry.entry("types", name).with_options(name, options or {})
    return column_type.fit([column_type.read(cell) for cell in cells], {"side": side, "rows": len(cells), "name": "it", **spec})


def stored(column_type: DataType, cells: list[Any], rows: int | None = None) -> Any:
    """Encoded cells as `collate` takes them: a tensor, or Ragged."""
    arrays = column_type.encode_column(cells)[0][:rows]
    return Ragged.of(arrays) if column_type.layout.ragged else torch.from_numpy(arrays)


def dense(found: Any) -> torch.Tensor:
    """Values, or features, with their padding."""
    return found.values if isinstance(found, Padded) else found


# --- the contract --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.names("types"))
def test_every_file_holds_a_room_of_its_name(name: str) -> None:
    column_type = registry.entry("types", name)
    assert issubclass(column_type, DataType) and column_type.__doc__
    assert column_type.sniff(Column("c", [])) < 0.5 and column_type.sniff(Column("c", [None, None])) < 0.5
    assert set(column_type.reading) <= set(column_type.__dataclass_fields__)
    with pytest.raises(ConfigError, match="has no option"):
        column_type.with_options(name, {"surely_not": 1})


@cases
def test_a_type_keeps_its_contract(case: Case) -> None:
    """Fitting, JSON, encoding, batches of any size, stems, and what the data gate asks."""
    spec = {"kind": case.kind} if case.kind else {}
    check_type(registry.entry("types", case.name), case.cells, case.side, dict(case.options), **spec)


@pytest.mark.parametrize("case", [case for case in CASES if case.side == "output" and case.name not in (*ANSWERS, *OUTPUTS)], ids=str)
def test_members_are_averaged(case: Case) -> None:
    column_type = case.column_type
    arrays = stored(column_type, case.cells)
    head, hidden, target = column_type.output().head(16), torch.randn(len(arrays), 2, 16), column_type.collate(arrays, None)
    both, _ = head.loss(head(hidden), target, column_type.present(arrays))
    each = [head.loss(head(hidden[:, m]), target, column_type.present(arrays))[0] for m in range(2)]
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


@pytest.mark.parametrize("name", sorted(CELLS))
def test_all_cells_missing(name: str) -> None:
    if name not in OUTPUTS:
        check_type(registry.entry("types", name), [None, None])
    if registry.entry("types", name).outputs:
        with pytest.raises(DataError, match="'it'"):
            fitted(name, [None, None], "output")


@pytest.mark.parametrize("name", sorted(CELLS))
@pytest.mark.parametrize("cell", [object(), b"\0\1", {"a": {"b": 1}}, np.zeros((2, 2, 2, 2)), "\0"])
def test_strange_cells_are_read_or_refused_in_three_lines(name: str, cell: Any) -> None:
    for column in ([cell], [cell, "a"], [[cell], [cell]], [{"a": cell}]):
        assert 0 <= registry.entry("types", name).sniff(Column("c", column)) <= 1
    try:
        registry.entry("types", name)().read(cell)
    except CellError as problem:
        assert 1 <= len(str(problem).splitlines()) <= 3


def test_which_type_a_column_is() -> None:
    columns: dict[str, list[Any]] = {
        "number": [[*"34567"] * 9, [1, 2, 3] * 20, ["1.5", "2", None], ["2011-01-01", "2011-01-02"], [f"{k}" for k in range(100)], ["$1,200", "$3"]],
        "category": [
            ["male", "female"] * 5,
            [0, 1] * 5,
            ["1", "0"],
            [True, False],
            ["01234", "99999", "01234"],
            ["how are you today", "what is this thing"] * 30,
            [f"P-{i:05d}" for i in range(90)],
            [hashlib.md5(str(i).encode()).hexdigest() for i in range(80)],
            [str(uuid.UUID(int=i << 80 | i, version=4)) for i in range(80)],
            [f"docs/file {i}.txt" for i in range(90)],
            [f"C{i}" for i in range(80)],
        ],
        "text": [
            PROSE,
            PROSE[:3],
            ["Braund, Mr. Owen", "Cumings, Mrs. John"],
            [f"<p>{text}</p>" for text in PROSE],
            [f"={text}" for text in PROSE],
            [*PROSE[:50], 3, None, 4.5],
            DNA,
            ["CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "C1CCCCC1", "CC(C)CC1=CC=C(C=C1)C"] * 3
            + [f"C{'C' * i}(=O)N" for i in range(30)],
            ["".join(RANDOM.choice(list("ACDEFGHIKLMNPQRSTVWY"), RANDOM.integers(50, 300))) for _ in range(60)],
            ["".join(RANDOM.choice(list("\u6211\u4eec\u4eca\u5929\u53bb\u5317\u4eac\u770b"), RANDOM.integers(8, 30))) for _ in range(60)],
        ],
        "categories": [["a;b", "b", "a;c", "c;a"] * 3, [["a"], []], [np.array([0, 1])] * 2, ["comedy, drama", "drama", "comedy, crime", "crime"] * 4],
        "image": [
            [f"photos/{i}.jpg" for i in range(60)],
            [Blob("/x/a.png", "a.png")],
            [PIL.Image.new("L", (3, 3))],
            [{"bytes": b"\x89PNG", "path": None}],
            [np.zeros((4, 4), np.uint8)],
        ],
        "audio": [
            [f"clips/{i}.wav" for i in range(60)],
            [Blob("/x/a.FLAC", "a.FLAC")],
            [{"array": np.zeros(9), "sampling_rate": 8000}],
            [{"bytes": b"fLaC", "path": None}],
        ],
    }
    for name, found in columns.items():
        for cells in found:
            sure = {other: registry.entry("types", other).sniff(Column("x", cells)) for other in columns}
            assert max(sure, key=lambda other: sure[other]) == name, (cells[:3], sure)
    assert Category.sniff(Column("label", [*range(10)] * 50)) > Number.sniff(Column("label", [*range(10)] * 50))


# --- image ---------------------------------------------------------------------------------------------------------------------


def saved(picture: PIL.Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def test_pictures_of_any_mode_are_read() -> None:
    base = PIL.Image.fromarray(RANDOM.integers(0, 256, (20, 24, 3), dtype=np.uint8))
    for mode, planes in (("1", 1), ("L", 1), ("P", 3), ("RGB", 3), ("RGBA", 3), ("LA", 3), ("CMYK", 3), ("I", 1), ("F", 1), ("I;16", 1)):
        picture = base.convert("L").convert(mode) if mode in ("I", "F", "I;16") else base.convert(mode)
        array = Image().read(picture)
        assert (array is not None and array.shape == (20, 24, planes) and array.dtype == np.uint8) or mode in ("I;16", "I"), mode
    deep = RANDOM.integers(0, 65536, (10, 10)).astype(np.uint16)
    np.testing.assert_array_equal(Image().read(saved(PIL.Image.fromarray(deep), "PNG"))[..., 0], deep)
    assert fitted("image", [deep]).layout.dtype == "uint16"


def test_transparency_lies_on_white_and_the_first_frame_counts() -> None:
    clear = PIL.Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (Image().read(saved(clear, "PNG")) == 255).all()
    assert (Image().read(np.zeros((4, 4, 4), np.uint8)) == 255).all()
    frames = [PIL.Image.new("L", (6, 6), shade) for shade in (10, 200)]
    assert (Image().read(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])) == 10).all()


def test_orientation_is_followed() -> None:
    picture = PIL.Image.new("L", (30, 20))
    exif = picture.getexif()
    exif[0x0112] = 6  # turn by a quarter
    for form in ("JPEG", "PNG", "WEBP"):
        assert Image().read(saved(picture, form, exif=exif)).shape[:2] == (30, 20), form


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    noise = PIL.Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for form in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        data = saved(noise, form)
        for bad in (b"", data[: len(data) // 2], data[:20], b"hello, no picture"):
            path = tmp_path / f"bad.{form.lower()}"
            path.write_bytes(bad)
            with pytest.raises(CellError, match="folder/bad"):
                Image().read(Blob(str(path), f"folder/bad.{form}"))
    for missing in (str(tmp_path / "none.png"), str(tmp_path), "a\0b.png"):
        with pytest.raises(CellError, match="cannot be opened"):
            Image().read(missing)


def test_bombs_are_refused_before_decoding() -> None:
    def head(width: int, height: int) -> bytes:
        return saved(PIL.Image.new("1", (8, 8)), "PNG").replace(b"\0\0\0\x08\0\0\0\x08", width.to_bytes(4, "big") + height.to_bytes(4, "big"))

    import zlib

    def repaired(data: bytes) -> bytes:  # the header's checksum
        return data[:29] + zlib.crc32(data[12:29]).to_bytes(4, "big") + data[33:]

    for width, height in ((60_000, 60_000), (20_000, 8_920)):
        with pytest.raises(CellError, match="bomb"):
            Image().read(repaired(head(width, height)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(CellError, match="damaged"):  # 100 megapixels pass the guard, and no warning escapes
            Image(size=8).read(repaired(head(10_000, 10_000))[:60])


def test_reading_is_safe_in_threads() -> None:
    data = [saved(PIL.Image.fromarray(RANDOM.integers(0, 256, (40, 40, 3), dtype=np.uint8)), "PNG") for _ in range(8)]
    wanted, wrong = [Image().read(one) for one in data], []

    def work() -> None:
        for _ in range(10):
            wrong.extend(1 for one, array in zip(data, wanted, strict=True) if not np.array_equal(Image().read(one), array))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_size_channels_and_statistics_are_found() -> None:
    same = fitted("image", [np.full((28, 28), shade, np.uint8) for shade in (0, 255)])
    assert (same.side, same.planes, same.depth) == (28, 1, 8) and same.mean == (0.5,) and same.std == (0.5,)
    grey = np.repeat(RANDOM.integers(0, 256, (28, 28, 1), dtype=np.uint8), 3, 2)
    assert fitted("image", [grey]).planes == 1 and fitted("image", [grey], channels=3).planes == 3
    mixed = [np.zeros((side, side + 5, 3), np.uint8) for side in (40, 100, 900)]
    assert fitted("image", mixed).side == 100 and fitted("image", mixed, size=64).side == 64
    assert fitted("image", mixed, options={"size": 50}, size=64).side == 50
    assert fitted("image", [np.zeros((900, 900), np.uint8)]).side == 224


def test_long_pictures_are_padded_and_others_squeezed() -> None:
    column_type = fitted("image", [np.zeros((32, 32, 1), np.uint8)])
    wide = column_type.encode(np.full((10, 40, 1), 77, np.uint8))
    assert wide.shape == (1, 32, 32) and (wide == 77).all()  # padded in its border's colour
    ramp = np.linspace(0, 255, 80, dtype=np.uint8)[None].repeat(64, 0)[..., None]
    squeezed = column_type.encode(ramp)[0]
    assert squeezed[0, 0] < 10 and squeezed[0, -1] > 245  # nothing is cut away


def test_a_whole_array_is_encoded_in_one_stroke() -> None:
    arrays = RANDOM.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    column_type = fitted("image", list(arrays))
    np.testing.assert_array_equal(column_type.encode_column(arrays)[0], column_type.encode_column(list(arrays))[0])


def test_a_missing_picture_is_the_mean() -> None:
    column_type = fitted("image", [np.full((8, 8), shade, np.uint8) for shade in (100, 200)], options={"augment": "crop flip colour cutout randaugment"})
    arrays = torch.from_numpy(column_type.encode_column([None, np.full((8, 8), 90, np.uint8)])[0])
    for draw in (None, Draw(0, 0, 2)):
        found = column_type.collate(arrays, draw)
        assert (found[0] == 0).all() and not (found[1] == 0).all()


def test_augmentation_is_drawn_per_example_and_leaves_the_store_alone() -> None:
    pixels = RANDOM.integers(1, 256, (6, 16, 16, 3), dtype=np.uint8)
    plain = fitted("image", list(pixels))
    arrays = torch.from_numpy(plain.encode_column(list(pixels))[0])
    before = arrays.clone()
    for words in ("crop", "flip", "colour", "cutout", "randaugment", "crop flip colour cutout randaugment"):
        for depth in (8, 16):
            column_type = replace(fitted("image", list(pixels), options={"augment": words}), depth=depth)
            stored = arrays if depth == 8 else torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.uint16) * 257)
            one, same, other = (column_type.collate(stored, Draw(3, step, 6)) for step in (1, 1, 2))
            torch.testing.assert_close(one, same, rtol=0, atol=0)
            assert not torch.equal(one, other) and torch.isfinite(one).all() and one.shape == arrays.shape
            torch.testing.assert_close(column_type.collate(stored, None), plain.collate(arrays, None), atol=1e-4, rtol=1e-4)
    assert torch.equal(arrays, before)
    assert len(plain.views(arrays)) == 1 and torch.equal(replace(plain, augment="flip").views(arrays)[1], arrays.flip(3))
    with pytest.raises(ConfigError, match="flip"):
        Image.with_options("image", {"augment": "flips"})


def test_crop_shifts_by_a_twelfth_with_mirrored_edges_and_flip_mirrors() -> None:
    size = 16
    ramp = np.arange(256, dtype=np.uint8).reshape(1, size, size)
    column_type = Image(augment="crop flip").fit([ramp[0][..., None]], {})
    arrays = torch.from_numpy(np.concatenate([ramp] * 64))[:, None]
    moved = column_type.collate(arrays, Draw(0, 0, 64)) * column_type.std[0] * 255 + column_type.mean[0] * 255
    wanted = set()
    padded = np.pad(ramp[0], 1, mode="reflect")
    for dy in range(3):
        for dx in range(3):
            window = padded[dy : dy + size, dx : dx + size]
            wanted |= {window.tobytes(), window[:, ::-1].tobytes()}
    found = {row.tobytes() for row in moved[:, 0].round().numpy().astype(np.uint8)}
    assert found <= wanted and len(found) > 10


# --- number --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (3, 3),
        (2.5, 2.5),
        (True, 1),
        (Decimal("1.5"), 1.5),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        ("12", 12),
        (" -3.5e2 ", -350),
        ("1,234", 1234),
        ("1,234,567.8", 1234567.8),
        ("1.234.567,8", 1234567.8),
        ("3,5", 3.5),
        ("0,123", 0.123),
        ("$1,200", 1200),
        ("-$5", -5),
        ("12 €", 12),
        ("45%", 45),
        ("(1,234)", -1234),
        ("1 234", 1234),
        ("1'234.5", 1234.5),
        ("−7", -7),
        ("USD 30", 30),
        ("", None),
        ("NA", None),
        (None, None),
        (float("nan"), None),
        (np.float32("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (np.datetime64("NaT"), None),
    ],
)
def test_numbers_as_people_write_them(cell: Any, value: float | None) -> None:
    assert Number().read(cell) == value


@pytest.mark.parametrize("cell", ["inf", "-Infinity", float("inf"), "twelve", "1.2.3", [1, 2], "2011-13-01", "12:99", "A/5 21171", b"7x", "1e999"])
def test_what_is_no_number(cell: Any) -> None:
    with pytest.raises(CellError):
        Number().read(cell)
    column_type = fitted("number", [1.0, 2.0])
    array, problems = column_type.encode_column([5, cell, "6"])
    assert list(problems) == [1] and math.isnan(array[1]) and array[0] == 5 and array[2] == 6


def test_decimal_comma() -> None:
    column_type = Number(decimal=",")
    assert column_type.read("1,234") == 1.234 and column_type.read("1.234") == 1234 and column_type.read("1.234,5") == 1234.5 and column_type.read("7") == 7


@pytest.mark.parametrize(
    "cell",
    [
        "2011-02-01",
        "2011/02/01",
        "2011-2-1",
        "2011-02",
        "2011-02-01 00:00:00",
        "2011-02-01T00:00:00Z",
        "02/01/2011",
        "1.2.2011",
        "1 Feb 2011",
        "Feb 1, 2011",
        "01-Feb-2011",
        "February 1 2011",
        date(2011, 2, 1),
        datetime(2011, 2, 1),
        pd.Timestamp("2011-02-01"),
        np.datetime64("2011-02-01"),
    ],
)
def test_dates_as_people_write_them(cell: Any) -> None:
    value = Number().read(cell)
    assert isinstance(value, Moment) and value == datetime(2011, 2, 1).timestamp() - datetime(1970, 1, 1).timestamp()


def test_times_and_halves_of_the_day() -> None:
    assert Number().read("10:30") == 37800 and Number().read("1/1/1970 10:30 PM") == 81000 and Number().read("1/1/70 12:00 am") == 0


def test_day_or_month_first_is_a_column_matter() -> None:
    cells = ["01/02/2011", "13/02/2011", "03/04/2011"]
    column_type = fitted("number", cells)
    assert column_type.dates_day_first and column_type.show(column_type.read("01/02/2011")) == "2011-02-01"
    assert fitted("number", ["01/02/2011"], options={"day_first": True}).show(Number(day_first=True).read("01/02/2011")) == "2011-02-01"
    assert not fitted("number", ["01/02/2011", "02/13/2011"]).dates_day_first
    with pytest.raises(CellError, match="expected a date"):
        column_type.read("17")
    with pytest.raises(CellError, match="expected a number"):
        fitted("number", [1.0, 2.0]).read("2011-01-01")


def test_dates_know_calendar_and_trend() -> None:
    days = [str(np.datetime64("2011-01-01") + k) for k in range(800)]
    column_type = fitted("number", days)
    arrays = torch.from_numpy(column_type.encode_column(days)[0])
    found = column_type.collate(arrays, None)
    assert column_type.kind == "date" and not column_type.clock and found.shape == (800, 25)
    assert (found[:, 0].diff() > 0).all() and found[0, 18 + 5] == 1  # a Saturday
    assert found[31, 6 + 1] == 1 and (found[:, 6:18].sum(1) == 1).all()  # the first of February
    torch.testing.assert_close(found[0, 2:6], found[365, 2:6], atol=0.02, rtol=0)
    hours = fitted("number", ["2011-01-01 06:00", "2011-01-02 18:30"])
    assert hours.clock and hours.stem(8)(hours.collate(torch.zeros(3).double(), None)).shape == (3, 4, 8)
    stamps = np.array(days, "datetime64[ns]")
    np.testing.assert_array_equal(column_type.encode_column(stamps)[0], arrays.numpy())


def test_missing_numbers_have_their_own_vector() -> None:
    column_type = fitted("number", [1.0, 2.0, 3.0, 4.0, None])
    values = column_type.collate(torch.tensor([2.5, math.nan, 9.0], dtype=torch.float64), None)
    assert values[:, 1].tolist() == [0, 1, 0] and values[1, 0] == 0
    stem = column_type.stem(4)
    with torch.no_grad():
        stem.inner.chosen[0].missing.fill_(7.0)
    assert (stem(values)[1] == 7).all() and not (stem(values)[0] == 7).any()


@pytest.mark.parametrize("encoding", ["piecewise", "periodic", "plain"])
def test_slots_of_several_encodings_keep_their_names(encoding: str) -> None:
    torch.manual_seed(0)
    first, second = fitted("number", [1.0, 2.0, 5.0], options={"encoding": encoding}), fitted("number", ["2011-01-01", "2012-07-01"])
    stems = Number.stems({"d": second, "x": first, "e": second, "p": replace(first, encoding="plain")}, 6)
    values = {"d": second.collate(torch.tensor([1.3e9, 1.31e9]).double(), None), "x": first.collate(torch.tensor([1.0, 4.0]).double(), None)}
    values |= {"e": values["d"].clone(), "p": values["x"].clone()}
    before = stems(values)
    values["x"] = values["x"] + 1
    after = stems(values)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"x"}
    values["e"] = values["e"] + 1
    assert not torch.equal(stems(values)["e"], after["e"]) and torch.equal(stems(values)["d"], after["d"])


def test_piecewise_encoding_is_the_papers() -> None:
    column_type = fitted("number", [0.0, 1.0, 3.0], "input", {"encoding": "piecewise"})
    stem = column_type.stem(4).inner.chosen[0].encoding
    value = column_type.collate(torch.tensor([2.0, 0.25, 7.0, -100.0]).double(), None)[:, 0]
    torch.testing.assert_close(stem(value[:, None])[:, 0, :2], torch.tensor([[1, 0.5], [0.25, 0], [1, 2], [-1, 0]]))


def test_fit_is_on_the_scale_of_logarithms_where_asked() -> None:
    values = [10.0**k for k in range(6)]
    column_type = fitted("number", values, "output", {"log": True})
    head, arrays = column_type.output("regression").head(4), torch.tensor(values, dtype=torch.float64)
    wanted = (torch.log1p(arrays) - column_type.mean) / column_type.std
    torch.testing.assert_close(head.predict(wanted.float())["value"].double(), arrays, rtol=1e-4, atol=1e-3)
    assert head.loss(wanted.float(), column_type.collate(arrays, None))[0].abs().max() < 1e-9


def test_large_numbers_and_dates_stay_exact_as_targets() -> None:
    values = [10**12 + k for k in range(5)]
    column_type = fitted("number", values, "output")
    target = column_type.collate(torch.from_numpy(column_type.encode_column(values)[0]), None)
    assert target.tolist() == values
    dated = fitted("number", ["2011-01-01", "2011-01-02"], "output")
    assert dated.output("regression").head(4).decode({"value": np.array([1293840000.0])})[0].value == "2011-01-01"


def test_statistics_stay_when_a_room_is_extended() -> None:
    column_type = fitted("number", [1.0, 2.0, 3.0])
    assert column_type.fit([100.0, 200.0], {"side": "input"}) == column_type
    image = fitted("image", [np.zeros((8, 8), np.uint8)])
    assert image.fit([np.ones((9, 9, 3), np.uint8)], {"side": "input"}) == image


# --- category ------------------------------------------------------------------------------------------------------------------


def test_classes_are_sorted_as_numbers_or_words_and_new_ones_append() -> None:
    column_type = fitted("category", ["10", "9", 2, "b", "A"], "output")
    assert column_type.vocabulary == ("2", "9", "10", "A", "b")
    more = column_type.fit(["5", "b", "a"], {"side": "output"})
    assert more.vocabulary == ("2", "9", "10", "A", "b", "5", "a") and more.counts == (1, 1, 1, 1, 2, 1, 1)


def test_a_target_knows_every_distinct_value_however_rare() -> None:
    column_type = fitted("category", ["b", "a"], "output", distinct=["b", "c", None])
    assert column_type.vocabulary == ("a", "b", "c") and column_type.counts == (1, 1, 0) and column_type.output("classes").head(4).weight.shape == (3,)
    assert fitted("categories", ["a;b"], "output", distinct=["a;d"]).vocabulary == ("a", "b", "d")


def test_true_one_and_text_are_told_apart() -> None:
    column_type = fitted("category", [True, 1, "1", False, "true"], "output")
    assert column_type.vocabulary == ("1", "false", "true") and column_type.encode_column([1, True, 1.0, "true", np.int64(1)])[0].tolist() == [0, 2, 0, 2, 0]
    assert column_type.encode_column(np.array([1, 1, 1]))[0].tolist() == [0, 0, 0]


def test_unseen_classes_are_other_left_and_refused_right() -> None:
    left = fitted("category", ["cat", "dog"])
    assert left.encode_column(["dog", "bird", None])[0].tolist() == [3, 1, 0]
    right = fitted("category", ["cat", "dog"], "output")
    codes, problems = right.encode_column(["cot", "dog", None])
    assert codes.tolist() == [-1, 1, -1] and "not seen in training" in problems[0] and "did you mean 'cat'" in problems[0]


def test_rare_classes_of_an_input_are_other() -> None:
    cells = ["a"] * 800 + ["b"] * 700 + ["thrice"] * 3 + ["once"]
    assert fitted("category", cells).vocabulary == ("a", "b") and fitted("category", cells[600:]).vocabulary == ("a", "b", "thrice")
    assert "once" in fitted("category", cells, "output").vocabulary
    assert fitted("category", cells, options={"min_count": 1}).vocabulary == ("a", "b", "once", "thrice")
    many = fitted("category", [f"c{k}" for k in range(300)] + ["c7"] * 5, options={"min_count": 1})
    plain = many.stem(None)
    assert plain.features == 102 and plain(torch.from_numpy(many.encode_column(["c7"])[0]).long()).argmax() >= 2


def test_cross_entropy_is_the_textbooks() -> None:
    target = torch.tensor([0, 2, 1, -1])
    column_type = fitted("category", ["a", "a", "a", "b", "c"], "output", {"smoothing": 0.1})
    head, hidden = column_type.output("classes").head(5), torch.randn(4, 5)
    found, count = head.loss(head(hidden), target)
    wanted = torch.nn.functional.cross_entropy(head(hidden)[:3], target[:3], label_smoothing=0.1, reduction="none")
    torch.testing.assert_close(found[:3], wanted)
    assert count.tolist() == [1, 1, 1, 0] and found[3] == 0
    balanced = fitted("category", ["a", "a", "a", "b", "c"], "output", {"balance": True}).output("classes").head(5)
    assert balanced.weight.tolist() == pytest.approx([5 / 9, 5 / 3, 5 / 3])
    decoded = head.decode({name: value.detach().numpy() for name, value in head.predict(head(hidden)).items()})
    assert decoded[0].probability == max(decoded[0].detail["probabilities"].values()) and sum(
        decoded[0].detail["probabilities"].values()
    ) == pytest.approx(1)


def test_embedding_tables_of_several_slots_are_looked_up_apart() -> None:
    one, two = fitted("category", ["a", "b"]), fitted("category", ["x", "y", "z"])
    stems = Category.stems({"one": one, "two": two}, 3)
    found = stems({"one": torch.tensor([3, 1]), "two": torch.tensor([4, 0])})
    torch.testing.assert_close(found["one"][:, 0], stems.tables[0][[3, 1]])
    torch.testing.assert_close(found["two"][:, 0], stems.tables[1][[4, 0]])


# --- categories ----------------------------------------------------------------------------------------------------------------


def test_labels_of_every_writing() -> None:
    wanted = [[1, 1, 0], [0, 0, 1], [-1, -1, -1]]
    for cells in (
        ["a;b", "c", ""],
        ["a, b", "c", None],
        ["a|b", "c", "NA"],
        [["b", "a"], ("c",), None],
        ['["a", "b"]', '["c"]', None],
        [{"a", "b"}, {"c"}, None],
    ):
        column_type = fitted("categories", cells, "output")
        assert column_type.vocabulary == ("a", "b", "c") and column_type.encode_column(cells)[0].tolist() == wanted, cells
    assert fitted("categories", ["Smith, J; Lee", "Lee"]).vocabulary == ("Lee", "Smith, J")
    assert fitted("categories", ["a/b", "c"], options={"separator": "/"}).vocabulary == ("a", "b", "c")


def test_unknown_labels_are_masked() -> None:
    cells = [{"p": 1, "q": None}, {"p": 0, "q": 1.0}, {"q": float("nan"), "p": "1"}, {"q": 0}]
    column_type = fitted("categories", cells, "output")
    arrays = torch.from_numpy(column_type.encode_column(cells)[0])
    assert arrays.tolist() == [[1, -1], [0, 1], [1, -1], [-1, 0]]
    head = column_type.output("labels").head(4)
    per_row, count = head.loss(torch.zeros(4, 2), column_type.collate(arrays, None), column_type.present(arrays))
    assert count.tolist() == [1, 2, 1, 1]
    torch.testing.assert_close(per_row, count * math.log(2))
    assert fitted("categories", [{"p": 1}, {"q": 1}]).encode({"p": True}).tolist() == [1, 0]  # only positives are ever named: closed


def test_arrays_name_labels_by_number() -> None:
    arrays = RANDOM.integers(0, 2, (5, 12))
    column_type = fitted("categories", list(arrays), "output")
    assert column_type.vocabulary == tuple(map(str, range(12)))
    np.testing.assert_array_equal(column_type.encode_column(arrays)[0], arrays)
    np.testing.assert_array_equal(column_type.encode_column(list(arrays.astype(float)))[0], arrays)
    with pytest.raises(CellError, match="12 labels"):
        column_type.read(np.array([0, 1]))
    with pytest.raises(CellError, match="not seen"):
        column_type.encode(("12",))


def test_decoded_labels_are_those_above_one_half() -> None:
    column_type = Categories().fit([("a",), ("b",)], {"side": "output"})
    head = column_type.output("labels").head(2)
    predicted = {name: value.numpy() for name, value in head.predict(torch.tensor([[3.0, -3.0], [-1.0, -2.0]])).items()}
    assert [one.value for one in head.decode(predicted)] == [["a"], []]


# ---- numbers far from all others, and very small ones --------------------------------------------------------


@given(st.integers(0, 10_000), st.sampled_from([1e12, -1e20, 1e38]))
def test_a_few_far_numbers_do_not_make_the_spread(seed: int, far: float) -> None:
    values = np.random.default_rng(seed).normal(5, 2, 300)
    ordinary = Number().fit(values.tolist(), {"side": "output"})
    fitted = Number().fit([*values.tolist(), far], {"side": "output"})
    assert ordinary.cap == 0 and abs(fitted.mean - ordinary.mean) < 1e-9 and abs(fitted.std - ordinary.std) < 1e-9
    head = fitted.output("regression").head(1)
    loss, known = head.loss(torch.zeros(2), torch.tensor([far, math.nan], dtype=torch.float64))
    assert known.tolist() == [1, 0] and loss[0] <= fitted.cap**2 + 1e-3 and "far from all others" in fitted.said("y")


@given(st.integers(0, 10_000))
def test_amounts_of_many_orders_keep_their_tail(seed: int) -> None:
    values = np.exp(np.random.default_rng(seed).normal(0, 3, 500))
    assert Number().fit(values.tolist(), {}).cap == 0
    assert Number().fit([0.0] * 480 + [99999.0] * 20, {}).cap == 0  # as capital gains are


@pytest.mark.parametrize("unit", [1e-12, 1e-30, 1e-90])
def test_numbers_of_a_small_unit_are_numbers(unit: float) -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0]) * unit
    fitted = Number().fit(values.tolist(), {"side": "output"})
    head = fitted.output("regression").head(1)
    answered = head.predict(torch.tensor([(value - fitted.mean) / fitted.std for value in values]))["value"]
    np.testing.assert_allclose(answered.double().numpy(), values, rtol=1e-5)


def test_numbers_alike_but_for_rounding_are_one() -> None:
    assert Number().fit([0.1 + 0.2, 0.3] * 9, {}).edges == (-1.0, 1.0)
    assert Number().fit([1e-320, 2e-320, 5e-324], {}).edges == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((112, 92), "'photo': pictures of 92 × 112 pixels are squeezed onto squares of 92; else photo:image(size=…)"),
        ((40, 100), "'photo': pictures of 100 × 40 pixels are fitted whole, with borders, into squares of 40; else photo:image(size=…)"),
        ((300, 300), "'photo': pictures of 300 × 300 pixels are scaled to squares of 224; else photo:image(size=…)"),
        ((32, 32), ""),
    ],
)
def test_what_becomes_of_pictures_that_are_no_such_squares_is_said(shape: tuple[int, int], said: str) -> None:
    fitted = Image().fit([np.zeros((*shape, 1), np.uint8)] * 3, {})
    assert fitted.said("photo") == said and Image.from_json(json.loads(json.dumps(fitted.to_json()))) == fitted
    earlier = {name: value for name, value in fitted.to_json().items() if name != "usual"}
    assert Image.from_json(earlier).said("photo") == ""  # a run of an earlier version does not know
