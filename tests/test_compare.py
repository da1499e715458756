"""Runs side by side: paired tests against known cases, rows matched between runs, and what is said of real trainings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_span import questions
from test_speech import NET, write_clips
from test_tags import sentences

import mapsto
from mapsto.cli import main
from mapsto.errors import ConfigError, DataError, RunError
from mapsto.measure import predictions
from mapsto.measure.significance import difference, holm
from mapsto.metrics.classes import ACCURACY
from mapsto.metrics.numbers import MAE, R2
from mapsto.report.compare import compared, write_page
from mapsto.report.contest import contests
from mapsto.report.runs import called, opened
from mapsto.run import Run
from mapsto.types.categories import Categories
from mapsto.types.number import Number

pytestmark = pytest.mark.usefixtures("without_reports", "two_nets")

SMALL = "mlp(nets=1,width=32,depth=2,members=4,adapter=output)"


def ignore(event: object) -> None:
    """Tests read results, not progress."""


# --- paired tests


def test_mcnemar_of_a_worked_example() -> None:
    """Of 40 rows, 10 are right by a only and 2 by b only: the binomial tail of 2 or fewer of 12, twice: 2 · 79 / 4096."""
    a = np.r_[np.ones(10), np.zeros(2), np.ones(20), np.zeros(8)][:, None]
    b = np.r_[np.zeros(10), np.ones(2), np.ones(20), np.zeros(8)][:, None]
    found = difference(ACCURACY, a, b)
    assert found is not None and found.value == pytest.approx(0.2) and found.p == pytest.approx(2 * 79 / 4096) and "McNemar" in found.test
    assert found.low is not None and found.low < 0.2 < found.high and found.n == 40
    same = difference(ACCURACY, a, a)
    assert same is not None and (same.value, same.p, same.low, same.high) == (0.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("metric", [MAE, R2])
def test_chance_is_called_sure_one_time_in_twenty(metric) -> None:
    draw = np.random.default_rng(0)
    sure, covered = 0, 0
    for _ in range(40):
        target = draw.normal(size=60)
        a, b = ({"value": target + draw.normal(size=60)} for _ in range(2))
        found = difference(metric, metric.rows(a, target), metric.rows(b, target))
        sure += found.p < 0.05
        covered += found.low <= 0 <= found.high
    assert sure <= 6 and covered >= 33


@pytest.mark.parametrize("metric", [MAE, R2])
def test_a_small_difference_on_the_same_rows_is_found(metric) -> None:
    """Errors of both nets go together, so their own intervals overlap by far."""
    draw = np.random.default_rng(1)
    target, shared = draw.normal(size=500), draw.normal(size=500)
    a, b = {"value": target + 0.9 * shared}, {"value": target + shared + 0.1 * draw.normal(size=500)}
    found = difference(metric, metric.rows(a, target), metric.rows(b, target))
    assert found.p < 0.01 and (found.low > 0) == metric.higher_is_better and (found.value > 0) == metric.higher_is_better


def test_groups_are_exchanged_whole() -> None:
    """One group answers all alike: eight groups cannot prove what 800 rows seem to."""
    group = np.repeat(np.arange(8), 100)
    a, b = (group < 6).astype(float)[:, None], (group >= 6).astype(float)[:, None]
    by_row, by_group = difference(ACCURACY, a, b), difference(ACCURACY, a, b, group)
    assert by_row.p < 1e-6 and by_group.p > 0.1 and "groups" in by_group.test
    assert by_group.high - by_group.low > 3 * (by_row.high - by_row.low)


def test_rows_that_do_not_count_are_left_out_of_both() -> None:
    a, b = np.array([[1.0], [np.nan], [0.0], [1.0]]), np.array([[1.0], [1.0], [np.nan], [0.0]])
    assert difference(ACCURACY, a, b).n == 2
    assert difference(ACCURACY, a[:0], b[:0]) is None


def test_holm_of_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []


# --- rows


def answered(rows: list[int], hashes: list[int] | None = None) -> predictions.TestPredictions:
    keys = np.array(rows if hashes is None else hashes, np.uint64)
    values = np.array(rows, np.float64)
    return predictions.TestPredictions(np.array(rows), keys, values, np.ones(len(rows), bool), np.empty(0), {"value": values * 10})


def test_rows_meet_by_number_or_by_their_inputs() -> None:
    a, b = answered([1, 2, 3, 5], [11, 12, 12, 15]), answered([9, 2, 1, 7], [12, 15, 11, 12])
    by_number = predictions.common([a, b], same_data=True)
    assert by_number[0].rows.tolist() == by_number[1].rows.tolist() == [1, 2] and by_number[1].predicted["value"].tolist() == [10, 20]
    by_inputs = predictions.common([a, b], same_data=False)
    assert by_inputs[0].rows.tolist() == [1, 2, 3, 5] and by_inputs[1].rows.tolist() == [1, 9, 7, 2]  # the first of equal rows with the first
    assert [len(one) for one in predictions.common([a, answered([8])], same_data=True)] == [0, 0]
    bare = predictions.TestPredictions(a.rows, np.empty(0, np.uint64), a.target, a.present, a.groups, a.predicted)
    assert len(predictions.common([a, bare], same_data=False)[0]) == 0 and len(predictions.common([a, bare], same_data=True)[0]) == 4


def test_what_is_kept_is_bounded_and_the_same_rows_elsewhere(tmp_path: Path) -> None:
    keys = np.random.default_rng(0).integers(0, 1 << 62, 30_000)
    a, b = answered(list(range(30_000)), keys.tolist()), answered(list(range(30_000)), keys[::-1].tolist())
    kept, other = a.thinned(), b.thinned()
    assert len(kept) == 20_000 and set(kept.hashes.tolist()) == set(other.hashes.tolist()) and (np.diff(kept.rows) > 0).all()
    kept.save(tmp_path, 0)
    again = predictions.TestPredictions.load(tmp_path, 0)
    assert again is not None and (again.hashes == kept.hashes).all() and (again.predicted["value"] == kept.predicted["value"]).all()
    assert predictions.TestPredictions.load(tmp_path, 1) is None
    assert predictions.joined([answered([4, 6]), answered([5])]).rows.tolist() == [4, 5, 6]
    (tmp_path / "test-0.npz").write_bytes(b"PK nothing")
    with pytest.raises(RunError, match="damaged"):
        predictions.TestPredictions.load(tmp_path, 0)


# --- runs


@pytest.fixture(scope="module")
def pair(table: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A net that finds the rule and a line that cannot, on the same rows."""
    out = tmp_path_factory.mktemp("pair")
    good = mapsto.train(table, "x, shop -> y, sign", steps=300, model=SMALL, out=out, name="net", emit=ignore)
    return good, mapsto.train(table, "x, shop -> y, sign", steps=60, model="linear", out=out, name="line", emit=ignore)


def test_the_better_run_is_found_and_chance_ruled_out(pair: tuple[Run, Run]) -> None:
    net, line = contests(opened([run.path for run in pair]))[0].names
    runs, sections = compared([run.path for run in pair])
    assert [section.name for section in sections] == ["settings", "which-y", "which-sign", "cost", "curves-y", "curves-sign", "metrics-y", "metrics-sign"]
    for section, metric in zip(sections[1:], ("r2", "accuracy"), strict=False):
        found = section.figures
        assert found["order"] == [net, line] and found["metric"] == metric and found["n"] == runs[0].record["rows"]["test"]
        assert found["pairs"][0]["sure"] and section.headline.startswith(f"{net} is better:")
        slot = section.name.partition("-")[2]
        for run, name in zip(runs, (net, line), strict=True):
            assert found["values"][metric][name] == pytest.approx(run.metrics["test"][slot][metric]["value"], abs=1e-6)
    assert any(row[0] == "model" for row in sections[0].blocks[0].rows)
    json.dumps([section.to_json() for section in sections], allow_nan=False)


def test_runs_are_called_by_their_names_and_drawn_over_each_other(pair: tuple[Run, Run], tmp_path: Path) -> None:
    runs, sections = compared([run.path for run in pair])
    assert called(runs) == ("net", "line")
    by_name = {section.name: section for section in sections}
    (chart,) = by_name["curves-y"].blocks
    assert [line.name for line in chart.lines] == ["net", "line"] and chart.lines[0].x[-1] == 300
    assert by_name["settings"].headline.startswith("They differ in model") and by_name["settings"].blocks[0].columns == ("", "net", "line")
    page = write_page(runs, sections, tmp_path / "page.html").read_text()
    assert page.index("net: ") < page.index('id="settings"') < page.index('id="which-y"') and page.count("net is better: R²") == 2
    twin = Run(tmp_path / runs[0].path.name, runs[0].record)
    assert called([runs[0], twin]) == tuple("/".join(run.path.resolve().parts[-2:]) for run in (runs[0], twin)), "two of one name"


def test_compare_on_the_command_line(pair: tuple[Run, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(run.path) for run in pair]
    assert main(["compare", *paths]) == 0
    said = capsys.readouterr().out
    assert "is better: R² " in said and "McNemar" in said and said.rstrip().endswith("compare.html")
    page = (pair[0].path.parent / "compare.html").read_text()
    assert "At what cost?" in page and "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert main(["compare", *paths, "--json", "--metric", "log_loss@sign", "--out", str(tmp_path / "deep" / "page.html")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outputs"]["sign"]["metric"] == "log_loss" and found["outputs"]["y"]["metric"] == "r2" and Path(found["page"]).exists()


def test_a_run_against_its_copy_cannot_be_told(pair: tuple[Run, Run], tmp_path: Path) -> None:
    shutil.copytree(pair[0].path, tmp_path / "copy")
    _, sections = compared([pair[0].path, tmp_path / "copy"])
    assert sections[1].figures["pairs"][0]["p"] == 1.0 and "cannot be told" in sections[1].headline
    assert "Nothing that is recorded differs" in sections[0].headline


def test_rows_of_another_file_in_another_order_meet(pair: tuple[Run, Run], table: Path, tmp_path: Path) -> None:
    """The same rows shuffled, a few left out and one answer changed: those that both were tested on count, by their inputs."""
    frame = pl.read_csv(table).sample(fraction=1.0, shuffle=True, seed=3).head(560)
    test = frame.with_row_index().filter(pl.col("index") % 2 == 0).drop("index")
    test = test.with_columns(y=pl.when(pl.int_range(pl.len()) < 3).then(pl.col("y") + 1).otherwise(pl.col("y")))
    test.write_csv(tmp_path / "test.csv")
    frame.write_csv(tmp_path / "all.csv")
    more = mapsto.train(
        tmp_path / "all.csv", "x, shop -> y, sign", steps=60, model="linear", test=str(tmp_path / "test.csv"), out=tmp_path, emit=ignore
    )
    found = contests(opened([pair[0].path, more.path]))
    n = len(found[0].target)
    assert 20 < n < pair[0].record["rows"]["test"] and len(found[1].target) >= n
    assert any("not all" in sentence.lower() for sentence in found[0].said) and any("equal inputs" in sentence for sentence in found[0].said)
    assert found[0].order == [0, 1]


def test_three_runs_and_one_of_folds(pair: tuple[Run, Run], table: Path, tmp_path: Path) -> None:
    folds = mapsto.train(table, "x, shop -> y", steps=60, model="linear", folds=3, out=tmp_path, emit=ignore)
    kept = predictions.TestPredictions.load(folds.path, 0)
    assert kept is not None and len(kept) == 600 and (np.diff(kept.rows) > 0).all()
    _, sections = compared([*(run.path for run in pair), folds.path])
    found = sections[1].figures
    assert len(found["pairs"]) == 3 and found["n"] == pair[0].record["rows"]["test"]
    assert "comes first" in sections[1].headline and "for sure" in sections[1].headline and "Not all test rows" in sections[1].blocks[-1].text
    assert [section.name for section in sections] == ["settings", "which-y", "cost", "curves-y", "metrics-y"]


def test_classes_that_one_run_does_not_know_had_no_chance(pair: tuple[Run, Run], table: Path, tmp_path: Path) -> None:
    frame = pl.read_csv(table).with_columns(sign=pl.when(pl.col("x") > 1.2).then(pl.lit("far")).otherwise(pl.col("sign")))
    more = mapsto.train(frame, "x, shop -> sign", steps=100, model=SMALL, out=tmp_path, emit=ignore)
    found = contests(opened([pair[0].path, more.path]))[0]
    assert found.output.type.vocabulary == ("down", "up", "far") and found.predicted[0]["probability"].shape[1] == 3
    assert (found.predicted[0]["probability"][:, 2] == 0).all() and any("different answers" in sentence for sentence in found.said)
    assert found.predicted[0]["probability"].sum(1) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_compared_says_why(pair: tuple[Run, Run], table: Path, tmp_path: Path) -> None:
    net, line = (run.path for run in pair)
    with pytest.raises(RunError, match="two or more different runs"):
        compared([net, net])
    with pytest.raises(ConfigError, match="did you mean 'accuracy'"):
        compared([net, line], "accuracc@sign")
    with pytest.raises(ConfigError, match="no common output 'z'"):
        compared([net, line], "r2@z")
    other = mapsto.train(table, "y -> shop", steps=3, model="linear", out=tmp_path, emit=ignore)
    with pytest.raises(DataError, match="no output in common"):
        compared([net, other.path])
    frame = pl.read_csv(table).with_columns(x=pl.col("x") + 7)
    apart = mapsto.train(frame, "x, shop -> y, sign", steps=3, model="linear", out=tmp_path, emit=ignore)
    with pytest.raises(DataError, match=r"none of the .* test rows"):
        compared([net, apart.path])
    (apart.path / "test-0.npz").unlink()
    with pytest.raises(RunError, match="keeps no predictions of 'y'"):
        compared([net, apart.path])


def test_a_page_cannot_be_written_where_a_file_stands(pair: tuple[Run, Run], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runs, sections = compared([run.path for run in pair])
    with pytest.raises(RunError, match="may not be written"):
        write_page(runs, sections, tmp_path / "file" / "page.html")


# --- answers of unequal length


WORDS = [{"en": f"{first} {second}", "de": f"{second} und {first}"} for first in "abcdefgh" for second in "abcdefghijkl"]


def two(tmp_path: Path, data: object, signatures: tuple[str, str], steps: tuple[int, int], **how: object) -> list[Path]:
    how = {"threads": 1, "plan": "default", "precision": "float32", "emit": ignore, "out": tmp_path, **how}
    return [mapsto.train(data, signature, steps=count, **how).path for signature, count in zip(signatures, steps, strict=True)]


def kept_as(path: Path) -> dict[str, np.ndarray]:
    with np.load(path / "test-0.npz", allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


def agrees(paths: list[Path], slot: str, metric: str) -> tuple[list[Run], dict]:
    """The comparison's figures are those of the runs, by the metric that decides."""
    runs, sections = compared(paths)
    found = sections[1].figures
    assert found["metric"] == metric and found["n"] == runs[0].record["rows"]["test"] and len(found["pairs"]) == 1
    for run, name in zip(runs, contests(runs)[0].names, strict=True):
        for one, figures in run.metrics["test"][slot].items():
            assert found["values"][one][name] == pytest.approx(figures["value"], rel=1e-5), one
        assert not any(part.startswith("predicted.") for part in kept_as(run.path)) and (run.path / "test-0.npz").stat().st_size < 60_000
    json.dumps([section.to_json() for section in sections], allow_nan=False)
    return runs, found


def test_runs_of_tags_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = two(tmp_path, sentences(200), ("words:text -> tags",) * 2, (2, 100), lr=5e-3)
    runs, found = agrees(paths, "tags", "f1")
    assert found["pairs"][0]["sure"] and found["pairs"][0]["test"] == "permutation test" and found["order"][0] == called(runs)[1]
    assert main(["compare", *map(str, paths), "--metric", "accuracy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outputs"]["tags"]["metric"] == "accuracy"
    changed = [{**row, "tags": ["B-thing", *row["tags"][1:]]} if i % 3 == 0 else row for i, row in enumerate(sentences(200))]
    (other,) = two(tmp_path, changed, ("words:text -> tags",), (2,))  # type: ignore[arg-type]
    contest = contests(opened([paths[0], other]))[0]
    assert 0 < len(contest.target) < found["n"] and any("different answers" in sentence for sentence in contest.said)


def test_runs_of_texts_are_compared_by_what_means_the_same_in_both(tmp_path: Path) -> None:
    how = {"model": "seq2seq(width=32, depth=1, decoder=1)", "batch": 16}
    same = two(tmp_path, WORDS, ("en:text -> de:text",) * 2, (1, 30), **how)
    agrees(same, "de", "loss")
    (pieces,) = two(tmp_path, WORDS, ("en:text -> de:text(tokenizer=char)",), (1,), **how)  # type: ignore[arg-type]
    agrees([same[1], pieces], "de", "bleu")
    contest = contests(opened([same[1], pieces]))[0]
    assert any("loss is a mean: it cannot be compared" in sentence for sentence in contest.said)
    assert contests(opened([same[1], pieces]), "loss")[0].metric.name == "loss"


def test_runs_of_spans_are_compared(tmp_path: Path) -> None:
    agrees(two(tmp_path, questions(120), ("question:text, text -> answer:span",) * 2, (1, 30), lr=5e-3), "answer", "f1")


def test_runs_of_transcripts_are_compared(tmp_path: Path) -> None:
    write_clips(tmp_path / "words", 60)
    agrees(two(tmp_path, tmp_path / "words", ("audio -> text",) * 2, (1, 20), model=NET, batch=16, max_bad=0.1), "text", "word_error_rate")


def test_folds_of_unequal_answers_are_measured_together(tmp_path: Path) -> None:
    run = mapsto.train(sentences(60), "words:text -> tags", steps=2, folds=2, threads=1, plan="default", emit=ignore, out=tmp_path)
    found = run.metrics["test"]["tags"]
    assert found["f1"]["n"] == 60 and found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
    parts = [Run.open(path).metrics["test"]["tags"]["accuracy"]["value"] for path in sorted((run.path / "folds").iterdir())]
    assert min(parts) <= found["accuracy"]["value"] <= max(parts)


# --- types


def test_labels_are_compared_where_both_know_them() -> None:
    a, b = Categories(vocabulary=("red", "green", "blue"), side="output"), Categories(vocabulary=("blue", "red", "old"), side="output")
    both = a.output().merged_with(b.output())
    assert both.type.vocabulary == ("red", "blue")
    predicted, target = b.output().translate_to(
        both, {"probability": np.array([[0.1, 0.7, 0.2]]), "value": np.array([[False, True, False]])}, np.array([[0, 1, -1]])
    )
    assert predicted["probability"].tolist() == [[0.7, 0.1]] and predicted["value"].tolist() == [[True, False]] and target.tolist() == [[1, 0]]


def test_numbers_are_not_compared_with_dates() -> None:
    number, date = Number(kind="number", std=1.0), Number(kind="date", std=1.0)
    assert number.merged_with(number) is number
    with pytest.raises(ConfigError, match="cannot be compared with a date"):
        number.merged_with(date)
