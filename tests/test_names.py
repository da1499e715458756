"""Suffixes of names, read without a path for each: as pathlib has them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from mapsto.cells import Blob, leads_out
from mapsto.data.files import PACKED_SUFFIXES, Entry, inner_suffix, suffix_of

PIECES = ("a", "A.CSV", ".gz", ".txt", "x/y", "x.d/z", ".en", ".tar", ".XZ", "b.", "..c")


def test_suffixes_are_those_of_pathlib() -> None:
    for length in range(1, 4):
        for name in map("".join, itertools.product(PIECES, repeat=length)):
            path = Path(name.lower())
            assert suffix_of(name) == path.suffix, name
            assert inner_suffix(name) == (Path(path.stem).suffix if path.suffix in PACKED_SUFFIXES else path.suffix), name
    entry = Entry("b.CSV.gz", "/b.CSV.gz", 1, 2)
    assert entry.suffix == ".csv" and entry == Entry("b.CSV.gz", "/b.CSV.gz", 1, 2), "equal though one is asked"


def test_a_file_is_read_with_one_look_at_what_it_is(tmp_path: Path) -> None:
    inside, beside = tmp_path / "in", tmp_path / "in-side"
    inside.mkdir()
    beside.mkdir()
    (inside / "a").write_bytes(b"a")
    (beside / "b").write_bytes(b"b")
    (inside / "link").symlink_to(beside / "b")
    os.mkfifo(inside / "pipe")
    assert Blob(str(inside / "a"), "a", str(inside)).read() == b"a"
    assert not leads_out(str(inside), str(inside)) and leads_out(str(beside / "b"), str(inside))
    for name, problem in (("link", PermissionError), ("pipe", OSError), ("none", FileNotFoundError), ("", IsADirectoryError)):
        with pytest.raises(problem):
            Blob(str(inside / name), name, str(inside)).read()
