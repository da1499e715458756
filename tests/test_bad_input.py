"""Bad input: three lines at most that say what was expected, what came, where, and what to do; exit code 2; nothing half-written."""

from __future__ import annotations

import csv
import errno
import io
import json
import tarfile
import traceback
import tracemalloc
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from mapsto import api
from mapsto.cli import main
from mapsto.data.open import open_source
from mapsto.errors import MapstoError, RunError
from mapsto.training.eager import AdamW

pytestmark = pytest.mark.usefixtures("without_reports")

QUICK = ("--steps", "2", "--model", "mlp(width=8,depth=1,nets=1)", "--threads", "1")


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str) -> str:
    """What `mapsto train words` says; it must fail, be short, and leave no run behind that holds nothing."""
    code = main(["train", *words, "--out", str(tmp_path / "runs")])
    said = capsys.readouterr().err
    assert code == 2, said
    assert 1 <= len(said.strip().splitlines()) <= 3, said
    assert "Traceback" not in said
    left = [path for path in (tmp_path / "runs").glob("*") if not (path / "quarantine.csv").exists()]
    assert not left, left
    return said


def trained(tmp_path: Path, *words: str) -> Path:
    code = main(["train", *words, *QUICK, "--out", str(tmp_path / "runs")])
    assert code == 0
    return max((tmp_path / "runs").iterdir(), key=lambda path: path.stat().st_mtime)


def a_table(path: Path, text: str | bytes) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def rows(count: int = 40) -> str:
    return "a,b,y\n" + "".join(f"{i},{'xy'[i % 2]},{'no' if i % 3 else 'yes'}\n" for i in range(count))


def picture(path: Path, seed: int = 0, size: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)).save(path)


# ---- places and words ----


def test_unknown_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "flowers").mkdir()
    assert "flowers" in refused(capsys, tmp_path, str(tmp_path / "flower"))


def test_empty_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "empty" in refused(capsys, tmp_path, str(tmp_path / "empty"))


@pytest.mark.parametrize(("words", "hint"), [
    (("a, b -> y:categry",), "did you mean 'category'"), (("a:number(sise=3) -> y",), "'size'|loss|bins"), (("a -> z",), "choices|column"), (("a, b",), "neither a file nor"),
    (("-> ",), "nothing stands right"), (("a -> b -> y",), "2 arrows"), (("--target", "Y"), "did you mean 'y'"), (("--target", "y", "--model", "resnett"), "did you mean 'resnet'"),
    (("--target", "y", "--learner", "superviced"), "did you mean 'supervised'"), (("--target", "y", "--metric", "acc"), "accuracy"),
    (("--target", "y", "--optimizer", "adam"), "adamw"), (("--target", "y", "--minutes", "-1"), "more than 0"), (("--target", "y", "--steps", "x"), "expected a whole number"),
    (("--target", "y", "--steps", "5", "--epochs", "2"), "one budget"), (("--target", "y", "--stepz", "5"), "did you mean '--steps'"),
    (("--target", "y", "--model", "mlp(widht=3)"), "did you mean 'width'"), (("--target", "y", "--drop", "c"), "no column 'c'"), (("--target", "y", "--until", "0.9"), "METRIC=VALUE"),
    (("--target", "y", "--model", "./none.py"), "no file"), (("--target", "y", "--model", "resnet"), "takes one image"), ((), "which column"),
])  # fmt: skip
def test_words_that_mean_nothing(words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refused(capsys, tmp_path, a_table(tmp_path / "t.csv", rows()), *words)
    assert any(part in said for part in hint.split("|")), said


@pytest.mark.parametrize(("words", "hint"), [
    (("--momentum", "1.5"), "less than 1"), (("--warmup", "3"), "at most 1"), (("--batch", "8", "--micro-batch", "64"), "at most the 8 rows"),
    (("--threads", "9999"), "cores of this machine"), (("--lora", "0"), "rank of 1 or more"),
])  # fmt: skip
def test_options_out_of_range(words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert hint in refused(capsys, tmp_path, a_table(tmp_path / "t.csv", rows()), "--target", "y", *words)


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian", "x"]) == 2
    assert "did you mean 'train'" in capsys.readouterr().err


def test_files_stand_before_and_behind_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table, out = a_table(tmp_path / "t.csv", rows()), ("--out", str(tmp_path / "runs"))
    assert main(["train", "--threads", "1", "--steps", "2", table, "--model", "mlp(width=8,depth=1)", "a, b -> y", *out]) == 0
    run = str(next((tmp_path / "runs").iterdir()))
    for words in ([run, table, "--out", "o.csv"], [run, "--out", "o.csv", table], ["--out", "o.csv", run, table], [run, table, "--out", "o.csv", table]):
        said = tmp_path / "o.csv"
        assert main(["predict", *(str(said) if word == "o.csv" else word for word in words)]) == 0
        assert len(said.read_text().splitlines()) == 1 + 40 * words.count(table)
    assert main(["evaluate", "--json", run, table]) == 0 and main(["assess", run, "--no-samples", "cost"]) == 0
    capsys.readouterr()
    for words in ([table, "--text", "x"], ["--text", "x", table]):
        assert main(["predict", run, *words]) == 2 and "got both" in capsys.readouterr().err
        assert main(["score", run, *words]) == 2 and "got both" in capsys.readouterr().err
    assert main(["evaluate", run, table, "more.csv"]) == 2 and "one word too many" in capsys.readouterr().err


def test_a_read_only_output_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = main(["train", a_table(tmp_path / "t.csv", rows()), "--target", "y", "--out", str(tmp_path / "file")])
    said = capsys.readouterr().err
    assert code == 2 and "--out" in said and len(said.strip().splitlines()) <= 3


# ---- tables ----


def test_one_row(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "at least 2 rows" in refused(capsys, tmp_path, a_table(tmp_path / "t.csv", rows(1)), "--target", "y")


def test_two_rows_are_enough(tmp_path: Path) -> None:
    assert (trained(tmp_path, a_table(tmp_path / "t.csv", rows(2)), "--target", "y") / "model.safetensors").exists()


def test_one_class(tmp_path: Path) -> None:
    table = a_table(tmp_path / "t.csv", "a,y\n" + "".join(f"{i},same\n" for i in range(30)))
    path = trained(tmp_path, table, "a -> y:category", "--allow", "one-answer")
    assert json.loads((path / "metrics.json").read_text())["test"]["y"]["accuracy"]["value"] == 1.0


def test_all_cells_missing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "missing" in refused(capsys, tmp_path, a_table(tmp_path / "t.csv", "a,y\n" + "1,\n" * 20), "--target", "y")
    path = trained(tmp_path, a_table(tmp_path / "u.csv", "a,b,y\n" + "".join(f",{i},{'pq'[i % 2]}\n" for i in range(20))), "--target", "y")
    assert "'a' (every cell is missing)" in (path / "run.json").read_text()


def test_target_absent_in_test(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    test = a_table(tmp_path / "test.csv", "a,b\n1,x\n2,y\n")
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "--target", "y", "--test", test)
    assert json.loads((path / "metrics.json").read_text())["test"]["y"]["accuracy"]["value"] is not None
    assert any("2 rows named test hold no answer" in text for text in json.loads((path / "run.json").read_text())["said"])


def test_ragged_rows_are_quarantined(tmp_path: Path) -> None:
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows(60) + "1,x\n"), "--target", "y")
    assert "line 62" in (path / "quarantine.csv").read_text()


def test_too_many_unreadable_rows_stop(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{i if i % 4 else 'abc'},{i}\n" for i in range(60))
    said = refused(capsys, tmp_path, a_table(tmp_path / "t.csv", text), "a:number -> y:number")
    assert "--max-bad" in said and "line 2" in said


@pytest.mark.parametrize("text", [
    "\ufeffa,b,y\n".encode() + rows().split("\n", 1)[1].encode(), rows().replace("x", "é").encode("latin-1"), rows().replace("x", '"line one\nline two"').encode(),
    rows().replace("a,b,y", "a,a,y").encode(), rows().replace(",", ";").replace("1;", "1,5;").encode(), rows().replace(",x,", ",x\0,", 1).encode(), rows().encode("utf-16"),
], ids=["BOM", "latin-1", "quoted newlines", "duplicate names", "decimal comma", "NUL", "utf-16"])  # fmt: skip
def test_messy_tables_are_read(text: bytes, tmp_path: Path) -> None:
    assert (trained(tmp_path, a_table(tmp_path / "t.csv", text), "--target", "y") / "metrics.json").exists()


def test_infinities_and_text_in_numbers(tmp_path: Path) -> None:
    text = "a,y\n" + "".join(f"{'inf' if i == 7 else '1e999' if i == 9 else f'$1,{i:03d}.50'},{i * 0.5}\n" for i in range(80))
    path = trained(tmp_path, a_table(tmp_path / "t.csv", text), "a:number -> y:number")
    listed = (path / "quarantine.csv").read_text()
    assert "line 9" in listed and "line 11" in listed and listed.count("\n") == 3


def test_thousands_of_columns(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(24, 3_000)).round(2)
    header = ",".join(f"c{i}" for i in range(3_000)) + ",y"
    text = "\n".join([header, *(",".join(map(str, row)) + f",{'ab'[i % 2]}" for i, row in enumerate(values))])
    assert (trained(tmp_path, a_table(tmp_path / "wide.csv", text + "\n"), "--target", "y") / "metrics.json").exists()


def test_an_unseen_category_at_prediction(tmp_path: Path) -> None:
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "a, b -> y")
    answer = api.load(path).predict({"a": 3, "b": "never seen"})
    assert answer.predictions["y"].value in ("yes", "no")


# ---- texts ----

FOOD = ["bread", "soup", "cheese", "salt", "cook", "oven", "dinner", "taste"]
SPORT = ["goal", "team", "match", "win", "player", "ball", "league", "coach"]
STRANGE = {
    "emoji": "😀 👩‍👩‍👧 🏳️‍🌈 {}",
    "right to left": "שלום עולם {} مرحبا بالعالم \u202eabc\u202c",
    "marks": "e\u0301\u0323\u0302 Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢ {} ﷽",
    "html": "<script>alert(1)</script><b>{}</b> &amp; </td>",
    "formulas": "=1+1 {}",
    "commands": "=cmd|' /C calc'!A0 {}",
    "quotes and newlines": 'he said "{}",\nand\r\n"so" did I',
    "markdown and sql": "'); DROP TABLE x;-- | {} | [a](javascript:1)",
    "controls": "\x1b[31m{}\x1b[0m\u2028\ufeff",
}


def story(i: int, words: int = 8) -> str:
    return " ".join(np.random.default_rng(i).choice(SPORT if i % 2 else FOOD, words))


def told(path: Path) -> str:
    """What the run says of how it read its data."""
    return "\n".join(json.loads((path / "run.json").read_text(encoding="utf-8"))["said"])


def a_text_table(path: Path, rows: list[tuple], names: tuple[str, ...] = ("notes", "y")) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerows([names, *rows])
    return str(path)


def trained_on_text(tmp_path: Path, *words: str) -> Path:
    assert main(["train", *words, "--steps", "2", "--threads", "1", "--out", str(tmp_path / "runs")]) == 0
    return max((tmp_path / "runs").iterdir(), key=lambda path: path.stat().st_mtime)


@pytest.mark.parametrize("name", STRANGE)
def test_strange_texts_are_read_trained_on_and_answered(name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    texts = [STRANGE[name].format(story(i)) for i in range(60)]
    labels = [STRANGE[name].format("food" if i % 2 else "sport") for i in range(60)]
    path = a_text_table(tmp_path / "t.csv", list(zip(texts, labels, strict=True)))

    read = [cell for chunk in open_source(path).chunks() for cell in chunk.columns["notes"]]
    run = trained_on_text(tmp_path, path, "notes:text -> y:category")
    capsys.readouterr()
    assert main(["predict", str(run), path]) == 0

    assert read == texts
    labels = [unicodedata.normalize("NFC", label) for label in labels]
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 60 and {row["y"].strip() for row in rows} <= {label.strip() for label in labels}
    assert api.load(run).predict(texts[0]).predictions["y"].value in {label.strip() for label in labels}
    page = api.report(run, emit=lambda event: None).read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<b>sport" not in page


def test_a_nul_in_a_text(tmp_path: Path) -> None:
    table = a_table(tmp_path / "t.csv", "notes,y\n" + "".join(f"{story(i)}{chr(0) * (i == 5)},{i % 2}\n" for i in range(60)))
    assert "line 7" in (trained_on_text(tmp_path, table, "notes:text -> y:category") / "quarantine.csv").read_text()
    lines = a_table(tmp_path / "t.jsonl", "\n".join(json.dumps({"notes": story(i) + "\0", "y": i % 2}) for i in range(60)))
    assert not (trained_on_text(tmp_path, lines, "notes:text -> y:category") / "quarantine.csv").exists()


def test_halves_of_characters_in_json(tmp_path: Path) -> None:
    rows = [{"notes": story(i) + " \ud83d", "y": "yes\ud83d" if i % 2 else "no\ud83d\ude00"} for i in range(60)]
    path = a_table(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    answer = api.load(trained_on_text(tmp_path, path, "notes:text -> y")).predict("bread \ude00")
    assert answer.predictions["y"].value in ("yes\ufffd", "no\U0001f600")


def test_two_encodings_in_one_csv(tmp_path: Path) -> None:
    lines = [f"der schöne Käse für {story(i)},{i % 2}\n".encode("cp1252" if i in (0, 30) else "utf-8") for i in range(60)]
    path = a_table(tmp_path / "t.csv", b"notes,y\n" + b"".join(lines))
    read = [cell for chunk in open_source(path).chunks() for cell in chunk.columns["notes"]]
    assert read == [f"der schöne Käse für {story(i)}" for i in range(60) if i not in (0, 30)]
    run = trained_on_text(tmp_path, path, "notes:text -> y:category")
    assert "2 lines (the first: 2) are not utf-8" in told(run) and "line 32" in (run / "quarantine.csv").read_text()
    plain = a_table(tmp_path / "u.csv", b"notes,y\n" + b"".join(f"für {story(i)},{i % 2}\n".encode("cp1252") for i in range(60)))
    assert any("cp1252" in said for said in open_source(plain).said) and not any("two encodings" in said for said in open_source(plain).said)


def test_lines_of_json_in_another_encoding_are_quarantined(tmp_path: Path) -> None:
    lines = [f'{{"notes": "für {story(i)}", "y": {i % 2}}}'.encode("cp1252" if i == 7 else "utf-8") for i in range(60)]
    run = trained_on_text(tmp_path, a_table(tmp_path / "t.jsonl", b"\n".join(lines)), "notes:text -> y:category")
    listed = (run / "quarantine.csv").read_text()
    assert "line 8" in listed and listed.count("\n") == 2


def test_empty_and_endless_texts(tmp_path: Path) -> None:
    endless = "".join(f"word{i} " for i in range(130_000))[:1_000_000]
    texts = ["" if i % 5 == 0 else endless[i:] if i % 7 == 0 else story(i) for i in range(60)]
    run = trained_on_text(tmp_path, a_text_table(tmp_path / "t.csv", [(text, i % 2) for i, text in enumerate(texts)]), "notes:text -> y:category")
    assert "more than 20,000 characters" in told(run)
    stored = Path(json.loads((run / "run.json").read_text())["store"])
    assert sum(file.stat().st_size for file in stored.iterdir()) < 7 * 100_000 * 4
    tracemalloc.start()
    answers = api.load(run).predict([endless] * 200 + ["", None])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(answers) == 202 and peak < 700e6  # 200 MB of text


def test_texts_without_a_word_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = a_text_table(tmp_path / "t.csv", [("  " if i % 2 else "", i % 2) for i in range(60)])
    assert "all are missing" in refused(capsys, tmp_path, path, "notes:text -> y:category")


@pytest.mark.parametrize(("cells", "says"), [
    (["spam " * (1 + i % 7) for i in range(60)], "notes:category would do"), (["the same text"] * 60, "nothing can be learned from it (--drop notes)"),
    (["red car", "blue car"] * 30, "notes:category would do"), ([f"photos/{i}.png" for i in range(60)], "names of files"),
], ids=["one word", "all equal", "a category", "paths"])  # fmt: skip
def test_columns_that_are_hardly_texts_are_told_so(cells: list[str], says: str, tmp_path: Path) -> None:
    path = a_text_table(tmp_path / "t.csv", [(cell, i % 2) for i, cell in enumerate(cells)])
    assert says in told(trained_on_text(tmp_path, path, "notes:text -> y:category"))


def test_columns_called_like_types(tmp_path: Path) -> None:
    rows = [(story(i), i * 0.5, "food" if i % 2 else "sport", f"{'xyz'[i % 3]}") for i in range(60)]
    for names, asked, types in (
        (
            ("text", "number", "category", "image"),
            "text, number, image -> category",
            {"text": "text", "number": "number", "image": "category", "category": "category"},
        ),
        (("number", "category", "image", "text"), "number -> image, text", {"number": "text", "image": "category", "text": "category"}),
        (("image", "text", "number", "category"), "image:text, text -> number:category", {"image": "text", "text": "number", "number": "category"}),
        (
            ("category", "categories", "text", "number"),
            "category, number:category -> text, categories:number",
            {"category": "text", "number": "category", "text": "category", "categories": "number"},
        ),
    ):
        run = api.load(trained_on_text(tmp_path, a_text_table(tmp_path / "t.csv", rows, names), asked))
        assert {slot.name: slot.type for slot in (*run.signature.inputs, *run.signature.outputs)} == types
        assert run.predict(dict(zip(names, rows[0], strict=True))).predictions


def test_texts_among_other_things(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cells = [story(i) if i < 50 else [7, None, 2.5, True, ""][i % 5] for i in range(60)]
    path = a_table(tmp_path / "t.jsonl", "\n".join(json.dumps({"notes": cell, "y": "ab"[i % 2]}) for i, cell in enumerate(cells)))
    assert api.load(trained_on_text(tmp_path, path, "--target", "y")).signature.inputs[0].type == "text"
    cells[3], cells[9], cells[11] = ["words", 7], {"a": "dict"}, ["a", "list", "of", "words"]
    path = a_table(tmp_path / "u.jsonl", "\n".join(json.dumps({"notes": cell, "y": "ab"[i % 2]}) for i, cell in enumerate(cells)))
    listed = (trained_on_text(tmp_path, path, "--target", "y") / "quarantine.csv").read_text()
    assert "line 4" in listed and "line 10" in listed and "got int '7' among them" in listed and listed.count("\n") == 3
    capsys.readouterr()
    few = a_table(tmp_path / "v.jsonl", "\n".join(json.dumps({"notes": {"story": story(i)} if i % 3 else story(i), "y": "ab"[i % 2]}) for i in range(60)))
    assert "--max-bad" in refused(capsys, tmp_path / "few", few, "notes:text -> y")


def test_hardly_any_texts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "at least 2 rows" in refused(capsys, tmp_path, a_text_table(tmp_path / "1.csv", [(story(0), "a")]), "notes:text -> y")
    run = api.load(trained_on_text(tmp_path, a_text_table(tmp_path / "2.csv", [(story(i), "ab"[i]) for i in range(2)]), "notes:text -> y"))
    assert run.predict(story(0)).predictions["y"].value in ("a", "b")
    run = api.load(trained_on_text(tmp_path, a_text_table(tmp_path / "3.csv", [(story(i), "same") for i in range(40)]), "notes:text -> y:category", "--allow", "one-answer"))
    assert run.predict(story(0)).predictions["y"].value == "same"


@pytest.mark.parametrize(("words", "hint"), [
    (("notes -> a:image",), "cannot stand right of the arrow"), (("notes:text(tokenizer=ngrams) -> y",), "a bag without order"), (("notes:text(grams=false) -> y", "--model", "mlp"), "nothing is left to read"),
    (("a:number -> y", "--model", "lstm"), "takes one sequence"), (("notes:text, a -> y", "--model", "transformer"), "--model fusion"), (("notes:text(tokeniser=bpe) -> y",), "did you mean 'tokenizer'"),
    (("notes:text(long=middle) -> y",), "windows"), (("notes:text(max=0) -> y",), "more than 0|above 0|at least"), (("notes:text -> y", "--model", "transformer(width=30)"), "heads"), (("notes:text -> y", "--model", "textcnn(runs=x)"), "2 3 4"),
])  # fmt: skip
def test_words_about_texts_that_mean_nothing(words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = a_text_table(tmp_path / "t.csv", [(story(i), i % 7, "ab"[i % 2]) for i in range(60)], ("notes", "a", "y"))
    said = refused(capsys, tmp_path, path, *words)
    assert any(part in said for part in hint.split("|")), said


# ---- pictures ----


def test_corrupt_pictures_are_quarantined(tmp_path: Path) -> None:
    for i in range(60):
        picture(tmp_path / "set" / "pq"[i % 2] / f"{i:02d}.png", i)
    whole = (tmp_path / "set" / "p" / "00.png").read_bytes()
    (tmp_path / "set" / "p" / "zero.png").write_bytes(b"")
    (tmp_path / "set" / "q" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "set" / "q" / "text.png").write_bytes(b"no picture at all")
    path = trained(tmp_path, str(tmp_path / "set"))
    listed = (path / "quarantine.csv").read_text()
    assert all(name in listed for name in ("zero.png", "cut.png", "text.png"))


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    for i in range(30):
        picture(tmp_path / "set" / "pq"[i % 2] / f"{i:02d}.png", i)
    PIL.Image.new("1", (60_000, 60_000)).save(tmp_path / "set" / "p" / "bomb.png")
    path = trained(tmp_path, str(tmp_path / "set"))
    assert "bomb.png" in (path / "quarantine.csv").read_text() and "pixels" in (path / "quarantine.csv").read_text()


def test_a_directory_of_mixed_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mixed").mkdir()
    for name in ("a.doc", "b.xyz", "c.mp3"):
        (tmp_path / "mixed" / name).write_bytes(b"\x01\x02\x03")
    assert "mixed" in refused(capsys, tmp_path, str(tmp_path / "mixed"))


# ---- archives ----


def zipped(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as file:
        file.writestr("../../evil.csv", rows())


def tarred(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "slip.tar.gz", "w:gz") as file:
        text = rows().encode()
        member = tarfile.TarInfo("../evil.csv")
        member.size = len(text)
        file.addfile(member, io.BytesIO(text))


@pytest.mark.parametrize(("make", "name"), [(zipped, "slip.zip"), (tarred, "slip.tar.gz")])
def test_archives_that_write_outside(make: Callable[[Path], None], name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    make(tmp_path)
    refused(capsys, tmp_path, str(tmp_path / name), "--target", "y")
    assert not (tmp_path.parent / "evil.csv").exists() and not (tmp_path / "evil.csv").exists()


# ---- runs ----


def test_a_run_from_a_newer_version(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "a, b -> y")
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**record, "format": 99, "mapsto": "9.0"}))
    with pytest.raises(RunError, match=r"mapsto 9\.0 in format 99"):
        api.load(path)


def test_a_damaged_model(tmp_path: Path) -> None:
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "a, b -> y")
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(RunError, match="damaged"):
        api.load(path).predict({"a": 1, "b": "x"})


def test_a_run_that_lost_its_weights_or_its_record(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "a, b -> y")
    (path / "model.safetensors").unlink()
    for command in (["predict", str(path), str(tmp_path / "t.csv")], ["resume", str(path)]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "the file is missing" in said and "Copy the run again" in said and "mapsto reproduce" in said
    (path / "run.json").write_text("{}")
    assert main(["predict", str(path), "x.csv"]) == 2 and "format is missing" in capsys.readouterr().err
    assert main(["runs", str(path.parent)]) == 0
    said = capsys.readouterr().out
    assert path.name in said and "damaged" in said


def test_no_run_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["predict", str(tmp_path), "x.csv"]) == 2
    assert "expected a run" in capsys.readouterr().err


def test_prediction_without_the_columns(tmp_path: Path) -> None:
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "a, b -> y")
    with pytest.raises(MapstoError, match="expected columns 'a', 'b', found c, d"):
        api.load(path).predict([{"c": 1, "d": 2}, {"c": 3, "d": 4}])


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mapsto.training import checkpoint

    checkpoint.save(tmp_path, {"w": torch.ones(3)}, {"step": 1})

    def full(*words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(RunError, match=r"the disk is full.*\n.*mapsto resume"):
        patched.setattr("mapsto.files.os.fsync", full)
        checkpoint.save(tmp_path, {"w": torch.zeros(3)}, {"step": 2})
    tensors, note = checkpoint.load(tmp_path) or ({}, {})
    assert note["step"] == 1 and tensors["w"].sum() == 3
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint.safetensors"}


def test_a_full_disk_at_the_end_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    from mapsto.files import write_text
    from mapsto.steps import finish

    def full(*words: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(finish, "save_file", full)
    with pytest.raises(RunError, match=r"model.safetensors: the disk is full.*\n.*mapsto resume"):
        api.train(a_table(tmp_path / "t.csv", rows()), "a, b -> y", out=tmp_path / "runs", steps=2, model="mlp(width=8,depth=1)", threads=1)

    def no_space(*words: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mapsto.files.os.fsync", no_space)
    with pytest.raises(RunError, match=r"the disk is full.\nFree some space, or choose another place"):  # a folder of outputs is no run
        write_text(tmp_path / "said.csv", "1")


def test_between_the_shell_and_the_optimizer_lie_eight_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    step = AdamW.step

    def spy(self: AdamW, *words: object) -> object:
        seen.append([frame.name for frame in traceback.extract_stack() if "/mapsto/" in frame.filename])
        return step(self, *words)

    monkeypatch.setattr(AdamW, "step", spy)
    trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "--target", "y")
    assert seen[-1] == ["main", "train", "fit", "fit", "learn", "step", "update", "apply"]


def test_a_device_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    assert "this machine does not have it" in refused(capsys, tmp_path, a_table(tmp_path / "t.csv", rows()), "--target", "y", "--device", "cuda")


def test_time_and_group_together(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "Keep one" in refused(capsys, tmp_path, a_table(tmp_path / "t.csv", rows()), "--target", "y", "--time", "a", "--folds", "3")


def test_a_refused_extend_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    path = trained(tmp_path, a_table(tmp_path / "t.csv", rows()), "--target", "y")
    before = {file.name: file.read_bytes() for file in path.iterdir() if file.is_file() and file.name != "lock"}
    for bad in ("a,b\n1,x\n2,y\n", "a,b,y\n1,x,\n2,y,\n"):
        with pytest.raises(MapstoError):
            api.extend(path, a_table(tmp_path / "new.csv", bad), emit=lambda event: None, steps=2)
        assert api.load(path).status == "done"
        assert {name: (path / name).read_bytes() for name in before} == before
    more = api.extend(path, a_table(tmp_path / "more.csv", rows(60)), emit=lambda event: None, steps=2)
    assert more.status == "done"


def test_what_was_worth_saying_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "day,a,y\n" + "".join(f"0{i % 9 + 1}/0{i % 7 + 1}/2020,{i % 5},{'' if i % 3 else 'same' if i % 2 else 'other'}\n" for i in range(60))
    trained(tmp_path, a_table(tmp_path / "t.csv", text), "day, a -> y:category")
    said = capsys.readouterr().out
    assert "'day' is read as dates" in said and "'y' is missing in" in said and "also stand in training" not in said
