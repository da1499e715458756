"""Speech and questions as their collections come: LJSpeech, Common Voice, SQuAD."""

from __future__ import annotations

import json
import wave
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mapsto.config import Reading
from mapsto.data.open import open_source
from mapsto.data.resolve import asked as asked_signature
from mapsto.errors import DataError
from mapsto.source import Source, table_of
from mapsto.steps.rows import scanned
from mapsto.testing.readers import check_reader
from mapsto.types.audio import Audio


def sound(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((1000 * np.sin(np.arange(800))).astype("<i2").tobytes())
    return path


def typed(source: Source) -> str:
    """The signature that the layout suggests, with its types."""
    signature, _ = asked_signature(None, source, Reading())
    return str(scanned(source, signature, Reading())[0])


def bad_of(source: Source) -> dict[str, str]:
    return {bad.where: bad.why for chunk in source.chunks() for bad in chunk.bad}


def ljspeech(top: Path, lines: list[str]) -> Path:
    for number in range(3):
        sound(top / f"wavs/LJ001-000{number}.wav")
    (top / "metadata.csv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (top / "README").write_text("a voice")
    return top


LINES = [
    'LJ001-0000|Printing, "in the only sense|Printing, in the only sense',
    "LJ001-0001|in 1455, it is|in fourteen fifty-five, it is",
    "LJ001-0002|a third|a third",
]


def test_ljspeech(tmp_path: Path) -> None:
    place = ljspeech(tmp_path / "lj", LINES)
    source = check_reader("ljspeech", place)
    table = table_of(source)
    assert source.columns == ("audio", "text", "normalized_text")
    assert table["text"] == ['Printing, "in the only sense', "in 1455, it is", "a third"]
    assert table["normalized_text"][1] == "in fourteen fifty-five, it is"
    assert [Audio().read(cell) is not None for cell in table["audio"]] == [True] * 3
    assert typed(source) == "audio -> normalized_text:text" and type(open_source(place)) is type(source)


def test_ljspeech_of_two_cells_with_suffixes(tmp_path: Path) -> None:
    place = ljspeech(tmp_path / "voice", ["LJ001-0000.wav|one", "LJ001-0001.wav|two"])
    assert table_of(open_source(place))["text"] == ["one", "two"] and typed(open_source(place)) == "audio -> text"


def test_ljspeech_in_an_archive_below_a_folder(tmp_path: Path) -> None:
    place = ljspeech(tmp_path / "LJSpeech-1.1", LINES)
    with zipfile.ZipFile(tmp_path / "lj.zip", "w") as archive:
        for path in place.rglob("*"):
            archive.write(path, path.relative_to(tmp_path))
    assert table_of(open_source(tmp_path / "lj.zip"))["text"][2] == "a third"


def test_lines_of_ljspeech_that_do_not_fit_are_named(tmp_path: Path) -> None:
    source = open_source(ljspeech(tmp_path, [*LINES, "LJ001-0001|one|two|three", "LJ009|a|b", "../../etc/passwd|a|b"]))
    assert len(table_of(source)["text"]) == 3
    assert bad_of(source) == {
        "line 4": "expected 3 cells with '|' between, got 4",
        "line 5": "no file 'LJ009' in the folder",
        "line 6": "no file '../../etc/passwd' in the folder",
    }


def common_voice(top: Path, *tables: str) -> Path:
    for number in range(4):
        sound(top / f"clips/common_voice_de_{number}.wav")
    for number, table in enumerate(tables):
        rows = [f'speaker{number}\tcommon_voice_de_{number}.wav\t"Guten Tag, sagte sie.\t2\t0\t\tfemale\n'] * 2
        (top / f"{table}.tsv").write_text("client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\n" + "".join(rows), encoding="utf-8")
    return top


def test_common_voice(tmp_path: Path) -> None:
    place = common_voice(tmp_path, "train", "dev", "test", "other")
    source = check_reader("common_voice", place)
    chunks = list(source.chunks())
    assert source.columns == ("audio", "client_id", "sentence", "up_votes", "down_votes", "age", "gender")
    assert [name for chunk in chunks for name in chunk.split] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert {cell for chunk in chunks for cell in chunk.columns["sentence"]} == {'"Guten Tag, sagte sie.'}
    assert typed(source) == "audio -> sentence:text" and "other tables passed over: other" in source.said


def test_common_voice_without_splits(tmp_path: Path) -> None:
    source = open_source(common_voice(tmp_path, "validated", "invalidated"))
    assert set(table_of(source)["client_id"]) == {"speaker0"} and not source.divided


def test_common_voice_of_two_languages_is_asked_for_one(tmp_path: Path) -> None:
    common_voice(tmp_path / "de", "train")
    common_voice(tmp_path / "fr", "train")
    with pytest.raises(DataError, match="Name the folder of one"):
        open_source(tmp_path)


def squad(path: Path, paragraphs: list[Any], **more: Any) -> Path:
    path.write_text(json.dumps({**more, "data": [{"title": "Bees", "paragraphs": paragraphs}]}), encoding="utf-8")
    return path


CONTEXT = "Honey bees live in hives and fly by day."
ASKED = [
    {"id": "q1", "question": "Where do bees live?", "answers": [{"text": "hives", "answer_start": 19}, {"text": "in hives", "answer_start": 16}]},
    {"id": "q2", "question": "What do bees eat?", "answers": [], "is_impossible": True},
]


def test_squad(tmp_path: Path) -> None:
    source = check_reader("squad", squad(tmp_path / "train-v2.0.json", [{"context": CONTEXT, "qas": ASKED}], version="v2.0"))
    assert table_of(source) == {
        "id": ["q1", "q2"],
        "title": ["Bees", "Bees"],
        "context": [CONTEXT, CONTEXT],
        "question": ["Where do bees live?", "What do bees eat?"],
        "answers": [{"text": ["hives", "in hives"], "answer_start": [19, 16]}, {"text": [], "answer_start": []}],
    }
    assert typed(source) == "question:text, context:text -> answers:span"


def test_squad_in_train_and_dev(tmp_path: Path) -> None:
    for name in ("train-v1.1.json", "dev-v1.1.json"):
        squad(tmp_path / name, [{"context": CONTEXT, "qas": ASKED[:1]}])
    assert [name for chunk in open_source(tmp_path).chunks() for name in chunk.split] == ["train", "validation"]


def test_what_is_no_question_is_named(tmp_path: Path) -> None:
    wrong = [{"id": "q3", "answers": []}, {"id": "q4", "question": "?", "answers": [{"text": "x"}]}, 7]
    source = open_source(squad(tmp_path / "s.json", [{"context": CONTEXT, "qas": ASKED + wrong}, {"qas": []}]))
    assert len(table_of(source)["id"]) == 2
    assert list(bad_of(source)) == [*(f"article 1, paragraph 1, question {q}" for q in (3, 4, 5)), "article 1, paragraph 2"]
    with pytest.raises(DataError, match="found none"):
        open_source(squad(tmp_path / "e.json", []))
