"""Weka's tables, dense and sparse."""

from __future__ import annotations

from pathlib import Path

from mapsto.testing.readers import check_reader


def test_arff_dense_and_sparse(tmp_path: Path) -> None:
    head = "% a comment\n@relation iris\n\n@attribute 'petal width' numeric\n@attribute colour {red,'light blue'}\n@ATTRIBUTE class {a,b}\n\n@data\n"
    (tmp_path / "dense.arff").write_text(head + "1.5,red,a\n2,'light blue',b\n?,red,?\n4,red\n")
    (tmp_path / "sparse.arff").write_text(head + "{0 1.5, 2 b}\n{1 'light blue'}\n{}\n")
    rows = [("1.5", "red", "a"), ("2", "light blue", "b"), (None, "red", None)]
    names = ("petal width", "colour", "class")
    source = check_reader("arff", tmp_path / "dense.arff", [dict(zip(names, row, strict=True)) for row in rows])
    assert source.guess == "* -> class" and [bad.where for chunk in source.chunks() for bad in chunk.bad] == ["line 12"]
    rows = [("1.5", "red", "b"), ("0", "light blue", "a"), ("0", "red", "a")]
    check_reader("arff", tmp_path / "sparse.arff", [dict(zip(names, row, strict=True)) for row in rows])
