"""`mapsto look`: what is shown of a set at each stage, for any type, and that nothing is trained or written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mapsto.cli import main
from mapsto.config import settings_of
from mapsto.data.formats.memory import MemorySource
from mapsto.data.open import open_source
from mapsto.errors import MapstoError
from mapsto.look import Looked, look
from mapsto.look.drawn import RAMP, lines_of, picture_lines
from mapsto.look.sample import ROWS, sample


def looked(data: object, asked: str | None = None, **options: object) -> Looked:
    return look(data, asked, settings_of(options))


def test_a_table_at_every_stage(table: Path) -> None:
    found = looked(table, "x, shop -> sign, y:number")
    assert (found.rows_read, found.sampled, found.more, found.inputs) == (600, 600, False, 2)
    assert {c["name"]: c["type"] for c in found.columns} == {"x": "number", "shop": "category", "sign": "category", "y": "number"}
    why = {c["name"]: c["why"] for c in found.columns}
    assert why["y"] == "as asked" and why["shop"].startswith("category 0.80")
    assert next(c for c in found.columns if c["name"] == "x")["missing"] == "10%"
    where, part, cells = found.rows[0]
    assert where.startswith("line ") and part == "train"
    assert [cell.column for cell in cells] == ["x", "shop", "sign", "y"]
    shop = cells[1]
    assert shop.raw.strip("'") == shop.read and shop.encoded.startswith("int32 ")
    assert found.batch["inputs"]["x"].startswith("float32 (32, 2), ") and found.batch["targets"]["sign"].startswith("int64 (32,), 0 to 1")
    assert found.stems["x"] == "tokens float32 (32, 1, 8)" and set(found.outputs) == {"sign", "y"}
    assert found.weights > 1000 and found.model.startswith("mlp(")


def test_pictures_are_shown_augmented_and_drawn(photos: Path) -> None:
    found = looked(photos)
    cell = found.rows[0][2][0]
    assert cell.read == "16×16 colour" and cell.picture is not None and cell.picture.startswith(b"\x89PNG")
    assert cell.encoded.startswith("uint8 (1, 16, 16), ")
    assert "of the values changed" in found.augmented["image"]
    assert found.views["image"][0].shape == (16, 16, 1)
    plain, letters, colour = (lines_of(found, draw) for draw in ("", "letters", "colour"))
    assert len(plain) < len(letters) == len(colour)
    assert any("\x1b[38;2;" in line and "▀" in line for line in colour) and not any("\x1b" in line for line in [*plain, *letters])


@pytest.mark.parametrize("shape", [(10, 10, 1), (7, 40, 3), (300, 20, 3), (1, 1, 1)])
def test_pictures_of_any_shape_are_drawn(shape: tuple[int, ...]) -> None:
    light = np.ones(shape)
    letters, colour = picture_lines(light, "letters"), picture_lines(light, "colour")
    assert set("".join(letters)) == {RAMP[-1]} and len(letters) == len(colour)
    assert len({len(line) for line in letters}) == 1 and "255;255;255" in colour[0]


def test_a_look_writes_nothing(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["look", str(table), "--target", "sign"]) == 0
    assert "a training batch" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["look", str(photos), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["signature"].startswith("image -> category") and found["batch"]["inputs"]["image"].startswith("float32")
    assert "picture" not in found["rows"][0]["cells"][0]


def test_reading_options_and_models_count(table: Path) -> None:
    assert {c["name"] for c in looked(table, target="sign", drop="y").columns} == {"x", "shop", "sign"}
    assert looked(table, target="sign", model="linear").stems["shop"] == "pooled float32 (32, 5)"
    with pytest.raises(MapstoError, match="no column 'price'"):
        looked(table, target="price")


def test_wide_tables_show_their_first_columns() -> None:
    rng = np.random.default_rng(0)
    rows = [{**{f"g{k}": float(value) for k, value in enumerate(rng.normal(size=40))}, "y": "ab"[i % 2]} for i in range(60)]
    found = looked(rows, target="y")
    assert found.inputs == 40 and [c["name"] for c in found.columns] == [*(f"g{k}" for k in range(8)), "y"]
    assert set(found.stems) == {f"g{k}" for k in range(8)}
    assert "columns (the first 8 of 40 inputs)" in lines_of(found, "")


def test_cells_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    path = tmp_path / "ages.csv"
    lines = [f"{'old' if i % 3 == 0 else i},{'ab'[i % 2]}" for i in range(90)]
    path.write_text("\n".join(["age,y", *lines, "a,b,c,d"]) + "\n")
    found = looked(path, "age:number -> y")
    problems = [cell.problem for _, _, cells in found.rows for cell in cells if cell.problem]
    assert problems and "expected a number" in problems[0]
    assert any("rows or files left out: 1" in text for text in found.said)


def test_nothing_a_terminal_would_obey_is_shown() -> None:
    rows = [{"note": f"\x1b[2J{'<b>' if i % 2 else 'ü'} =1+1\n\x07", "y": "ab"[i % 2]} for i in range(60)]
    text = "\n".join(lines_of(looked(rows, "note:category -> y"), "letters"))
    assert not {"\x1b", "\x07"} & set(text)


def test_texts_are_sequences(tmp_path: Path) -> None:
    words = np.array(["ja", "nein", "vielleicht", "sehr", "gut", "שלום", "😀"])
    rng = np.random.default_rng(0)
    rows = [{"said": " ".join(rng.choice(words, rng.integers(1, 9))), "y": "ab"[i % 2]} for i in range(120)]
    found = looked(rows, "said:text -> y")
    assert "lengths" in found.batch["inputs"]["said"] and found.rows[0][2][0].encoded.startswith("int32 (")
    assert looked([{**row, "said": ""} if i % 2 else row for i, row in enumerate(rows)], "said:text -> y").rows


def test_large_sets_are_sampled_all_over(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("a,y\n" + "".join(f"{i},{i // 1000}\n" for i in range(10_000)))
    found = sample(open_source(path))
    assert found.total == 10_000 and ROWS / 2 <= len(found.rows) <= ROWS and not found.more
    assert {cells["y"] for cells, _, _ in found.rows} == set("0123456789")
    steps = np.diff([int(cells["a"]) for cells, _, _ in found.rows])
    assert (steps == steps[0]).all()


def test_a_sample_of_few_rows_is_all_of_them() -> None:
    rows = [{"a": i, "y": i % 2} for i in range(7)]
    found = sample(open_source(rows))
    assert isinstance(open_source(rows), MemorySource) and [cells["a"] for cells, _, _ in found.rows] == list(range(7))


def test_real_sets_can_be_looked_at(real_data: Path) -> None:
    found = looked(real_data / "noto-emoji64.zip", "image -> category:category")
    assert found.rows_read == 1609 and found.stems["image"].startswith("map float32")
    assert looked(real_data / "sms-spam.jsonl.gz", target="label").columns[0]["type"] == "text"
