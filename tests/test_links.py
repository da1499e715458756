"""Links in a folder, and names in cells, lead nowhere out of it unless a person says so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import PIL.Image
import pytest

import mapsto
from mapsto.cells import Blob
from mapsto.cli import main
from mapsto.config import Reading
from mapsto.data.open import open_source
from mapsto.errors import DataError
from mapsto.source import Source, table_of
from mapsto.types.image import Image

FOLLOWED = Reading(follow_links=True)


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.full((4, 4, 3), shade, np.uint8)).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def bad_of(source: Source) -> dict[str, str]:
    return {bad.where: bad.why for chunk in source.chunks() for bad in chunk.bad}


def read_of(source: Source, column: str) -> list[str]:
    """Of every cell of pictures "read", or why it is not."""
    told = []
    for cell in table_of(source)[column]:
        try:
            Image().read(cell)
            told.append("read")
        except DataError as problem:
            told.append(str(problem))
    return told


def class_folders(top: Path) -> Path:
    secret = picture(top / "elsewhere/secret.png")
    picture(top / "data/a/1.png")
    picture(top / "data/b/1.png")
    (top / "data/b/2.png").symlink_to("1.png")
    (top / "data/b/3.png").symlink_to(secret)
    (top / "data/b/more").symlink_to(top / "elsewhere")
    return top / "data"


def texts(top: Path) -> Path:
    secret = write(top / "secret.txt", "the key is 1234\n")
    write(top / "data/a.txt", "hello there\n")
    (top / "data/b.txt").symlink_to(secret)
    return top / "data"


def tables(top: Path) -> Path:
    secret = write(top / "secret.csv", "a,b\n5,6\n")
    write(top / "data/train.csv", "a,b\n1,2\n")
    (top / "data/test.csv").symlink_to(secret)
    return top / "data"


@pytest.mark.parametrize(("made", "secret"), [(class_folders, "more/secret.png"), (texts, "the key is"), (tables, "'6'")])
def test_links_out_of_a_folder_are_left_out(made: Callable[[Path], Path], secret: str, tmp_path: Path) -> None:
    place = made(tmp_path)

    source, followed = open_source(place), open_source(place, FOLLOWED)

    assert secret not in str(table_of(source)) and secret in str(table_of(followed))
    assert any("links out of the folder" in said and "--follow-links" in said for said in source.said)
    assert not any("--follow-links" in said for said in followed.said)


def test_links_left_out_of_class_folders_are_in_quarantine(tmp_path: Path) -> None:
    bad = bad_of(open_source(class_folders(tmp_path)))
    assert set(bad) == {"b/3.png", "b/more"} and all("--follow-links" in why for why in bad.values())


def test_a_folder_that_is_itself_a_link_is_read(tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(class_folders(tmp_path))
    assert sum(map(len, open_source(tmp_path / "named").chunks())) == 3


def test_a_folder_of_links_alone_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").symlink_to(write(tmp_path / "a.txt", "hello\n"))
    with pytest.raises(DataError, match="--follow-links"):
        open_source(tmp_path / "data")


def test_a_pattern_matches_no_link_out_of_its_folder(tmp_path: Path) -> None:
    tables(tmp_path)
    with pytest.raises(DataError, match=r"test\.csv.\nName them one by one, or add --follow-links"):
        open_source(str(tmp_path / "data/*.csv"))
    assert sum(map(len, open_source(str(tmp_path / "data/*.csv"), FOLLOWED).chunks())) == 2
    assert sum(map(len, open_source([str(tmp_path / "data" / name) for name in ("train.csv", "test.csv")]).chunks())) == 2


@pytest.mark.parametrize("name", ["../elsewhere/secret.png", "ABSOLUTE", "b/3.png"])
def test_names_in_metadata_stay_in_its_folder(name: str, tmp_path: Path) -> None:
    place = class_folders(tmp_path)
    name = name.replace("ABSOLUTE", str(tmp_path / "elsewhere/secret.png"))
    write(place / "metadata.csv", f"file_name,y\na/1.png,1\nb/1.png,2\n{name},3\n")

    source, followed = open_source(place), open_source(place, FOLLOWED)

    assert len(table_of(source)["y"]) == 2 and list(bad_of(source)) == ["line 4"]
    assert "--follow-links" in bad_of(source)["line 4"]
    assert read_of(followed, "image") == ["read"] * 3


def beside(top: Path, names: list[str], suffix: str) -> Path:
    """A table of 21 names of pictures beside it, then others."""
    for number in range(21):
        picture(top / f"data/p{number}.png")
    picture(top / "secret.png")
    (top / "data/link.png").symlink_to(top / "secret.png")
    names = [f"p{number}.png" for number in range(21)] + [name.replace("TOP", str(top)) for name in names]
    if suffix == "csv":
        return write(top / "data/t.csv", "file,y\n" + "".join(f"{name},{row}\n" for row, name in enumerate(names)))
    rows: list[dict[str, Any]] = [{"file": {"bytes": None, "path": name}, "y": row} for row, name in enumerate(names)]
    return write(top / "data/t.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def test_names_in_cells_stay_beside_the_table(tmp_path: Path) -> None:
    table = beside(tmp_path, ["../secret.png", "TOP/secret.png", "link.png", "../data/p1.png"], "csv")
    told, followed = read_of(open_source(table), "file"), read_of(open_source(table, FOLLOWED), "file")
    assert told[:21] == ["read"] * 21 and told[24] == "read" and followed == ["read"] * 25
    assert all("--follow-links" in why for why in told[21:24])


def test_paths_in_structs_lead_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = beside(tmp_path, ["../secret.png", "TOP/secret.png"], "jsonl")
    monkeypatch.chdir(tmp_path / "data")
    told = read_of(open_source(table), "file")
    assert told[:21] == ["read"] * 21 and all("--follow-links" in why for why in told[21:])


def test_a_column_of_full_paths_is_read_and_said(tmp_path: Path) -> None:
    names = [str(picture(tmp_path / f"pictures/{number}.png")) for number in range(4)]
    table = write(tmp_path / "tables/t.csv", "file,y\n" + "".join(f"{name},{row}\n" for row, name in enumerate([*names, "../pictures/0.png"])))
    source = open_source(table)
    told = read_of(source, "file")
    assert told[:4] == ["read"] * 4 and "--follow-links" in told[4]
    assert any("full paths" in said for said in source.said)


def test_a_file_that_must_lie_in_a_folder_is_looked_at_when_it_is_read(tmp_path: Path) -> None:
    inside = write(tmp_path / "a/x.txt", "1")
    cell = Blob(str(inside), "x.txt", str(tmp_path / "a"))
    assert cell.read() == b"1"
    inside.unlink()
    inside.symlink_to(write(tmp_path / "b.txt", "2"))
    with pytest.raises(OSError, match="outside") as problem:
        cell.read()
    assert problem.value.errno and os.strerror(problem.value.errno)


def test_a_view_of_a_database_reads_no_other_file(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.csv", "a\nkey\n")
    with duckdb.connect(str(tmp_path / "x.duckdb")) as base:
        base.execute("CREATE TABLE t AS SELECT 1 AS a")
        base.execute(f"CREATE VIEW v AS SELECT * FROM read_csv('{secret}')")
    assert table_of(open_source(f"{tmp_path}/x.duckdb::t")) == {"a": [1]}
    with pytest.raises(DataError, match=r"x\.duckdb: the database answers: .*Cannot access file"):
        open_source(f"{tmp_path}/x.duckdb::v")


@pytest.mark.parametrize("how", ["link", "split"])
def test_files_of_a_datasets_folder_lie_in_it(how: str, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"x": [1, 2]})
    for place in ("other", "data/train"):
        (tmp_path / place).mkdir(parents=True)
        with arrow.OSFile(str(tmp_path / place / "d.arrow"), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        write(tmp_path / place / "state.json", json.dumps({"_data_files": [{"filename": "d.arrow"}]}))
        write(tmp_path / place / "dataset_info.json", "{}")
    write(tmp_path / "data/dataset_dict.json", json.dumps({"splits": ["train" if how == "link" else "../other"]}))
    if how == "link":
        (tmp_path / "data/train/d.arrow").unlink()
        (tmp_path / "data/train/d.arrow").symlink_to(tmp_path / "other/d.arrow")
    with pytest.raises(DataError, match="--follow-links"):
        open_source(tmp_path / "data")
    assert table_of(open_source(tmp_path / "data", FOLLOWED)) == {"x": [1, 2]}


# ---- files that lie elsewhere --------------------------------------------------------------------------------


def a_table_apart(place: Path) -> Path:
    """A table in one folder, the pictures that it names in another."""
    (place / "labels").mkdir()
    for i in range(12):
        picture = place / "pictures" / f"{'ab'[i % 2]}" / f"{i}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("L", (8, 8), 20 * i).save(picture)
    rows = [f"{'ab'[i % 2]}/{i},{'ab'[i % 2]}" for i in range(12)]
    (place / "labels" / "t.csv").write_text("\n".join(["id,y", *rows]) + "\n")
    return place / "labels" / "t.csv"


def test_files_are_found_in_the_folder_that_is_named(tmp_path: Path) -> None:
    table, root = a_table_apart(tmp_path), str(tmp_path / "pictures")
    source = open_source(table, Reading(root=root))
    cells = [cell for chunk in source.chunks() for cell in chunk.columns["id"]]
    assert all(cell.read().startswith(b"\x89PNG") for cell in cells) and len(cells) == 12
    rows = [{"id": f"a/{i}", "y": "a"} for i in range(0, 12, 2)]
    assert next(open_source(rows, Reading(root=root)).chunks()).columns["id"][0].read().startswith(b"\x89PNG")


@pytest.mark.parametrize(("root", "says"), [("nowhere", "expected a folder"), ("labels", "no column of t names files in it")])
def test_a_folder_without_them_is_refused(tmp_path: Path, root: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        open_source(a_table_apart(tmp_path), Reading(root=str(tmp_path / root)))


def test_a_run_finds_its_files_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = a_table_apart(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = mapsto.train(table, "id:image -> y", root="pictures", steps=1, out=tmp_path / "runs", emit=lambda event: None)
    monkeypatch.chdir(tmp_path / "labels")
    assert mapsto.api.extend(run.path, steps=1, emit=lambda event: None).status == "done"
    assert main(["predict", str(run.path), str(table), "--root", str(tmp_path / "pictures"), "--out", str(tmp_path / "a.csv")]) == 0
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 13


def test_counts_are_no_names_of_files(tmp_path: Path) -> None:
    """Rooms 1 to 9 beside plots/1.png to 9.png: these belong to something else."""
    (tmp_path / "plots").mkdir()
    for i in range(1, 10):
        PIL.Image.new("L", (8, 8)).save(tmp_path / "plots" / f"{i}.png")
    (tmp_path / "houses.csv").write_text("rooms,price\n" + "".join(f"{1 + i % 9},{i}\n" for i in range(60)))
    assert next(open_source(tmp_path / "houses.csv").chunks()).columns["rooms"][0] == "1"
    (tmp_path / "ids.csv").write_text("id,kind\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(1, 10)))
    assert isinstance(next(open_source(tmp_path / "ids.csv").chunks()).columns["id"][0], Blob)
