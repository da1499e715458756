"""Answers that copy (`models._copying`): the pointer against what defines it, and names that no training row holds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import mapsto
from mapsto import models
from mapsto.batch import Ragged
from mapsto.errors import ConfigError
from mapsto.generation.beam import beam
from mapsto.run import Run
from mapsto.signature import parse
from mapsto.types.text import Text
from mapsto.types.text._copied import share_copied
from mapsto.types.text.targets import decode_texts
from mapsto.types.text.tokenizers import FIRST, START

WRITERS = {
    "seq2seq": {"width": 24, "depth": 1, "decoder": 1, "heads": 2, "dropout": 0.0},
    "lstm_seq2seq": {"token": 24, "width": 24, "dropout": 0.0},
}
SOURCES = ["Two cats sat here. They slept.", "one two three four", "a cat", "we ran home and two cats sat"]
ANSWERS = ["Two cats sat.", "three four", "a cat", "two cats ran"]

pytestmark = pytest.mark.usefixtures("one_thread")


def quiet(event: object) -> None:
    """Tell nobody."""


def fitted(copy: bool | None = None, answers: list[str] = ANSWERS, **options: object) -> dict[tuple[str, str], Text]:
    pairs = list(zip(answers, SOURCES, strict=True))
    spec = {"side": "input", "tokenizer": "bpe", "bag": False, "enough": 1.0, "copy": copy, "pairs": lambda: pairs}
    read = Text().fit(SOURCES, spec)
    spec = {"side": "output", "name": "b", "kind": "sequence", "copy": copy, "inputs": {"a": read}, "pairs": lambda name: pairs}
    return {("input", "a"): read, ("output", "b"): Text(**options).fit(answers, spec)}


def writer(name: str, fresh: bool = False) -> tuple[nn.Module, dict[tuple[str, str], Text]]:
    types = fitted()
    torch.manual_seed(0)
    model = models.build(name, parse("a:text -> b:text"), types, WRITERS[name], {"b": "sequence"})
    if not fresh:
        for value in model.parameters():
            nn.init.normal_(value, std=0.3)
    return model.eval(), types


def inputs(types: dict[tuple[str, str], Text], texts: list[str]) -> dict[str, object]:
    column_type = types["input", "a"]
    return {"a": column_type.collate(Ragged.of(column_type.encode_all(texts)), None)}


def begun(types: dict[tuple[str, str], Text], texts: list[str]) -> Tensor:
    """START and the tokens of answers, all of one length."""
    tokens = types["output", "b"].encode_all(texts)
    width = min(map(len, tokens)) - 1
    return torch.tensor([[START, *row[:width].tolist()] for row in tokens])


# --- the pointer -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_it_gives_probabilities_and_every_weight_learns(name: str) -> None:
    model, types = writer(name)
    tokens = begun(types, ANSWERS[:2])

    said = model(inputs(types, SOURCES[:2]), condition=tokens)["b"]
    said[..., FIRST:].sum().backward()

    torch.testing.assert_close(said.exp().sum(-1), torch.ones(tokens.shape), atol=1e-5, rtol=0)
    assert {key for key, value in model.named_parameters() if value.grad is None or not value.grad.any()} == set()


@pytest.mark.parametrize("name", WRITERS)
@torch.no_grad()
def test_padding_changes_nothing_and_steps_are_the_whole(name: str) -> None:
    model, types = writer(name)
    tokens = begun(types, [ANSWERS[0], ANSWERS[3]])
    both = model(inputs(types, [SOURCES[2], SOURCES[3]]), condition=tokens)["b"]

    alone = model(inputs(types, [SOURCES[2]]), condition=tokens[:1])["b"]
    state = model.begin(inputs(types, [SOURCES[2], SOURCES[3]]))
    steps = torch.stack([model.next(tokens[:, place], state) for place in range(tokens.shape[1])], 1)

    torch.testing.assert_close(both[:1], alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(steps, both, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", WRITERS)
@torch.no_grad()
def test_a_missing_text_and_no_row_are_cases(name: str) -> None:
    model, types = writer(name)
    tokens = begun(types, ["a cat", "a cat"])

    both = model(inputs(types, [None, SOURCES[0]]), condition=tokens)["b"]
    alone = model(inputs(types, [None]), condition=tokens[:1])["b"]

    torch.testing.assert_close(both[:1], alone, atol=1e-4, rtol=1e-4)
    assert both.exp().sum(-1).allclose(torch.ones(tokens.shape), atol=1e-5)
    if name == "seq2seq":  # torch's LSTM packs no empty batch
        assert model(inputs(types, []), condition=tokens[:0])["b"].shape == (0, *both.shape[1:])


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("width", [1, 3])
@torch.no_grad()
def test_answers_together_are_answers_alone(name: str, width: int) -> None:
    model, types = writer(name)

    together = beam(model.next, model.begin(inputs(types, SOURCES)), len(SOURCES), 8, width, 1.0)

    for row, text in enumerate(SOURCES):
        alone = beam(model.next, model.begin(inputs(types, [text])), 1, 8, width, 1.0)
        assert alone.tokens[0].tolist() == together.tokens[row].tolist()
        assert alone.score[0] == pytest.approx(together.score[row], abs=1e-3)


@pytest.mark.parametrize("name", WRITERS)
@torch.no_grad()
def test_the_score_of_an_answer_is_its_probability(name: str) -> None:
    model, types = writer(name)
    found = beam(model.next, model.begin(inputs(types, SOURCES[:1])), 1, 8, 1, 1.0)
    whole = torch.tensor([START, *found.tokens[0].tolist(), START][:9])

    said = model(inputs(types, SOURCES[:1]), condition=whole[None, :-1])["b"][0]

    said[:, [mark for mark in range(FIRST) if mark != START]] = -1e9  # which no answer holds
    said = said.log_softmax(-1)
    assert found.score[0] == pytest.approx(float(said.gather(1, whole[1:, None]).sum()), abs=1e-3)


@pytest.mark.parametrize("name", WRITERS)
@torch.no_grad()
def test_a_fresh_net_copies_what_it_reads_and_ends_where_that_ends(name: str) -> None:
    model, types = writer(name, fresh=True)

    found = beam(model.next, model.begin(inputs(types, SOURCES)), len(SOURCES), 40, 1, 1.0)

    assert decode_texts(found.tokens, *model.heads.list[0].spelling) == SOURCES


# --- whole trainings -------------------------------------------------------------------------------------------------------------


def named(seed: int, rows: int) -> list[dict[str, str]]:
    """Greetings of people nobody has heard of."""
    draw = random.Random(seed)

    def name() -> str:
        return "".join(draw.choice("bcdfghklmnprstvz") + draw.choice("aeiou") for _ in range(draw.randint(2, 4))).capitalize()

    names = [name() for _ in range(rows)]
    return [{"asked": f"please greet {one} today", "said": f"greet {one}", "tone": "ab"[i % 2]} for i, one in enumerate(names)]


def learned(signature: str, model: str, out: Path) -> Run:
    return mapsto.train(
        named(0, 300), signature, model=model, steps=60, batch=32, out=out, emit=quiet, threads=1, precision="float32", micro_batch=32
    )


def right(run: Run) -> float:
    """Of people whom no training row names."""
    new = named(1, 40)
    found = [answer.predictions["said"].value for answer in run.predict(new)]
    return sum(one == row["said"] for one, row in zip(found, new, strict=True)) / len(new)


@pytest.mark.usefixtures("without_reports")
@pytest.mark.parametrize("signature", ["asked:text -> said:text", "tone:category, asked:text -> said:text"])
def test_names_that_no_training_row_holds_are_copied(signature: str, tmp_path: Path) -> None:
    run = learned(signature, "seq2seq(width=32, depth=1, decoder=1, heads=2, dropout=0.0)", tmp_path)

    assert right(mapsto.load(run.path)) > 0.8


@pytest.mark.usefixtures("without_reports")
def test_without_copying_they_are_not(tmp_path: Path) -> None:
    run = learned("asked:text -> said:text", "seq2seq(width=32, depth=1, decoder=1, heads=2, dropout=0.0, copy=false)", tmp_path)

    assert right(run) < 0.1


@pytest.mark.usefixtures("without_reports")
def test_a_net_that_writes_worse_than_a_copy_is_told_so(tmp_path: Path) -> None:
    heard: list[dict] = []

    mapsto.train(
        named(0, 60),
        "asked:text -> said:text",
        model="seq2seq(width=16, depth=1, decoder=1, heads=2, copy=false)",
        steps=1,
        out=tmp_path,
        emit=heard.append,
        threads=1,
    )

    (done,) = [event for event in heard if event["event"] == "done"]
    assert "'copy' reaches" in done["cautions"][0]


# --- where it is taken -----------------------------------------------------------------------------------------------------------


def test_what_stands_in_the_source_is_counted_by_words() -> None:
    pairs = [("A cat sat.", "the cat SAT"), (["dog", "a fish"], "Fish swim"), (None, "x"), ("y", None)]

    assert share_copied(pairs) == pytest.approx(3 / 7)


@pytest.mark.parametrize(
    ("copy", "answers", "options", "copies"),
    [
        (None, ANSWERS, {}, True),
        (None, ["1 2", "3 4", "5", "6 7"], {}, False),
        (False, ANSWERS, {}, False),
        (True, ["1 2 one", "3 4 two", "5", "6 7"], {}, True),
        (None, ANSWERS, {"tokenizer": "char"}, False),
    ],
)
def test_copying_is_chosen_by_the_data_unless_somebody_says(copy: bool | None, answers: list[str], options: dict, copies: bool) -> None:
    types = fitted(copy, answers, **options)

    model = models.build("seq2seq", parse("a:text -> b:text"), types, {**WRITERS["seq2seq"], "copy": copy}, {"b": "sequence"})

    assert (model.pointer is not None) == copies
    assert (types["input", "a"].codes == types["output", "b"].codes) == copies
    assert ("of its words stand" in types["output", "b"].said("b")) == copies


def test_copying_needs_one_vocabulary() -> None:
    types = fitted(True, tokenizer="char")

    with pytest.raises(ConfigError, match="needs one vocabulary") as problem:
        models.build("seq2seq", parse("a:text -> b:text"), types, {**WRITERS["seq2seq"], "copy": True}, {"b": "sequence"})

    assert str(problem.value).count("\n") < 3
