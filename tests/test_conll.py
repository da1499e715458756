"""CoNLL files: sentences and their tags from a word a line, whoever wrote it; and a training from a folder of them."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from test_sources import bad_of, fails, rows_of, splits_of, write
from test_tags import sentences

from mapsto.cli import main
from mapsto.data.open import open_source
from mapsto.run import Run

PEOPLE = "Ann\tB-person\nMiller\tI-person\nran\tO\n\nIn\tO\nUlm\tB-city\n.\tO\n"
READ = [(["Ann", "Miller", "ran"], ["B-person", "I-person", "O"]), (["In", "Ulm", "."], ["O", "B-city", "O"])]
UNIVERSAL = """# sent_id = 1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\tNumber=Plur\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
2.1\tse\t_\t_\t_\t_\t_\t_\t_\t_
3\t10 000\t10000\tNUM\t_\t_\t1\tobl\t_\tSpaceAfter=No

"""


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAPSTO_CACHE", str(tmp_path_factory.mktemp("cache")))


# --- what is read ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        PEOPLE,
        PEOPLE.rstrip("\n"),
        PEOPLE.replace("\t", " "),
        PEOPLE.replace("\t", " \t "),
        PEOPLE.replace("\n", "\r\n"),
        PEOPLE.replace("\n", "\r"),
        "\ufeff" + PEOPLE,
        "\n\n" + PEOPLE.replace("\n\n", "\n\t\n \n\n") + "\n\n",
        "-DOCSTART-\tO\n\n" + PEOPLE,
        "# newdoc\n# sent_id = 1\n" + PEOPLE.replace("\n\n", "\n\n# text = In Ulm.\n#\n"),
        PEOPLE.replace("\t", " ").replace("\n\n", "\n\n-DOCSTART- -X-\n"),
        PEOPLE.encode("utf-16"),
    ],
    ids=["plain", "no-last-newline", "blanks", "blanks-and-tabs", "crlf", "cr", "bom", "empty-lines", "documents", "comments", "borders", "utf-16"],
)
def test_sentences_are_read_however_they_are_written(tmp_path: Path, content: str | bytes) -> None:
    for name in ("names.conll", "names.bio", "names.iob"):
        source = open_source(write(tmp_path / name, content))
        assert (source.name, source.columns, source.guess) == ("names", ("words", "tags"), "words:text -> tags:tags")
        assert rows_of(source, 1) == READ and not bad_of(source)


def test_words_may_begin_like_comments_or_hold_other_blanks(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "tweets.conll", "#ulm\tB-city\n#\tO\n\n#\tO\n1\u00a0000\tO\n# \u00a0\tO\n# comment\n"))
    assert rows_of(source) == [(["#ulm", "#"], ["B-city", "O"])] and "line 7: expected 2 columns" in ": ".join(bad_of(source)[0])
    source = open_source(write(tmp_path / "tweets.bio", "Ann B-person\n# O\n\n# O\n"))
    assert rows_of(source) == [(["Ann", "#"], ["B-person", "O"]), (["#"], ["O"])]


def test_columns_between_words_and_tags_have_numbers(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.conll", "EU NNP B-NP B-org\nran VBD B-VP O\n"))
    assert source.columns == ("words", "column_2", "column_3", "tags")
    assert rows_of(source) == [(["EU", "ran"], ["NNP", "VBD"], ["B-NP", "B-VP"], ["B-org", "O"])]
    numbered = open_source(write(tmp_path / "b.conll", "#\thttp://example.org\n1\tEU\tB-org\n2\tran\tO\n\n1\tOn\tO\n"))
    assert numbered.columns == ("words", "tags") and rows_of(numbered) == [(["EU", "ran"], ["B-org", "O"]), (["On"], ["O"])]
    bare = open_source(write(tmp_path / "c.conll", "EU\nran\n\n#\n"))
    assert (bare.columns, bare.guess, rows_of(bare)) == (("words",), None, [(["EU", "ran"],), (["#"],)])


def test_universal_dependencies(tmp_path: Path) -> None:
    for name in ("es_ancora-ud-train.conllu", "es.conll"):
        source = open_source(write(tmp_path / name, UNIVERSAL))
        assert source.columns == ("words", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
        assert source.guess == "words:text -> upos:tags" and "CoNLL-U" in source.said[0]
        ((words, lemma, upos, xpos, feats, head, deprel, deps, misc),) = rows_of(source)
        assert words == ["Vamos", "nos", "10 000"] and lemma == ["ir", "nosotros", "10000"] and upos == ["VERB", "PRON", "NUM"]
        assert xpos is None and deps is None and feats == ["Number=Plur", "_", "_"] and head == ["0", "1", "1"]
        assert deprel == ["root", "obj", "obl"] and misc == ["_", "_", "SpaceAfter=No"]


def test_numbers_that_begin_again_mean_a_lost_empty_line(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.conllu", UNIVERSAL + UNIVERSAL + UNIVERSAL.rstrip("\n") + "\n" + UNIVERSAL.split("mar\n")[1]))
    assert len(rows_of(source)) == 2
    assert bad_of(source) == [("line 19", "expected words numbered 1, 2, 3, …, got '1 2 3 1 2 3': is an empty line missing?")]


WORD = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=8).filter(
    lambda word: word.strip(" ") == word and word[0] != "#" and word not in ("0", "1") and not word.startswith("-DOCSTART-")
)
TAG = st.sampled_from(["NOUN", "VERB", "X"])


@examples(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.tuples(WORD, TAG, TAG), min_size=1, max_size=6), min_size=1, max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[list[tuple[str, str, str]]], end: str) -> None:
    rows = [[("The", "X", "X")], *rows]  # no file's first bytes are those of a picture
    path = tmp_path_factory.mktemp("round") / "rows.conll"
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(end.join("".join("\t".join(word) + end for word in row) for row in rows))
    assert rows_of(open_source(path)) == [tuple(map(list, zip(*row, strict=True))) for row in rows]


# --- how names are marked --------------------------------------------------------------------------------------------------------


def test_names_that_begin_with_i_are_read_as_bio(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.conll", "EU I-NP I-org\nAnn B-NP I-per\nMiller I-NP I-per\nBob I-NP B-per\nran I-VP O\n"))
    assert rows_of(source)[0][1:] == (["B-NP", "B-NP", "I-NP", "I-NP", "B-VP"], ["B-org", "B-per", "I-per", "B-per", "O"])
    assert "column_2, tags: names begin with I- (IOB1) and are read as BIO" in " ".join(source.said)


def test_names_that_begin_now_so_now_so_are_quarantined(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.conll", PEOPLE + "\nOn\tO\nBob\tI-person\n"))
    assert rows_of(source) == READ and "neither BIO nor IOB1" in " ".join(source.said)
    assert bad_of(source) == [("line 9", "word 2 is I-person, which goes on from nothing: expected B-person where a name begins")]


# --- what is wrong with it -------------------------------------------------------------------------------------------------------


def test_a_line_that_does_not_fit_costs_its_sentence(tmp_path: Path) -> None:
    broken = PEOPLE + "\nOn\tO\nBob\n\nOff\tX\tO\n\nNo\0\tO\n\nBye\tO\n"
    source = open_source(write(tmp_path / "a.conll", broken))
    assert rows_of(source) == [*READ, (["Bye"], ["O"])]
    assert [where for where, _ in bad_of(source)] == ["line 10", "line 12", "line 14"]
    assert bad_of(source)[0][1] == "expected 2 columns, as most lines have, got 1: 'Bob'" and "NUL" in bad_of(source)[2][1]
    folder = write(tmp_path / "both" / "train.conll", PEOPLE).parent
    write(folder / "test.conll", broken)
    assert bad_of(open_source(folder))[0][0] == "test.conll line 10"


def test_files_without_words(tmp_path: Path) -> None:
    fails(write(tmp_path / "a.conll", ""), "a.conll", "empty")
    fails(write(tmp_path / "b.conll", "# nothing\n\n-DOCSTART- O\n"), "b.conll", "expected a word a line")
    fails(write(tmp_path / "c.conll", bytes(range(256)) * 9), "c.conll", "CoNLL", "this is a binary file")


def test_another_encoding_is_said(tmp_path: Path) -> None:
    source = open_source(write(tmp_path / "a.conll", "José\tB-person\n".encode("latin-1")))
    assert rows_of(source) == [(["José"], ["B-person"])] and "read as cp1252" in " ".join(source.said)


# --- which files belong together -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["train dev test", "eng.train eng.dev eng.test", "en_ewt-ud-train en_ewt-ud-dev en_ewt-ud-test"])
def test_names_of_files_divide_the_rows(tmp_path: Path, names: str) -> None:
    folder = tmp_path / "set"
    for count, name in zip((3, 1, 2), names.split(), strict=True):
        write(folder / f"{name}.conll", "\n".join(f"{name}{i}\tO\n" for i in range(count)))
    write(folder / "README.md", "about")
    expected = ["train"] * 3 + ["validation"] + ["test"] * 2
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    places = [folder, tmp_path / "packed.zip", sorted(folder.glob("*.conll")), str(folder / "*.conll")]
    for place in places:
        source = open_source(place)
        assert splits_of(source) == expected and source.divided and source.guess == "words:text -> tags:tags", place


def test_packed_files_and_folders_named_as_splits(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / "set" / split / "rows.bio.gz", gzip.compress(PEOPLE.encode()))
    source = open_source(tmp_path / "set")
    assert splits_of(source) == ["train"] * 2 + ["test"] * 2 and rows_of(source) == READ * 2
    assert rows_of(open_source(tmp_path / "set" / "train" / "rows.bio.gz")) == READ


def test_files_to_be_tagged_need_no_tags(tmp_path: Path) -> None:
    write(tmp_path / "train.conll", PEOPLE)
    write(tmp_path / "test.conll", "Bob\nran\n")
    source = open_source(tmp_path)
    assert rows_of(source)[2] == (["Bob", "ran"], None) and "test.conll has no column 'tags'" in " ".join(source.said)


# --- a whole training ------------------------------------------------------------------------------------------------------------


def conll(rows: list[dict]) -> str:
    return "\n".join("".join(f"{word}\t{tag}\n" for word, tag in zip(row["words"], row["tags"], strict=True)) for row in rows)


def test_a_folder_of_them_is_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = sentences(150)
    for name, some in (("train", rows[:90]), ("dev", rows[90:120]), ("test", rows[120:])):
        write(tmp_path / "names" / f"{name}.conll", conll(some))
    write(tmp_path / "names" / "train.conll", conll(rows[:90]) + "\nlost\n")
    assert main(["train", str(tmp_path / "names"), "--steps", "20", "--threads", "1", "--plan", "default", "--out", str(tmp_path / "runs")]) == 0
    assert "words:text -> tags" in capsys.readouterr().out
    (run,) = Run.list(tmp_path / "runs")
    assert run.record["rows"] == {"train": 90, "validation": 30, "test": 30} and run.record["unreadable"] == 1
    assert "train.conll line" in (run.path / "quarantine.csv").read_text()
    write(tmp_path / "new.conll", "In\nUlm\n")
    assert main(["predict", str(run.path), str(tmp_path / "new.conll"), "--out", str(tmp_path / "said.jsonl")]) == 0
    (said,) = map(json.loads, (tmp_path / "said.jsonl").read_text().splitlines())
    assert len(said["tags"].split(";")) == 2
