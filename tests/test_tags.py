"""A tag for each word: reading, well-formed answers, entity figures against seqeval, a whole training on names made here."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from test_exact import ignore

import mapsto
from mapsto.batch import Padded
from mapsto.blocks import Gallery
from mapsto.cells import Annotated, Apart, Column
from mapsto.errors import CellError, SignatureError
from mapsto.outputs._tags_head import Crf, _forward
from mapsto.outputs.tags import _rows
from mapsto.report.reporting import kept
from mapsto.steps import cautions
from mapsto.types.tags import Tags, entities, labelled
from mapsto.types.text import Text
from mapsto.types.text.words import encoded, spans, words_of

TAGS = ("O", "B-a", "I-a", "B-b", "I-b")


def column_type(*rows: tuple[str, ...], **options) -> Tags:
    return Tags(**options).fit(rows or (TAGS,), {"name": "tags", "into": "words"})


# --- reading ---------------------------------------------------------------------------------------------------------------------


def test_words_of_a_text_and_of_a_list() -> None:
    assert words_of("Ann's @cat ran 3.5 km, 我们 http://a.b/c!") == ["Ann", "'s", "@cat", "ran", "3.5", "km", ",", "我", "们", "http://a.b/c!"]
    listed = Text().read(["New York", "", "!"])
    assert listed == "New York  !" and words_of(listed) == ["New York", "", "!"]


@given(st.one_of(st.text(max_size=60), st.lists(st.text(max_size=8), max_size=9).map(Apart)))
def test_words_stand_where_they_are_said_to(text: str) -> None:
    places = spans(text)
    assert [text[begin:end] for begin, end in places] == words_of(text)
    assert all(a <= b <= c for (a, b), (c, _) in itertools.pairwise(places))
    assert len(encoded(text, "a\nb")) == len(places)


def test_tags_are_read_beside_their_words() -> None:
    assert Tags().read(Annotated("B-a O", ["Ann", "ran"])) == ("B-a", "O") == Tags().read('["B-a", "O"]')
    assert Tags().read(Annotated(None, ["Ann"])) is None
    with pytest.raises(CellError, match="the text has 3 words, 2 tags came"):
        Tags().read(Annotated(["O", "O"], "Ann ran."))
    with pytest.raises(CellError, match="not seen in training"):
        column_type().read(["B-c"])


SCHEMES = {  # of two words, of one, and two names behind each other
    "BIOES": (("B-a", "E-a", "O", "S-b"), ("B-a", "I-a", "E-a", "S-a")),
    "BILOU": (("B-a", "L-a", "O", "U-b"), ("B-a", "I-a", "L-a", "U-a")),
    "BMES": (("B-a", "E-a", "O", "S-b"), ("B-a", "M-a", "E-a", "S-a")),
    "IOB1": (("I-a", "I-a", "O", "I-b"), ("I-a", "I-a", "I-a", "B-a")),
    "": (("B-a", "I-a", "O", "B-b"), ("B-a", "I-a", "I-a", "B-a")),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_names_are_read_as_bio_however_they_are_marked(scheme: str) -> None:
    rows = SCHEMES[scheme]
    made = column_type(*rows)
    assert made.names and made.vocabulary == TAGS and made.scheme == scheme and made.counts == (1, 3, 3, 1, 0)
    assert [made.read(list(row)) for row in rows] == list(SCHEMES[""])
    assert made.said("tags") == (f"'tags' marks names as {scheme}, read and answered as BIO" if scheme else "")
    assert Tags.sniff(Column("tags", [list(row) for row in rows])) == 0.95


def test_names_of_another_scheme_are_read_by_a_type_that_learned_bio() -> None:
    assert column_type().read(["B-a", "E-a", "S-b"]) == ("B-a", "I-a", "B-b")


@pytest.mark.parametrize("row", [("S", "B", "E"), ("E-x", "S-x"), ("NN", "O"), ("B-a", "X-a", "O")])
def test_tags_that_name_nothing_stay_as_they_are(row: tuple[str, ...]) -> None:
    made = column_type(row)
    assert not made.names and made.read(list(row)) == row and Tags.sniff(Column("t", [list(row)])) == 0.0


def test_types_of_names_have_both_marks_and_other_tags_stay_as_they_are() -> None:
    assert column_type(("B-x", "O")).vocabulary == ("O", "B-x", "I-x") and column_type(("B-x", "O")).names
    assert column_type(("NOUN", "VERB")).vocabulary == ("NOUN", "VERB") and [metric.name for metric in column_type(("NOUN",)).output().metrics] == ["accuracy", "loss"]


def test_tags_need_a_text() -> None:
    from mapsto.signature import parse

    with pytest.raises(SignatureError, match="needs a text left of the arrow"):
        Tags().annotates(parse("age:number -> it:tags"))


# --- figures ---------------------------------------------------------------------------------------------------------------------


@examples(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=12), min_size=1, max_size=5))
def test_entity_figures_are_seqevals(rows: list[list[tuple[str, str]]]) -> None:
    seqeval = pytest.importorskip("seqeval.metrics")
    true, said = ([[pair[k] for pair in row] for row in rows] for k in range(2))
    numbers = [_rows([[TAGS.index(tag) for tag in row] for row in side]) for side in (said, true)]
    found = {metric.name: metric.reduce(metric.rows({"value": numbers[0]}, numbers[1])) for metric in column_type().output().metrics}
    assert found["f1"] == pytest.approx(seqeval.f1_score(true, said, zero_division=0))
    assert found["precision"] == pytest.approx(seqeval.precision_score(true, said, zero_division=0))
    assert found["recall"] == pytest.approx(seqeval.recall_score(true, said, zero_division=0))
    assert found["accuracy"] == pytest.approx(seqeval.accuracy_score(true, said))


def test_what_was_not_read_counts_as_outside() -> None:
    found = {metric.name: metric.reduce(metric.rows({"value": _rows([[1]])}, _rows([[1, 2, 0]]))) for metric in column_type().output().metrics}
    assert found["accuracy"] == pytest.approx(2 / 3) and found["f1"] == 0


# --- the head --------------------------------------------------------------------------------------------------------------------


def head(**options) -> Crf:
    torch.manual_seed(0)
    made = Crf(column_type(**options).output("tags"), 6)
    for value in made.parameters():
        value.data = torch.randn_like(value)
    return made.eval()


def test_the_field_sums_over_all_sequences() -> None:
    made, scores = head(), torch.randn(1, 4, 5)
    whole = [
        made.first[path[0]] + scores[0, range(4), path].sum() + sum(made.follows[a, b] for a, b in itertools.pairwise(path))
        for path in itertools.product(range(5), repeat=4)
    ]
    expected = torch.stack(whole).logsumexp(0)
    torch.testing.assert_close(_forward(scores, made.first, made.follows, torch.ones(1, 4, dtype=torch.bool))[0, -1].logsumexp(0), expected)
    nats, words = made.loss(scores, torch.tensor([[0, 1, 2, 4]]))
    path = [0, 1, 2, 4]
    torch.testing.assert_close(nats[0], expected - whole[[*itertools.product(range(5), repeat=4)].index(tuple(path))])
    assert words.tolist() == [4]


def test_what_is_answered_is_well_formed_and_the_same_alone_and_beside_others() -> None:
    made, hidden, lengths = head(), torch.randn(8, 7, 6), torch.tensor([7, 1, 3, 5, 2, 7, 4, 6])
    together = made.predict(made(Padded(hidden, lengths)))
    for row, length in enumerate(lengths.tolist()):
        tags = [TAGS[tag] for tag in together["value"].values[row, :length].tolist()]
        assert all(tag[0] != "I" or before[2:] == tag[2:] for before, tag in itertools.pairwise(["O", *tags]))
        alone = made.predict(made(Padded(hidden[row : row + 1, :length], lengths[row : row + 1])))
        assert alone["value"].values[0].tolist() == together["value"].values[row, :length].tolist()
        torch.testing.assert_close(alone["probability"].values[0], together["probability"].values[row, :length])


def test_rows_without_tags_cost_nothing() -> None:
    nats, words = head().loss(Padded(torch.randn(2, 3, 5), torch.tensor([3, 3])), Padded(torch.zeros(2, 3).long(), torch.tensor([3, 0])))
    assert words.tolist() == [3, 0] and nats[1] == 0


# --- a whole training ------------------------------------------------------------------------------------------------------------


def sentences(rows: int) -> list[dict]:
    """People, who are capitalised and stand behind a title or before a verb of speech, and cities, behind 'in' or 'to': names no other has."""
    draw = np.random.default_rng(0)

    def name() -> str:
        return "".join(draw.choice(list("abdegiklmnorstu"), int(draw.integers(3, 8)))).capitalize()

    made = []
    for _ in range(rows):
        person, city = [name(), name()], [name()]
        parts = [(["yesterday"], "O"), (person, "person"), (["said", "she", "went"], "O"), (["to"], "O"), (city, "city"), (["."], "O")]
        if draw.random() < 0.5:
            parts = [(["In"], "O"), (city, "city"), ([","], "O"), (["Dr"], "O"), (person[:1], "person"), (["said", "Yes"], "O")]
        words = [word for some, _ in parts for word in some]
        tags = [kind if kind == "O" else f"{'I' if k else 'B'}-{kind}" for some, kind in parts for k in range(len(some))]
        made.append({"words": words, "tags": tags})
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> mapsto.Run:
    out = tmp_path_factory.mktemp("runs")
    return mapsto.train(sentences(400), "words:text -> tags", steps=120, lr=5e-3, threads=1, out=out, emit=ignore, precision="float32")


def test_new_names_are_found_where_a_dictionary_finds_none(run: mapsto.Run) -> None:
    found, beside = run.metrics["test"]["tags"], run.metrics["baselines"]["tags"]
    assert found["f1"]["value"] > 0.9 and found["f1"]["low"] <= found["f1"]["value"] <= found["f1"]["high"]
    assert found["f1"]["value"] > beside["frequent"]["f1"]["value"] + 0.3 and beside["dictionary"]["f1"]["value"] < 0.3


def test_a_net_below_what_is_known_by_heart_or_below_one_tag_for_all_is_told_so(run: mapsto.Run) -> None:
    def figures(**values: float) -> dict[str, dict[str, float]]:
        return {name: {"value": value, "low": value - 0.02, "high": value + 0.02} for name, value in values.items()}

    beside = {"majority": figures(f1=0.0, accuracy=0.9), "dictionary": figures(f1=0.5, accuracy=0.92), "frequent": figures(f1=0.4)}

    def said(**own: float) -> list[str]:
        return cautions._beaten(run, run.learner, "tags", figures(**own), beside)

    assert said(f1=0.6, accuracy=0.95) == said(f1=0.49, accuracy=0.89) == []
    assert said(f1=0.0, accuracy=0.9) == ["'tags': f1 0.0000 is no better than that of 'majority', 0.0000, which knows nothing of the inputs"]
    assert said(f1=0.45, accuracy=0.95) == ["'tags': 'dictionary' reaches f1 0.5000 on the same rows, the net 0.4500"]
    assert said(f1=0.6, accuracy=0.8) == ["'tags': by accuracy 'majority', which knows nothing of the inputs, is better: 0.9000, the net 0.8000"]
    assert len(said(f1=0.2, accuracy=0.8)) == 2


def test_the_most_frequent_tag_stands_beside_the_net(run: mapsto.Run) -> None:
    beside = run.metrics["baselines"]["tags"]

    assert list(beside) == ["majority", "dictionary", "frequent"]
    assert beside["majority"]["f1"]["value"] == 0 and 0.3 < beside["majority"]["accuracy"]["value"] < 0.8


def test_a_sentence_is_shown_in_names_and_what_is_wrong_is_marked() -> None:
    words, true = ["Ann", "went", "to", "New", "York", "today"], ("B-per", "O", "O", "B-loc", "I-loc", "O")
    assert labelled(words, true) == (
        ("Ann", "per", False), (" ", "", False), ("went to ", "", False), ("New York", "loc", False), (" ", "", False), ("today", "", False)
    )  # fmt: skip
    assert [part for part in labelled(words, true, ("B-per", "O", "O", "B-loc", "O", "O")) if part[2]] == [("New York", "loc", True)]
    assert labelled(["go", "home"], ("V", "N"), ("V", "A")) == (("go", "V", False), (" ", "", False), ("home", "N", True))


def test_the_page_shows_sentences_beside_the_truth_and_each_kind(run: mapsto.Run) -> None:
    sections = {section.name: section for section in kept(run)[0]}
    figures = sections["tagging"].figures["tags"]
    assert set(figures) == {"city", "person"} and all(one["right"] <= min(one["answered"], one["there"]) for one in figures.values())
    items = [item for block in sections["tagging"].blocks if isinstance(block, Gallery) for item in block.items]
    assert items and all([name for name, _ in item.texts] == ["true", "it says"] for item in items)
    assert sections["sets"].title == "Do rows lie far from those it learned from?"  # no sets are promised here
    rows = next(block for block in sections["rows"].blocks if isinstance(block, Gallery))
    assert "person" in {label for item in rows.items for name, parts in item.texts if name == "tags" for _, label, _ in parts}
    assert "¶" not in (run.path / "report.html").read_text() and "<small>person</small>" in (run.path / "report.html").read_text()


def test_answers_name_words_and_entities(run: mapsto.Run) -> None:
    plain = run.predict("In Rotterdam, Dr Miller said Yes")
    detail = plain.predictions["tags"].detail  # type: ignore[union-attr]
    assert detail["words"] == ["In", "Rotterdam", ",", "Dr", "Miller", "said", "Yes"]
    assert [(one["type"], one["text"]) for one in detail["entities"]] == [("city", "Rotterdam"), ("person", "Miller")]
    assert len(entities(plain.predictions["tags"].value)) == 2  # type: ignore[union-attr]
    (listed,) = run.predict([{"words": ["In", "Ulm", ",", "Dr", "Ode", "said", "Yes"]}])  # type: ignore[misc]
    assert len(listed.predictions["tags"].value) == 7


def test_rows_whose_tags_are_too_few_are_quarantined(tmp_path: Path) -> None:
    rows = sentences(120)
    rows[3] = {**rows[3], "tags": rows[3]["tags"][1:]}
    made = mapsto.train(rows, "words:text -> tags", steps=2, threads=1, out=tmp_path, emit=ignore)
    assert made.record["unreadable"] == 1 and "tags came" in (made.path / "quarantine.csv").read_text()


def test_words_in_a_dict_are_one_row(run: mapsto.Run) -> None:
    words = ["Dr", "Miller", "is", "here"]
    answer = run.predict({"words": words})
    assert not isinstance(answer, list) and len(answer.predictions["tags"].value) == 4  # type: ignore[arg-type]
    assert len(run.predict({"words": ["Dr Miller is here", "in Rotterdam"]})) == 2  # type: ignore[arg-type]  # texts: a column
    assert len(run.predict([words, words[:2]])) == 2  # type: ignore[arg-type]
