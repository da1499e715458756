"""Ways to divide rows: the last of each group, whole classes, and who asks for them; and what a scan offers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import mapsto
from mapsto.cells import Blob
from mapsto.config import Reading, settings_of
from mapsto.data.once import Kept, KeptBlob
from mapsto.data.open import open_source
from mapsto.data.scan import cells_of, scan
from mapsto.data.split import TEST, TRAIN, VALIDATION, split
from mapsto.errors import ConfigError
from mapsto.steps.rows import make_ready

pytestmark = pytest.mark.usefixtures("without_reports")

VISITS = [{"user": f"u{u}", "day": day, "x": 10 * u + day, "y": "abcdef"[u % 6]} for day in range(10) for u in range(12)]


def divided(**reading: str) -> np.ndarray:
    source = open_source(VISITS)
    found = scan(source, ["x"], ["y"], group=reading.get("group"), time=reading.get("time"), weight=None)
    return split(found, Reading(**reading)).of  # type: ignore[arg-type]


def test_the_last_rows_of_each_group_are_held_back() -> None:
    of = divided(group="user", time="day")
    for user in range(12):
        days = [[row["day"] for row, one in zip(VISITS, of, strict=True) if row["user"] == f"u{user}" and one == part] for part in (TRAIN, VALIDATION, TEST)]
        assert all(days) and max(days[0]) < min(days[1]) and max(days[1]) < min(days[2])


def test_whole_classes_are_held_back() -> None:
    of = divided(group="y")
    parts = {row["y"]: {int(one) for other, one in zip(VISITS, of, strict=True) if other["y"] == row["y"]} for row in VISITS}
    assert all(len(part) == 1 for part in parts.values())
    assert {next(iter(part)) for part in parts.values()} == {TRAIN, VALIDATION, TEST}


def test_a_split_without_rows_is_told_in_its_own_terms() -> None:
    few = [{"x": i, "y": i % 2, "g": i % 3, "day": i % 2, "one": i % 2} for i in range(60)]
    for column, options, said in (
        ("x", {"group": "g"}, "no row is left for test and validation, so nothing is measured there: --group names 3 groups, and 4 are needed"),
        ("one", {}, "the rows have 2 different inputs, and 4 are needed"),
        ("x", {"time": "day"}, "no row is left for validation, so nothing is measured there: --time names 2 different times"),
    ):
        found = scan(open_source(few), [column], ["y"], group=options.get("group"), time=options.get("time"), weight=None)
        made = split(found.only(slice(0, 60 if options else 9)), Reading(**options))  # of nine rows equal ones are not the rule
        assert said in made.said


def test_classes_are_held_back_only_for_learners_made_for_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'y' is to be learned"):
        mapsto.train(VISITS, "x -> y", group="y", steps=1, out=tmp_path, emit=lambda event: None)


def test_folds_know_no_time() -> None:
    with pytest.raises(ConfigError, match="--time divides rows by time alone"):
        settings_of({"time": "day", "folds": 3})


def test_every_distinct_cell_of_training_rows() -> None:
    rows = np.arange(len(VISITS)) < 24
    found = cells_of(open_source(VISITS), {"user": "distinct", "day": "all"}, rows)
    assert sorted(found["user"]) == sorted({f"u{u}" for u in range(12)}) and found["day"] == [0] * 12 + [1] * 12


def test_a_file_is_read_once_where_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in "ab":
        (tmp_path / "set" / kind).mkdir(parents=True)
        for i in range(8):
            PIL.Image.new("L", (8, 8), 15 * i + ord(kind)).save(tmp_path / "set" / kind / f"{i}.png")
    reads: list[str] = []
    read = Blob.read
    monkeypatch.setattr(Blob, "read", lambda blob: reads.append(blob.path) or read(blob))
    ready = make_ready(open_source(tmp_path / "set"), None, settings_of({}), lambda event: None)
    assert ready.rows and sorted(reads) == sorted(set(reads)) and len(reads) == 16


def test_what_does_not_fit_into_memory_is_read_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345678")
    kept = Kept(space_left=4)
    assert [KeptBlob(str(tmp_path / "a"), "a", None, kept).read() for _ in range(2)] == [b"12345678"] * 2 and not kept.held
