"""Texts: every one is encoded, the same always, nothing lost that was promised; then trained on, predicted, resumed, extended."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders

import mapsto
from mapsto import api
from mapsto.batch import Draw, Ragged
from mapsto.cells import Blob, sound
from mapsto.errors import CellError, ConfigError, DataError, SignatureError
from mapsto.run import Run
from mapsto.types.text import Text
from mapsto.types.text._reading import WINDOWS
from mapsto.types.text.inputs import TEXT_INPUTS
from mapsto.types.text.ngrams import grams
from mapsto.types.text.pretrained import PUBLIC
from mapsto.types.text.stems import Texts
from mapsto.types.text.tokenizers import FIRST, MISSING, START, UNKNOWN, in_short_words, learn_tokenizer

pytestmark = pytest.mark.usefixtures("without_reports", "two_nets")

KINDS = ("words", "bpe", "char", "ngrams")
CORPUS = [
    "The cat sat on the mat.",
    "a dog ran, and ran",
    "שלום עולם",
    "مرحبا بالعالم",
    "北京今天天气很好",
    "Café déjà-vu 😀😀",
    "<pad> =1+1 <b>x</b>",
    "e\u0301 o\u0308",
] * 3
PIECES = [
    "<pad>",
    "<start>",
    "\ud83d",
    "\0",
    "😀",
    "👩‍👩‍👧",
    "\u202eabc",
    "שלום",
    "e\u0301",
    "\u0301\u0323",
    "ﬁ",
    "İ",
    "\U000e0041",
    "  ",
    "\r\n",
    "cat",
    "北京",
    "ไทย",
    "\ufeff",
]
ANY = st.lists(st.one_of(st.sampled_from(PIECES), st.text(st.characters(), max_size=12)), max_size=8).map("".join)
_rooms: dict[str, Text] = {}


def room_of(kind: str, texts: Sequence[str | None] = CORPUS, **options: Any) -> Text:
    column_type = Text.with_options("text", {"tokenizer": kind, **options})
    return column_type.fit([column_type.read(text) for text in texts], {"side": "input", "rows": len(texts), "name": "it"})


@pytest.fixture(scope="module", params=KINDS)
def column_type(request: pytest.FixtureRequest) -> Text:
    return room_of(request.param)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def collated(column_type: Text, texts: Sequence[str | None], draw: Draw | None = None) -> Texts:
    return column_type.collate(Ragged.of([column_type.encode(column_type.read(text)) for text in texts]), draw)


def tokens_of(column_type: Text, text: str) -> list[int]:
    """Without the bag."""
    return [int(number) for number in column_type.encode(column_type.read(text)) if number >= 0]


# ---- encoding ----


@given(text=ANY)
@example("\ud83d\ude00 \ud83d")
@example("\0")
@example("a" * 3000)
@settings(max_examples=150, deadline=None)
def test_any_text_is_encoded_the_same_each_time(column_type: Text, text: str) -> None:
    value = column_type.read(text)
    once = column_type.encode(value)
    column, problems = column_type.encode_column(["cat", text, None])
    assert not problems and once.dtype == np.int32
    np.testing.assert_array_equal(once, column[1])
    np.testing.assert_array_equal(once, column_type.encode(value))
    tokens, runs = once[once >= 0], once[once < 0]
    assert tokens[0] == (MISSING if value is None else START) and (tokens[1:] != MISSING).all() and (tokens[1:] > 0).all()
    assert tokens.max() < max(column_type.vocabulary_size, FIRST) and (len(tokens) <= column_type.most or column_type.kind == "ngrams")
    assert ((-1 - runs) // 256 < column_type.buckets).all() and ((-1 - runs) % 256 > 0).all()
    batch = collated(column_type, [text, "cat"])
    assert torch.isfinite(batch.bags.flat).all() and isinstance(column_type.show(value), str)


@given(text=ANY)
@settings(max_examples=150, deadline=None)
def test_composed_and_decomposed_accents_are_the_same_text(column_type: Text, text: str) -> None:
    text = sound(text)
    composed, decomposed = unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)
    np.testing.assert_array_equal(column_type.encode(composed), column_type.encode(decomposed))


@pytest.mark.parametrize("kind", TEXT_INPUTS)
def test_every_reading_keeps_the_contract(kind: str) -> None:
    wants = {PUBLIC: {"codes": learn_tokenizer("words", CORPUS, 100), "reach": 30}, "apart": {"apart": True}}.get(kind, {"tokenizer": kind})
    column_type = Text().fit(CORPUS, {"side": "input", "rows": len(CORPUS), "name": "it", **wants})
    assert column_type.kind == kind and column_type.about() and Text.from_json(column_type.to_json()) == column_type
    encoded = Ragged.of([column_type.encode(text) for text in (*CORPUS, None)])
    assert encoded.flat.numpy().dtype == column_type.layout.dtype and encoded.flat.shape[1:] == column_type.layout.shape[1:]
    assert column_type.steps(encoded).shape == column_type.summary_stats(encoded)["length"].shape == (len(CORPUS) + 1,) and len(column_type.similarity_embedding(encoded)) == len(CORPUS) + 1
    values = column_type.collate(encoded, None)
    pooled, stem = column_type.stem(None), column_type.stem(8)
    assert pooled(values).shape == (len(CORPUS) + 1, pooled.features) and pooled.gives == "pooled" and stem.gives == "tokens"
    tokens = stem(values)
    assert (tokens if isinstance(tokens, torch.Tensor) else tokens.values).shape[::2] == (len(CORPUS) + 1, 8)


def slow_grams(text: str) -> tuple[Counter, Counter]:
    """Runs of 2 to 5 characters, and of 1 and 2 words, as plain Python counts them."""

    def kind(sign: str) -> str:
        category, code = unicodedata.category(sign), ord(sign)
        if code >= 0x20000:
            return "single"
        if category[0] == "Z" or category in ("Cc", "Cf", "Cn"):
            return "space"
        unspaced = any(
            low <= code <= high
            for low, high in ((0xE00, 0xEFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
        )
        return "single" if category[0] in "PS" or unspaced else "word"

    signs, words, word = [" "], [], ""
    for sign in unicodedata.normalize("NFC", text) + " ":
        what = kind(sign)
        lower = sign.lower() if len(sign.lower()) == 1 and ord(sign) < 0x20000 else sign
        if what != "word" and word:
            words.append(word)
            word = ""
        if what == "space":
            signs += [] if signs[-1] == " " else [" "]
            continue
        signs.append(lower)
        if what == "single":
            words.append(lower)
        else:
            word += lower
    letters = Counter(tuple(signs[i : i + n]) for n in range(2, 6) for i in range(len(signs) - n + 1))
    return letters, Counter(tuple(words[i : i + n]) for n in (1, 2) for i in range(len(words) - n + 1))


@given(one=ANY, other=ANY)
@example("Aa aA", "AA aa.")
@settings(max_examples=150, deadline=None)
def test_runs_are_counted_as_plain_python_does(one: str, other: str) -> None:
    buckets = 1 << 44  # no two runs meet
    text, bucket, count = grams([one, other], buckets)
    for half in (0, 1):
        upper = (bucket >= buckets // 2) == (half == 0)
        slow = [slow_grams(each)[half] for each in (one, other)]
        mine = [dict(zip(bucket[upper & (text == i)].tolist(), count[upper & (text == i)].tolist(), strict=True)) for i in (0, 1)]
        assert [sorted(found.values()) for found in mine] == [sorted(found.values()) for found in slow]
        assert len(mine[0].keys() & mine[1].keys()) == len(slow[0].keys() & slow[1].keys())


def test_runs_stay_within_a_text_and_many_are_counted_as_one() -> None:
    alone = grams(["the cat"], 1 << 20)
    text, bucket, count = grams(["", "the cat", "", "zzz"], 1 << 20)
    np.testing.assert_array_equal(bucket[text == 1], alone[1])
    np.testing.assert_array_equal(count[text == 1], alone[2])
    assert (
        set(text.tolist()) == {1, 3} and all(len(part) == 0 for part in grams([], 1 << 20)) and all(len(part) == 0 for part in grams([" "], 1 << 20))
    )


@given(text=ANY)
@example("<pad> <unknown> <missing> <start>")
@settings(max_examples=150, deadline=None)
def test_pieces_of_bytes_lose_nothing(text: str) -> None:
    column_type = _rooms.setdefault("long bpe", room_of("bpe", max=5000))
    tokenizer = Tokenizer.from_str(column_type.codes)
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    tokens = tokens_of(column_type, text)
    assert UNKNOWN not in tokens
    assert tokenizer.decode(tokens[1:], skip_special_tokens=False) == unicodedata.normalize("NFC", sound(text) if text.strip() else "")


def test_names_of_special_tokens_are_text() -> None:
    for kind in KINDS[:3]:
        column_type = room_of(kind)
        for name in ("<pad>", "<missing>", "<start>", "<unknown>"):
            assert not set(tokens_of(column_type, name)[1:]) & {0, MISSING, START}
        assert tokens_of(column_type, "<pad>")[1:] and UNKNOWN not in tokens_of(column_type, "<pad>"), kind


def test_tokenizers_learned_twice_are_equal() -> None:
    """In other processes too: nothing may hang on the order of a hash."""
    draw = np.random.default_rng(0)
    texts = [" ".join(f"w{k}é" for k in draw.integers(0, 300, 12)) for _ in range(300)]  # many words equally often
    code = "import sys, hashlib; from mapsto.types.text.tokenizers import learn_tokenizer; t = sys.stdin.read().split('\\n')\nfor kind in ('words', 'bpe'): print(hashlib.md5(learn_tokenizer(kind, t, 150).encode()).hexdigest())"
    here = [hashlib.md5(learn_tokenizer(kind, texts, 150).encode()).hexdigest() for kind in ("words", "bpe")]
    for _ in range(2):
        there = subprocess.run([sys.executable, "-c", code], input="\n".join(texts), capture_output=True, text=True, encoding="utf-8", check=True)
        assert there.stdout.split() == here
    assert room_of("char") == room_of("char")


def test_words_are_lower_case_and_punctuation_stands_alone() -> None:
    column_type = room_of("words")
    assert tokens_of(column_type, "THE cat, sat!") == [*tokens_of(column_type, "the cat , sat"), UNKNOWN]
    assert tokens_of(column_type, "never-seen") == [START, UNKNOWN, tokens_of(column_type, "déjà-vu")[2], UNKNOWN]


def test_characters_beyond_the_alphabet_are_unknown() -> None:
    column_type = room_of("char", ["abcab", "abd"], size=9)
    assert column_type.alphabet == "abcd" and tokens_of(column_type, "dza") == [START, FIRST + 3, UNKNOWN, FIRST]


def test_what_is_no_text_is_refused_in_two_lines(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    for cell in (
        ["a", 3],
        {"a": 1},
        object(),
        np.zeros((2, 2)),
        b"\xff",
        Blob(str(tmp_path / "latin.txt"), "latin.txt"),
        Blob("/nowhere.txt", "nowhere.txt"),
    ):
        with pytest.raises(CellError) as caught:
            Text().read(cell)
        assert str(caught.value).count("\n") == 1
    assert [Text().read(cell) for cell in (7, 2.5, True, b"caf\xc3\xa9", np.str_("x"), np.float32("nan"), pd.NA, " \n")] == [
        "7",
        "2.5",
        "True",
        "café",
        "x",
        None,
        None,
        None,
    ]
    (tmp_path / "note.txt").write_text("a note", encoding="utf-8")
    assert Text().read(Blob(str(tmp_path / "note.txt"), "note.txt")) == "a note"


# ---- long texts ----

ALPHABET = "abcdefghijklmnopqrst"


def test_the_start_the_ends_or_all_of_a_long_text() -> None:
    def read(long: str) -> str:
        column_type = room_of("char", [ALPHABET] * 2, max=6, long=long)
        assert column_type.cut == 1.0 and f"{column_type.most} tokens" in column_type.said("x")
        return "".join(ALPHABET[number - FIRST] for number in tokens_of(column_type, ALPHABET)[1:])

    assert read("start") == "abcde" and read("ends") == "abrst" and read("windows") == ALPHABET
    short = room_of("char", [ALPHABET] * 2)
    assert short.cut == 0 and "longer" not in short.said("x")


def test_training_sees_one_window_and_testing_all() -> None:
    column_type = room_of("char", [ALPHABET] * 2, max=6, long="windows")
    seen = {tuple(collated(column_type, [ALPHABET, "ab"], Draw(0, step, 2)).values[0].tolist()) for step in range(200)}
    assert len(seen) == 21 - 6 + 1 and all(window[0] == START and np.diff(window[1:]).tolist() == [1] * 4 for window in seen)
    values = collated(column_type, [ALPHABET, "abcdefgh", "ab", None])
    views = column_type.views(values)
    assert len(views) == 4 and all(view.values.shape == (4, 6) for view in views)
    letters = [{number for view in views for number in view.values[row].tolist()} for row in range(4)]
    assert letters[0] >= set(range(FIRST, FIRST + 20)) and letters[1] >= set(range(FIRST, FIRST + 8))
    assert all(torch.equal(view.values[2:], views[0].values[2:]) and view.lengths[2:].tolist() == [3, 1] for view in views)
    assert len({tuple(view.values[1].tolist()) for view in views}) == 2  # nine places fill two windows, each as often
    assert len(column_type.views(collated(column_type, ["ab", "abc"]))) == 1
    far = room_of("char", [ALPHABET * 50] * 2, max=6, long="windows")
    assert len(far.views(collated(far, [ALPHABET * 50]))) == WINDOWS


def test_a_million_characters_take_the_room_of_some_thousand() -> None:
    million = "".join(f"word{i} " for i in range(120_000))[:1_000_000]
    for kind in KINDS:
        for long in ("start", "ends", "windows"):
            column_type = room_of(kind, ["a short text", million], long=long)
            assert len(column_type.encode(million)) < 120_000 and "20,000 characters (50.0% of them)" in column_type.said("x")
    ends = room_of("words", ["first", million], long="ends", grams=False)
    assert tokens_of(ends, "first" + million + " last")[-1] == UNKNOWN and tokens_of(ends, million + " first")[-1] == tokens_of(ends, "first")[1]


def test_hidden_tokens_are_a_share_and_drawn() -> None:
    column_type = replace(room_of("words", max=600), hide=0.25)
    texts = ["the cat sat " * 60] * 40 + ["cat"]
    plain, one, same, other = (collated(column_type, texts, draw) for draw in (None, Draw(0, 1, 41), Draw(0, 1, 41), Draw(0, 2, 41)))
    hidden = one.values != plain.values
    assert torch.equal(one.values, same.values) and not torch.equal(one.values, other.values)
    assert (one.values[hidden] == UNKNOWN).all() and not hidden[:, 0].any() and not hidden[~plain.mask].any()
    assert 0.2 < hidden[:40].float().mean() < 0.3 and torch.equal(one.bags.flat, plain.bags.flat)
    draw = Draw(0, 1, 2)  # another text of the row has another length
    assert collated(column_type, ["cat", "the dog"], draw).values.shape != collated(column_type, ["cat"] * 2, draw).values.shape


# ---- what is said ----


def test_a_column_that_is_no_text_is_told_so() -> None:
    said = {
        "category would do": ["red car", "blue car"] * 20,
        "nothing can be learned": ["the same text"] * 20,
        "names of files": [f"photos/{i}.png" for i in range(30)],
    }
    for words, texts in said.items():
        column_type = Text().fit(texts, {"side": "input", "name": "it"})
        assert words in column_type.said("it") and all(other not in column_type.said("it") for other in said if other != words)
    assert "would do" not in Text().fit(["one text", "another", "a third"], {"side": "input"}).said("it")


def test_options_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing is left to read"):
        room_of("ngrams", grams=False)
    for bad in ({"tokenizer": "letters"}, {"max": 0}, {"long": "middle"}, {"hide": 1.0}, {"size": 3}):
        with pytest.raises(ConfigError):
            Text.with_options("text", bad)


# ---- learning ----

TOPICS = {
    "sport": ["goal", "team", "match", "win", "player", "ball", "league", "coach", "score", "stadium"],
    "food": ["bread", "soup", "cheese", "salt", "cook", "oven", "dinner", "taste", "sugar", "recipe"],
}
COMMON = ["the", "a", "of", "and", "was", "with", "some", "very", "in", "on"]


def stories(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts of six words of one topic and two of the other among common ones; a rating, the words "fine" less those "awful"."""
    draw, rows = np.random.default_rng(seed), []
    for i in range(count):
        topic, other = ("sport", "food")[:: 1 if i % 2 else -1]
        fine, awful = draw.integers(0, 5, 2)
        words = [*draw.choice(TOPICS[topic], 6), *draw.choice(TOPICS[other], 2), *draw.choice(COMMON, 6), *["fine"] * fine, *["awful"] * awful]
        rows.append({"text": " ".join(draw.permutation(words)), "topic": topic, "rating": float(fine - awful), "age": int(draw.integers(18, 80))})
    return rows


def ignore(event: object) -> None:
    """Tests read results, not progress."""


def learned(rows: Any, signature: str, out: Path, steps: int = 120, **options: Any) -> Run:
    return mapsto.train(rows, signature, steps=steps, batch=16, out=out, emit=ignore, threads=1, no_samples=True, **options)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a short training; others test it."""
    monkeypatch.setattr("mapsto.report.reporting.written", lambda *words: "")


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return learned([{"text": row["text"], "topic": row["topic"]} for row in stories(400)], "text -> topic", tmp_path_factory.mktemp("runs"))


def test_a_text_to_a_category(topics: Run) -> None:
    assert topics.choice.model == "textcnn" and topics.signature.inputs[0].type == "text"
    found = topics.metrics["test"]["topic"]["accuracy"]
    assert found["value"] >= 0.95 and found["low"] > topics.metrics["baselines"]["topic"]["majority"]["accuracy"]["value"]


@pytest.mark.parametrize(
    ("reading", "model"),
    [
        ("text(tokenizer=bpe, grams=false)", "textcnn"),
        ("text(tokenizer=char, grams=false)", "textcnn"),
        ("text(tokenizer=char, max=30, long=windows)", "textcnn"),
        ("text(grams=false)", "textcnn"),
        ("text(grams=false)", "lstm"),
        ("text", "lstm(cell=gru, pooling=last)"),
        ("text(grams=false)", "transformer(width=64)"),
        ("text", "ngrams"),
        ("text", "linear"),
        ("text", "fusion"),
        ("text", "fusion(mix=attention)"),
    ],
)
@pytest.mark.usefixtures("no_report")
def test_every_reading_and_model_learns(reading: str, model: str, tmp_path: Path) -> None:
    rows = [{"text": row["text"], "topic": row["topic"]} for row in stories(250)]
    run = learned(rows, f"text:{reading} -> topic", tmp_path, steps=80, model=model, lr=0.02 if model in ("linear", "ngrams") else 3e-3)
    found = run.metrics["test"]["topic"]["accuracy"]
    assert found["value"] >= 0.85 and found["low"] > run.metrics["baselines"]["topic"]["majority"]["accuracy"]["value"]


@pytest.mark.usefixtures("no_report")
def test_a_text_to_a_number(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "rating": row["rating"]} for row in stories(500)]
    run = learned(rows, "text -> rating:number", tmp_path, steps=300)
    assert run.metrics["test"]["rating"]["r2"]["value"] > 0.7


def test_a_text_to_several_labels(tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(0), []
    for _ in range(400):
        about = [topic for topic in TOPICS if draw.random() < 0.5]
        words = [*draw.choice(COMMON, 8), *(word for topic in about for word in draw.choice(TOPICS[topic], 3))]
        rows.append({"text": " ".join(draw.permutation(words)), "about": about})
    run = learned(rows, "text -> about:categories", tmp_path)
    assert run.metrics["test"]["about"]["auc"]["value"] > 0.95


def test_a_text_and_a_number_to_a_category(tmp_path: Path) -> None:
    rows = [{"text": r["text"], "age": r["age"], "shown": "yes" if (r["topic"] == "sport") == (r["age"] < 50) else "no"} for r in stories(600)]
    run = learned(rows, "text, age:number -> shown:category", tmp_path, steps=300)
    found = run.metrics["test"]["shown"]["accuracy"]
    assert run.signature.inputs[0].type == "text"
    assert found["value"] > 0.8 > run.metrics["baselines"]["shown"]["linear"]["accuracy"]["value"]  # neither input says anything alone


def test_a_picture_a_text_and_a_number_to_two_outputs(tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(0), []
    for row in stories(300):
        light = float(draw.uniform(20, 230))
        photo = np.full((12, 12), light, np.uint8)
        case = ("dark", "bright")[light > 125] + " " + row["topic"]
        rows.append({"photo": photo, "notes": row["text"], "age": row["age"], "diagnosis": case, "days": light / 10 + row["age"] / 5})
    run = learned(rows, "photo:image, notes:text, age:number -> diagnosis:category, days:number", tmp_path, steps=250)
    assert run.choice.model == "fusion"
    assert run.metrics["test"]["diagnosis"]["accuracy"]["value"] > 0.8 and run.metrics["test"]["days"]["r2"]["value"] > 0.7


# ---- using a run ----


def test_a_text_is_predicted_in_every_form(topics: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the team had a goal in the match"
    table = tmp_path / "new.csv"
    pd.DataFrame({"text": [text, text]}).to_csv(table, index=False)
    (tmp_path / "coach").mkdir()
    monkeypatch.chdir(tmp_path)
    one = topics.predict(text).predictions["topic"]
    assert one.value == "sport" and one.probability > 0.8
    assert topics.predict({"text": text}).predictions["topic"].probability == pytest.approx(one.probability, abs=1e-5)
    for form in (
        [text, text],
        [text, "coach"],
        [text, None],
        {"text": [text, text]},
        [{"text": text}] * 2,
        table,
        str(table),
        [str(table)],
        pd.DataFrame({"text": [text] * 2}),
    ):
        many = topics.predict(form)
        assert len(many) == 2 and many[0].predictions["topic"].probability == pytest.approx(one.probability, abs=1e-5)
    for odd in ("", "goal", "a" * 100_000, "x\0y", "half \ud83d", "~nobody/goal", "what a goal?*", "goal/match"):
        assert topics.predict(odd).predictions["topic"].value in TOPICS
    with pytest.raises(DataError, match="nothing is there"):
        topics.predict("nwe.csv")  # a slip in a file's name is no text


def test_one_column_never_stands_for_two_texts(tmp_path: Path) -> None:
    rows = [{"title": row["text"][:20], "body": row["text"], "topic": row["topic"]} for row in stories(60)]
    run = learned(rows, "title:text(hide=0.1), body:text(hide=0.1) -> topic", tmp_path, steps=2, model="fusion(mix=attention)")
    assert run.predict({"title": "a goal", "body": "the team had a goal"}).predictions["topic"].value in TOPICS
    with pytest.raises(SignatureError, match="expected columns 'title', 'body', found text"):
        run.predict({"text": "the team had a goal"})


def test_texts_are_embedded_and_evaluated(topics: Run) -> None:
    found = topics.embed(["the goal of the team", "bread and soup", None])
    assert found.shape == (3, found.shape[1]) and np.isfinite(found).all() and not np.allclose(found[0], found[1])
    rows = [{"text": row["text"], "topic": row["topic"]} for row in stories(100, seed=1)]
    figures = topics.evaluate(rows)["topic"]["accuracy"]
    assert figures["n"] == 100 and figures["value"] >= 0.95


@pytest.mark.usefixtures("no_report")
def test_an_interrupted_training_goes_on_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mapsto.training.trainer.SAVE", 0.0)
    monkeypatch.setattr("mapsto.training.trainer.TICK", 0.0)
    table = tmp_path / "stories.csv"
    pd.DataFrame(stories(120)).to_csv(table, index=False)

    def cut(event: Any) -> None:
        if event["event"] == "step" and event["step"] >= 17:
            raise KeyboardInterrupt

    whole = learned(table, "text -> topic", tmp_path / "whole", steps=30)
    with pytest.raises(KeyboardInterrupt):
        mapsto.train(table, "text -> topic", steps=30, batch=16, out=tmp_path / "cut", emit=cut, threads=1)
    (path,) = (tmp_path / "cut").iterdir()
    resumed = api.resume(path, emit=ignore)
    assert resumed.status == "done" and api.same_weights(whole.path, path)
    _, equal = api.reproduce(path, emit=ignore)
    assert equal


@pytest.mark.usefixtures("no_report")
def test_extend_learns_new_texts_and_a_new_topic(tmp_path: Path) -> None:
    rows = [{"text": row["text"], "topic": row["topic"]} for row in stories(200)]
    run = learned(rows, "text -> topic", tmp_path)
    draw = np.random.default_rng(1)
    rocks = [{"text": " ".join(draw.choice(["granite", "quartz", "lava", "basalt", *COMMON], 10)), "topic": "rocks"} for _ in range(150)]
    more = api.extend(run.path, rocks, before=rows, steps=200, emit=ignore)
    assert more.types["output", "topic"].vocabulary == ("food", "sport", "rocks")
    assert more.predict("quartz and lava and granite").predictions["topic"].value == "rocks"
    assert more.predict("the team had a goal in the match").predictions["topic"].value == "sport"


def test_a_word_without_end_takes_no_longer_than_its_letters() -> None:
    """200,000 letters took 25 s; ordinary words give the same tokenizer, whatever stands beside them."""
    draw = random.Random(0)
    texts = [" ".join("".join(draw.choices("abcdefgh", k=5)) for _ in range(50)) for _ in range(40)]
    endless = "".join(draw.choices("abcdefgh", k=200_000))
    started = time.monotonic()
    learn_tokenizer("bpe", [*texts, endless, " " * 200_000], 300)
    assert time.monotonic() - started < 8
    for text in (endless, f"{endless} and on", " " * 1000, "a\n" * 500, ""):
        parts = list(in_short_words(text))
        assert "".join(parts) == text and max(len(word) for part in parts for word in part.split() or [part]) <= 256
    assert all(list(in_short_words(text)) == [text] for text in texts)
