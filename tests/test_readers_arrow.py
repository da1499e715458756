"""Arrow, feather, and what Hugging Face's `datasets` saves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mapsto.data.open import open_source
from mapsto.testing.readers import check_reader

ROWS = [{"x": i, "y": "even" if i % 2 == 0 else "odd"} for i in range(10)]


def test_arrow_and_feather(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    table = arrow.Table.from_pylist(ROWS)
    feather.write_feather(table, tmp_path / "a.feather")
    with arrow.OSFile(str(tmp_path / "a.arrow"), "wb") as file, arrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table, max_chunksize=4)
    check_reader("arrow", tmp_path / "a.feather", ROWS)
    check_reader("arrow", tmp_path / "a.arrow", ROWS)


def saved(folder: Path, rows: list[dict]) -> None:
    """As Hugging Face's `datasets` saves them."""
    arrow = pytest.importorskip("pyarrow")
    folder.mkdir(parents=True)
    table = arrow.Table.from_pylist(rows)
    with arrow.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file, arrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["no", "yes"], "_type": "ClassLabel"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))


def test_a_data_set_saved_by_hugging_face(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(6)]
    saved(tmp_path / "one", rows)
    source = check_reader("arrow", tmp_path / "one", [{**row, "label": ["no", "yes"][row["label"]]} for row in rows])
    assert source.guess == "text -> label:category"
    for split in ("train", "test"):
        saved(tmp_path / "both" / split, rows)
    (tmp_path / "both" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    both = check_reader("arrow", tmp_path / "both")
    assert both.divided and [split for chunk in both.chunks() for split in chunk.split] == ["train"] * 6 + ["test"] * 6


def test_classes_without_a_name_are_listed(tmp_path: Path) -> None:
    saved(tmp_path / "one", [{"text": f"text {i}", "label": (0, 1, 7, -1)[i % 4]} for i in range(8)])
    (chunk,) = open_source(tmp_path / "one").chunks()
    assert list(chunk.columns["label"]) == ["no", "yes", None] * 2  # -1 is no class, by its writer
    assert [(row.where, row.why) for row in chunk.bad] == [(f"row {i}", "'label': class 7, of which there are 2") for i in (2, 6)]
