"""Texts learned by themselves: the decoder against its formulas, the stream of blocks, files of any size, writing, and whole trainings."""

from __future__ import annotations

import gzip
import io
import json
import math
import pydoc_data.topics
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from test_exact import ignore, killed_and_resumed, only_run, same
from torch import Tensor, nn

import mapsto
from mapsto.cells import Continued
from mapsto.checks._passages import hashes
from mapsto.cli import main
from mapsto.config import Settings, options_of
from mapsto.data.files import entry_of
from mapsto.data.formats.prose import SHARES, pieces
from mapsto.data.open import open_source
from mapsto.errors import ConfigError, DataError, RunError
from mapsto.generation import sampling
from mapsto.generation.cached import Cached, drawn
from mapsto.generation.sampling import Sampling, opened, texts, tokens
from mapsto.learners._blocks import Epochs, frequencies
from mapsto.learners.base import Batches
from mapsto.learners.next_token import Stream
from mapsto.models.gpt import Config, Gpt
from mapsto.outputs._next_token import figures
from mapsto.outputs._text import sizes
from mapsto.outputs.base import Head
from mapsto.recipes import Facts, choose
from mapsto.report.reporting import kept
from mapsto.run import Run
from mapsto.signature import parse
from mapsto.types.text import Text
from mapsto.types.text.tokenizers import FIRST, START, pieces_of

pytestmark = pytest.mark.usefixtures("one_thread")

BOOK = "\n\n".join(text for _, text in sorted(pydoc_data.topics.topics.items()))[:150_000]  # of the language reference
SMALL = "gpt(width=64, depth=2, heads=2)"


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "reference.txt"
    path.write_text(BOOK, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(book: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    signature = "-> text:text(max=32)"
    return mapsto.train(
        book, signature, model=SMALL, steps=500, batch=16, out=tmp_path_factory.mktemp("runs"), emit=ignore, threads=1, precision="float32"
    )


# --- the decoder -----------------------------------------------------------------------------------------------------------------


class OneHead(nn.Module):
    """What `Heads` is to a decoder, without rooms."""

    def __init__(self, head: Head):
        super().__init__()
        self.head = head

    def items(self):
        return [("text", self.head)]

    def forward(self, hidden):
        return {"text": self.head(hidden)}


def decoder(vocabulary: int = 11, most: int = 8, **options) -> Gpt:
    """With every weight drawn: fresh ones are partly zero."""
    from mapsto.outputs._next_token_head import NextToken as Paragraph

    torch.manual_seed(0)
    config = Config(**{"width": 24, "depth": 2, "heads": 4, **options})
    model = Gpt(config, OneHead(Paragraph(config.width, vocabulary, most)))  # type: ignore[arg-type]
    for value in model.parameters():
        nn.init.normal_(value, std=0.3)
    return model.eval()


def reference(model: Gpt, tokens: list[int]) -> Tensor:
    """The decoder as its formulas stand in the papers, one position and one head at a time. -> (T, V)."""
    c = model.config
    heads, keys, size = c.heads, c.kv_heads or c.heads, c.width // c.heads

    def rms(x: Tensor) -> Tensor:
        return x / torch.sqrt((x * x).mean() + torch.finfo(torch.float32).eps)

    def turned(x: Tensor, place: int) -> Tensor:
        half = size // 2
        angle = torch.tensor([place / 10_000 ** (2 * i / size) for i in range(half)])
        a, b = x[:half], x[half:]
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()])

    xs = [rms(model.embedding.weight[token]) for token in tokens]
    for block in model.blocks:
        qkv = [block.attention.qkv.weight @ rms(x) for x in xs]
        parts = [[whole[i * size : (i + 1) * size] for i in range(heads + 2 * keys)] for whole in qkv]
        mixed = []
        for t in range(len(xs)):
            said = []
            for h in range(heads):
                k = h // (heads // keys)
                query = turned(rms(parts[t][h]), t)
                scores = torch.stack([query @ turned(rms(parts[s][heads + k]), s) / math.sqrt(size) for s in range(t + 1)])
                said.append(sum(w * parts[s][heads + keys + k] for s, w in enumerate(scores.softmax(0))))
            mixed.append(block.attention.out.weight @ torch.cat(said))
        xs = [x + m for x, m in zip(xs, mixed, strict=True)]
        for t, x in enumerate(xs):
            rise = block.feed_forward.rise.weight @ rms(x)
            if c.mlp == "swiglu":
                gate, value = rise.chunk(2)
                inner = gate * torch.sigmoid(gate) * value
            else:
                inner = rise.clamp(min=0) ** 2
            xs[t] = x + block.feed_forward.fall.weight @ inner
    return torch.stack([model.heads.head.project.weight @ rms(x) for x in xs])


@pytest.mark.parametrize("options", [{}, {"kv_heads": 2, "mlp": "swiglu"}, {"kv_heads": 1, "tied": False}], ids=str)
@torch.no_grad()
def test_logits_are_those_of_a_plain_reference(options: dict) -> None:
    model, said = decoder(**options), [3, 1, 4, 1, 5, 9, 2, 6]

    found = model({}, condition=torch.tensor([said, said[::-1]]))["text"]

    assert found.shape == (2, 8, 11)
    torch.testing.assert_close(found[0], reference(model, said), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[1], reference(model, said[::-1]), atol=1e-4, rtol=1e-4)
    assert (model.heads.head.project.weight is model.embedding.weight) == options.get("tied", True)


def test_quick_formulas_are_the_plain_ones() -> None:
    from mapsto.models.gpt import norm, relu_squared

    x = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(norm(x), nn.functional.rms_norm(x, (6,), eps=1e-6))
    torch.testing.assert_close(relu_squared(x), nn.functional.relu(x).square())
    assert torch.autograd.gradcheck(norm, x) and torch.autograd.gradcheck(relu_squared, x)
    assert torch.isfinite(norm(torch.zeros(2, 3))).all()


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_writing_with_a_cache_is_writing_without(kv_heads: int) -> None:
    model = decoder(vocabulary=40, kv_heads=kv_heads)
    prompt = np.array([[5, 6, 7], [7, 6, 5]])
    for how in (Sampling(tokens=40, temperature=0.0), Sampling(tokens=40, temperature=1.0, top_p=0.9)):  # five times the context
        with torch.no_grad():
            plain, cached = (list(tokens(Cached(model, cached=kept), prompt, (0, 1), how)) for kept in (False, True))
            alone = list(tokens(Cached(model), prompt[1:], (1,), how))
        assert plain == cached and len(plain) == 40
        assert [step[1] for step in plain] == [step[0] for step in alone]
    long = np.arange(20)[None] + FIRST
    with torch.no_grad():
        assert list(tokens(Cached(model), long, (0,), how)) == list(tokens(Cached(model), long[:, -8:], (0,), how))


def test_what_a_token_is_cannot_depend_on_what_follows() -> None:
    model = decoder()
    a, b = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[1, 2, 3, 9, 9]])
    with torch.no_grad():
        torch.testing.assert_close(model({}, condition=a)["text"][:, :3], model({}, condition=b)["text"][:, :3])


def test_widths_that_do_not_divide_are_refused() -> None:
    from mapsto.models import build

    column_type = Text().fit(["a text"], {"side": "output"})
    for options, word in (({"width": 30, "heads": 4}, "divide"), ({"heads": 4, "kv_heads": 3}, "divide")):
        with pytest.raises(ConfigError, match=word):
            build("gpt", parse("-> text"), {("output", "text"): column_type}, options)
    with pytest.raises(ConfigError, match="-> text"):
        build("gpt", parse("text -> text"), {("output", "text"): column_type, ("input", "text"): Text().fit(["a text"], {"side": "input"})}, {})


# --- blocks of the stream --------------------------------------------------------------------------------------------------------


class Held(Batches):
    """Documents of numbers in memory, as a store holds them on disk."""

    def __init__(self, documents: list[list[int]], train: list[int]):
        self.documents, self.train = documents, np.array(train, np.int64)

    def rows(self, split: str) -> np.ndarray:
        return self.train

    def flat(self, spot):
        return np.concatenate([np.array(one, np.uint16) for one in self.documents]), np.cumsum([0, *map(len, self.documents)])


@given(st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=12), st.data())
@examples(max_examples=60, deadline=None)
def test_a_stream_is_its_documents_behind_each_other(documents: list[list[int]], data: st.DataObject) -> None:
    train = sorted(data.draw(st.sets(st.integers(0, len(documents) - 1), min_size=1)))
    whole = [token for row in train for token in documents[row]]
    stream = Stream(Held(documents, train), "text", "train", block=4)
    assert len(stream) == len(whole)
    if whole:
        length = data.draw(st.integers(1, len(whole)))
        starts = np.arange(len(whole) - length + 1)
        assert stream.tokens(starts, length).tolist() == [whole[s : s + length] for s in starts]
        owner = [row for row in train for _ in documents[row]]
        assert stream.rows_at(starts).tolist() == [owner[s] for s in starts]


@pytest.mark.parametrize(("size", "block"), [(100, 7), (70, 7), (15, 7), (9, 7), (8, 7), (1000, 1)])
def test_an_epoch_says_every_token_of_its_blocks_once(size: int, block: int) -> None:
    blocks = size // block - 1 or 1
    order = Epochs(blocks, 3, block, min(block, size - blocks * block))
    firsts = []
    for epoch in range(20):
        starts = np.sort(order.take(epoch * blocks, blocks))
        assert (np.diff(starts) == block).all() and starts[0] >= 0 and starts[-1] + block + 1 <= size
        firsts.append(starts[0])
    assert len(set(firsts)) > 1 or size - blocks * block == 1  # blocks begin elsewhere each time
    np.testing.assert_array_equal(order.take(5, 9), Epochs(blocks, 3, block, min(block, size - blocks * block)).take(0, 14)[5:])


def test_frequencies_by_hand() -> None:
    stream = Stream(Held([[4, 5, 4, 5, 4, 6, 4]], [0]), "text", "train", block=2)
    single, double = frequencies(stream.pairs(), np.array([[4, 5]]), np.array([[5, 4]]), vocabulary=8)
    assert np.exp(-single[0]).tolist() == pytest.approx([(2 + 1) / (6 + 8), (3 + 1) / (6 + 8)])  # of the first six: 4 5 4 5 4 6
    assert np.exp(-double[0]).tolist() == pytest.approx([(2 + 5 * 3 / 14) / (3 + 5), (2 + 5 * 4 / 14) / (2 + 5)])


def test_figures_count_tokens_and_bytes() -> None:
    column_type = Text(tokenizer="char").fit(["aé北"], {"side": "output"})
    assert sizes(column_type.kind, column_type.codes, column_type.alphabet).tolist() == [0, 3, *[0] * 7, 1, 2, 3]
    found = {metric.name: metric for metric in column_type.output().metrics}
    target, predicted = np.array([[FIRST, FIRST + 1], [FIRST + 2, START]]), {"nats": np.array([2.0, 4.0])}
    assert found["loss"].reduce(found["loss"].rows(predicted, target)) == pytest.approx(1.5)
    assert found["perplexity"].reduce(found["perplexity"].rows(predicted, target)) == pytest.approx(math.exp(1.5))
    assert found["bits_per_byte"].reduce(found["bits_per_byte"].rows(predicted, target)) == pytest.approx(6 / math.log(2) / 6)
    assert not found["loss"].higher_is_better and figures(np.zeros(3))[0].name == "loss"


# --- how texts are written -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
def test_any_text_comes_back_from_its_tokens(tokenizer: str) -> None:
    column_type = Text(tokenizer=tokenizer).fit([BOOK[:3000]], {"side": "output"})
    strange = "naïve 北京 \U0001f600 <start>\n\ttab"
    array = column_type.encode(strange)
    table = pieces_of(column_type.kind, column_type.codes, column_type.alphabet)
    said = b"".join(table[token] for token in array).decode()
    assert array[0] == START and column_type.encode(Continued(strange))[0] != START and len(column_type.encode(None)) == 0
    assert said == strange if tokenizer == "bpe" else set(said) <= set(strange) | {"\ufffd"}
    assert b"".join(table[token] for token in column_type.encode(BOOK[:3000])).decode() == BOOK[:3000]
    assert sum(sizes(column_type.kind, column_type.codes, column_type.alphabet)[column_type.encode(BOOK[:3000])]) == len(BOOK[:3000].encode())


def test_characters_where_they_are_few_and_the_text_is_short_else_byte_pairs() -> None:
    kanji = "".join(chr(0x4E00 + i) for i in range(400))
    assert Text().fit([BOOK[:2000]], {"side": "output"}).kind == "char"
    assert Text().fit([kanji], {"side": "output"}).kind == "bpe"
    assert Text(max=64).fit([BOOK], {"side": "output"}).most == 64
    assert Text().fit(["short"], {"side": "output"}).most == 8


@pytest.mark.parametrize("options", [{"tokenizer": "words"}, {"tokenizer": "ngrams"}, {"hide": 0.1}, {"long": "ends"}, {"grams": True}])
def test_options_that_mean_nothing_here_are_refused(options: dict) -> None:
    with pytest.raises(ConfigError, match="has no meaning"):
        Text.with_options("text", options).fit(["a text"], {"side": "output"})


# --- files -----------------------------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.sampled_from("ab \n\r\té北\U0001f600"), min_size=1, max_size=3000), st.sampled_from(["utf-8", "utf-16"]))
@examples(max_examples=40, deadline=None)
def test_pieces_of_a_file_are_the_file(tmp_path_factory: pytest.TempPathFactory, text: str, encoding: str) -> None:
    path = tmp_path_factory.mktemp("any") / "any.txt"
    path.write_bytes((text * 5).encode(encoding))
    found = list(pieces(entry_of(path), SHARES))
    assert "".join(piece for _, piece, _ in found) == text * 5
    assert [isinstance(piece, Continued) for _, piece, _ in found] == [i > 0 for i in range(len(found))]


def test_a_file_is_divided_by_place(book: Path, tmp_path: Path) -> None:
    (packed := tmp_path / "reference.txt.gz").write_bytes(gzip.compress(BOOK.encode()))
    for path in (book, packed):
        source = open_source(path)
        cells = [(cell, part) for chunk in source.chunks() for cell, part in zip(chunk.columns["text"], chunk.split, strict=True)]
        assert source.guess == "-> text:text" and source.columns == ("text",)
        assert [part for _, part in cells] == sorted((part for _, part in cells), key=("train", "validation", "test").index)
        shares = [sum(len(cell) for cell, part in cells if part == name) / len(BOOK) for name in ("train", "validation", "test")]
        assert shares == pytest.approx(SHARES, abs=0.02)
        assert "".join(cell for cell, _ in cells) == BOOK


def test_a_long_file_is_read_at_flat_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    line = "all work and no play makes a long text\n"
    path.write_text(line * 600_000)  # 23 MB
    tracemalloc.start()
    size = sum(len(cell) for chunk in open_source(path).chunks() for cell in chunk.columns["text"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == len(line) * 600_000 and peak < 40e6


def test_many_files_are_documents_and_named_ones_divided(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / "many" / f"{i:02d}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / "many" / f"{i:02d}.txt").write_text(f"the story of number {i}\nand its end\n" * 300)
    for name in ("train", "valid", "test"):
        (tmp_path / "named" / f"wiki.{name}.txt").parent.mkdir(exist_ok=True)
        (tmp_path / "named" / f"wiki.{name}.txt").write_text(f"text to {name} with\nlines of its own\n" * 9)
    many, named = open_source(tmp_path / "many"), open_source(tmp_path / "named")
    assert sum(len(chunk) for chunk in many.chunks()) == 30 and not many.divided and many.guess == "-> text:text"
    cells = [(part, cell) for chunk in named.chunks() for cell, part in zip(chunk.columns["text"], chunk.split, strict=True)]
    assert {part: cell.split()[2] for part, cell in cells if not isinstance(cell, Continued)} == {
        "train": "train",
        "validation": "valid",
        "test": "test",
    }


def test_a_table_of_lines_is_still_one_for_runs_with_inputs(tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("first text\nsecond text\n")
    source = open_source(tmp_path / "new.txt").lines()
    assert [list(chunk.columns.values()) for chunk in source.chunks()] == [[("first text", "second text")]]


# --- trainings -------------------------------------------------------------------------------------------------------------------


def test_it_beats_frequencies_of_tokens_and_of_pairs(run: Run) -> None:
    test, beside = run.metrics["test"]["text"], run.metrics["baselines"]["text"]
    assert test["loss"]["high"] < beside["bigram"]["loss"]["low"] < beside["bigram"]["loss"]["high"] < beside["unigram"]["loss"]["low"]
    assert test["loss"]["low"] < test["loss"]["value"] < test["loss"]["high"] and test["loss"]["n"] > 200
    assert test["perplexity"]["value"] == pytest.approx(math.exp(test["loss"]["value"]))
    assert test["bits_per_byte"]["value"] == pytest.approx(test["loss"]["value"] / math.log(2), rel=1e-2)  # nearly all is ascii
    assert run.metrics["validation"]["text"]["loss"]["value"] < 3 and run.choice.learner == "next_token"


def test_writing(run: Run) -> None:
    first, second = run.sample(2, "The ", tokens=80, seed=1)
    assert first != second and first.startswith("The ") and 40 < len(first) <= 84
    assert run.sample(1, "The ", tokens=80, seed=1) == [first]  # the same alone and among others
    assert run.sample(1, "The ", tokens=80, temperature=0, seed=1) == run.sample(1, "The ", tokens=80, temperature=0, seed=2)
    stopped = run.sample(1, "The ", tokens=80, seed=1, stop=first[20:24])[0]
    assert stopped == first[: first.index(first[20:24], 4)]
    assert run.sample(1)[0] and "\ufffd" not in run.sample(1, tokens=300)[0]
    column_type = run.types["output", "text"]
    assert opened(column_type, "").tolist() == opened(column_type, "\n").tolist() and START not in opened(column_type, "The ")
    with pytest.raises(ConfigError, match="'北'"):
        run.sample(1, "北京")
    with pytest.raises(ConfigError, match="temperature"):
        run.sample(1, temperature=-1)


def test_a_text_is_scored_token_by_token(run: Run, tmp_path: Path) -> None:
    text, column_type = BOOK[5000:5090], run.types["output", "text"]
    tokens = np.concatenate([column_type.encode(Continued("\n")), column_type.encode(Continued(text))]).astype(np.int64)

    ((name, found),) = run.score([text])

    wanted, most = 0.0, column_type.most
    for place in range(1, len(tokens)):  # the first block has no more before it, then windows go on by half
        end = most + 1 if place <= most else most + 1 + -(-(place - most) // (most // 2)) * (most // 2)
        begin = max(0, min(end, len(tokens)) - 1 - most)
        with torch.no_grad():
            chance = run.model({}, condition=torch.from_numpy(tokens[begin:place])[None])["text"][0, -1].log_softmax(-1)
        wanted += float(chance[tokens[place]])
    assert name == "text 1" and found["tokens"] == 90 and found["unknown"] == 0
    assert found["log_probability"] == pytest.approx(wanted, abs=1e-3)
    assert found["perplexity"] == pytest.approx(math.exp(-wanted / 90), rel=1e-4)
    assert found["bits_per_byte"] == pytest.approx(-wanted / 90 / math.log(2), rel=1e-4)


def test_scores_of_files_rows_and_standard_input(run: Run, tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "long.txt").write_text(BOOK[:20_000])
    (tmp_path / "rows.jsonl").write_text('{"text": "The first."}\n{"text": null}\n{"text": "北"}\n')

    assert main(["score", str(run.path), str(tmp_path / "long.txt"), "--out", str(tmp_path / "long.jsonl")]) == 0
    assert main(["score", str(run.path), str(tmp_path / "rows.jsonl")]) == 0
    rows = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(BOOK[:300].encode())))
    assert main(["score", str(run.path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()[1:]

    long = json.loads((tmp_path / "long.jsonl").read_text())
    assert long["tokens"] == 20_000 and 1 < long["nats_per_token"] < 4
    assert rows[0].split(",")[:3] == ["text", "log_probability", "tokens"] and [row.split(",")[0] for row in rows[1:]] == ["line 1", "line 3"]
    assert rows[2].split(",")[2] == "0" and rows[2].endswith(",1") and line.split(",")[2] == "300"
    assert main(["score", str(run.path), str(tmp_path / "rows.jsonl"), "--text", "x"]) == 2


def test_a_prompt_beyond_the_context_is_said(run: Run, capsys) -> None:
    assert main(["sample", str(run.path), "--prompt", BOOK[:50], "--tokens", "3"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(BOOK[:50]) and "18 tokens longer than the net reads at once" in err


def test_learning_on_keeps_the_vocabulary(run: Run, tmp_path: Path) -> None:
    (tmp_path / "new.txt").write_text("Other letters only: qqq jjj.\n" * 300)

    later = mapsto.train(tmp_path / "new.txt", "-> text", start=str(run.path), steps=2, batch=4, out=tmp_path, emit=ignore, threads=1)

    ours, theirs = later.types["output", "text"], run.types["output", "text"]
    assert (ours.kind, ours.alphabet, ours.most) == (theirs.kind, theirs.alphabet, 32)


# --- text held back that also stands in the training text ------------------------------------------------------------------------


def test_every_run_of_tokens_has_a_hash_of_its_own() -> None:
    values = np.random.default_rng(0).integers(0, 3, 1000).astype(np.uint16)
    for length in (1, 2, 3, 7, 13, 50):
        runs = [tuple(values[i : i + length].tolist()) for i in range(len(values) - length + 1)]
        found = hashes(values, length).tolist()
        assert len(found) == len(runs) and len(set(zip(found, runs, strict=True))) == len(set(found)) == len(set(runs))
    assert len(hashes(values[:5], 6)) == 0


def test_passages_that_stand_in_training_are_found(tmp_path: Path) -> None:
    for name, text in (("new", BOOK[:60_000]), ("twice", BOOK[:60_000] + BOOK[:9_000])):
        (tmp_path / f"{name}.txt").write_text(text)
    how = {"model": SMALL, "steps": 1, "batch": 2, "out": tmp_path / "runs", "threads": 1}
    events: list = []

    new = mapsto.train(tmp_path / "new.txt", "-> text:text(max=32)", emit=ignore, **how)
    mapsto.train(tmp_path / "twice.txt", "-> text:text(max=32)", emit=events.append, **how)

    notes = [found for found in json.loads((new.path / "findings.json").read_text()) if found["name"] == "overlap"]
    (told,) = [event for event in events if event["event"] == "finding" and event["name"] == "overlap"]
    assert all(note["level"] == "note" and 0 < max(note["figures"]["test"], note["figures"]["validation"]) < 0.01 for note in notes)
    assert told["level"] == "warn" and told["figures"]["test"] > 0.95 and "test text's runs of 50 tokens" in told["what"]


def test_the_page_keeps_lines_apart_and_names_blocks(run: Run) -> None:
    (rows,) = (section for section in kept(run)[0] if section.name == "rows")
    assert any("\n" in text for item in rows.blocks[0].items for _, parts in item.texts for text, _, _ in parts)  # type: ignore[union-attr]
    assert "test blocks" in (run.path / "report.html").read_text() and "test rows" not in (run.path / "report.html").read_text()


def test_speed_is_told_in_tokens(run: Run) -> None:
    speed = run.record["speed"]
    assert speed["tokens_per_second"] == pytest.approx(speed["rows_per_second"] * run.types["output", "text"].most, rel=0.01)
    assert f"{speed['tokens_per_second']:,.0f} tokens/s" in (run.path / "report.html").read_text(encoding="utf-8")


def test_the_report_shows_what_it_writes_and_how_to_ask(run: Run) -> None:
    page, card = ((run.path / name).read_text(encoding="utf-8") for name in ("report.html", "README.md"))
    sections = {section.name: section for section in kept(run)[0]}
    assert not [section for section in sections.values() if "failed" in section.figures]
    assert len(sections["writing"].figures["loss_by_place"]) == 32 and sections["cost"].figures["milliseconds"]["1"] > 0
    assert sections["writing"].figures["loss_by_place"][0] > np.mean(sections["writing"].figures["loss_by_place"][16:])
    assert "mapsto sample" in page and "mapsto predict" not in page and 'pipeline_tag: "text-generation"' in card
    text = sections["writing"].blocks[0].items[0].pieces[0][0]
    assert text[:40].split()[0] in page


def test_letters_of_several_tokens_and_stops_of_several_are_held_back_until_they_are_whole() -> None:
    column_type = Text(tokenizer="bpe", size=260).fit(["é" * 10], {"side": "output"})

    class Paragraph:
        most = 64

        def __init__(self, text: str):
            self.left = [*column_type.encode(text)[1:].tolist(), START]

        def cache(self, rows: int):
            return None

        def next(self, context, cache):
            logits = torch.zeros(1, column_type.vocabulary_size)
            logits[0, self.left.pop(0)] = 9.0
            return logits

    parts = [added[0] for added in texts(Cached(Paragraph("aé北 end of it")), column_type, "", (0,), Sampling(temperature=0.0))]
    assert "".join(parts) == "aé北 end of it" and "" in parts and not any("\ufffd" in part for part in parts)
    parts = [added[0] for added in texts(Cached(Paragraph("aé北 end of it")), column_type, "", (0,), Sampling(temperature=0.0, stop="end"))]
    assert "".join(parts) == "aé北 " and all("e" not in part for part in parts)


def test_draws_are_of_the_nucleus() -> None:
    marks = [0.1, 0.1, 0.1, 0.02, *[0.1] * (FIRST - 4)]
    logits = torch.log(torch.tensor([[*marks, 0.5, 0.3, 0.18]])).repeat(1000, 1)
    uniform = torch.linspace(0, 1, 1001)[:-1]
    assert set(drawn(logits, uniform, Sampling(top_p=0.6, temperature=1.0)).tolist()) == {FIRST, FIRST + 1}
    counts = torch.bincount(drawn(logits, uniform, Sampling(top_p=1.0, temperature=1.0)), minlength=FIRST + 3) / 1000
    torch.testing.assert_close(counts, torch.tensor([0, 0, 0, 0.02, *[0.0] * (FIRST - 4), 0.5, 0.3, 0.18]), atol=2e-3, rtol=0)
    for how in (Sampling(top_p=0.6, temperature=1.0), Sampling(top_p=1.0, temperature=0.7), Sampling(temperature=0.0)):
        assert drawn(logits, uniform, how).tolist() == sampling.drawn(logits.numpy(), uniform.numpy(), how).tolist()
    with pytest.raises(ConfigError, match="top_p: expected a number of at most 1, got 2"):
        options_of(Sampling, {"top_p": 2.0}, "sample")


def test_killed_at_random_instants_ends_bit_identical(book: Path, tmp_path: Path) -> None:
    options = ("-> text:text(max=32)", "--model", "gpt(width=32, depth=2, heads=2, dropout=0.1)", "--steps", "200", "--batch", "8")
    options = (*options, "--micro-batch", "5", "--ema", "0.9")
    assert same(*killed_and_resumed(tmp_path, str(book), *options))


def test_documents_are_packed(tmp_path: Path) -> None:
    rows = [{"body": BOOK[i * 90 : i * 90 + 80 + i % 7], "length": i} for i in range(120)]
    run = mapsto.train(rows, "-> body:text(max=16)", model=SMALL, epochs=1, batch=16, out=tmp_path, emit=ignore, threads=1, precision="float32")
    assert run.record["rows"]["test"] > 5 and run.metrics["test"]["body"]["loss"]["value"] < 4
    assert run.record["steps"] == pytest.approx(sum(len(row["body"]) + 1 for row in rows) * 0.65 / 16 / 16, rel=0.2)
    assert not run.types["output", "body"].running
    assert run.sample(2, tokens=10)


# --- what cannot be learned ------------------------------------------------------------------------------------------------------


def test_bad_input_is_said(book: Path, run: Run, tmp_path: Path) -> None:
    def train(data, *more, **options):
        return mapsto.train(data, *more, out=tmp_path / "runs", emit=ignore, steps=2, threads=1, **options)

    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "word.txt").write_text("word")
    with pytest.raises(DataError, match="empty"):
        train(tmp_path / "empty.txt")
    with pytest.raises(DataError, match=r"expected more than 8 tokens|at least 2 rows"):
        train(tmp_path / "word.txt")
    with pytest.raises(RunError, match="mapsto sample"):
        run.predict(book)
    with pytest.raises(RunError, match="mapsto sample"):
        run.embed(book)
    with pytest.raises(ConfigError, match="no option 'windows'"):
        train(book, learner="next_token(windows=2)")


def test_from_the_shell(book: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["train", str(book), "->text:text(max=16)", "--model", SMALL, "--steps", "2", "--out", str(tmp_path), "--threads", "1"]) == 0
    assert "let it write: mapsto sample" in capsys.readouterr().out
    found = only_run(tmp_path)
    assert main(["sample", str(found), "--prompt", "The ", "--n", "2", "--tokens", "20", "--temperature", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("--- 1 ---\nThe ") and "\n--- 2 ---\nThe " in said
    assert main(["sample", str(found), "--tokens", "none"]) == 2 and main(["sample", str(found), "--n", "0"]) == 2
    assert main(["predict", str(found), str(book)]) == 2 and "mapsto sample" in capsys.readouterr().err
    assert main(["look", str(book)]) == main(["check", str(book)]) == main(["runs", str(tmp_path)]) == main(["doctor", str(found)]) == 0


@pytest.mark.parametrize(("minutes", "speed", "width"), [(2, 1e12, 192), (15, 1e12, 256), (5, 5e14, 256), (0.1, 1e11, 128), (None, 0, 256)])
def test_the_net_grows_with_the_minutes_and_the_machine(minutes: float | None, speed: float, width: int) -> None:
    column_type = Text(max=128).fit([BOOK], {"side": "output"})
    facts = Facts(parse("-> text:text"), {("output", "text"): column_type}, 60, minutes, tokens=1_000_000, text_flops=lambda: 0.25 * speed)
    choice = choose(facts, Settings())
    assert choice.model_options["width"] == width and choice.learner == "next_token"
    assert 1000 <= choice.training.batch * 128 <= 3000 and choice.best == ("text", "loss")


def test_new_text_is_measured(run: Run, book: Path) -> None:
    found = run.evaluate(book)["text"]
    noise = run.evaluate([{"text": "".join(random.Random(0).choices("etaoin shrdlu", k=2000))}])["text"]
    assert found["loss"]["value"] == pytest.approx(run.metrics["train"]["text"]["loss"]["value"], rel=0.1)
    assert noise["loss"]["value"] > 1.3 * found["loss"]["value"] and noise["loss"]["n"] == 62


def test_what_a_run_of_texts_cannot_do_is_said(run: Run, capsys) -> None:
    assert main(["score", str(run.path), "--text", "牛🎉"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("text 1,,0,,,,") and "are not among those it learned" in err
    assert main(["predict", str(run.path), "--text", "The"]) == 2 and "mapsto sample" in capsys.readouterr().err
    assert main(["sample", str(run.path), "--stop", ""]) == 2 and "--stop" in capsys.readouterr().err
    assert main(["sample", str(run.path), "--n", "99999999"]) == 2 and "at most 100000" in capsys.readouterr().err
