"""How alike two texts are: BLEU (Papineni et al. 2002) and chrF (Popović 2015) by sacrebleu, ROUGE (Lin
2004), and equality.

Of several references of a row (`mapsto.types.text.references`) BLEU counts the runs that any of them has, of
chrF, ROUGE and equality the best counts (for summaries as in Cachola et al. 2020). Each is a function of sums
over rows, so it bootstraps. Letters: n rows, R resamples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np

from mapsto.errors import ConfigError
from mapsto.metrics import NAN, Arrays, Metric, mean_of, ratio_of, summed
from mapsto.types.text.several import apart

Rows = Callable[[Arrays, np.ndarray], np.ndarray]
Emit = Callable[[Sequence[np.ndarray]], list[str]]  # rows of token numbers -> their texts
FIRST, BEST = (
    " Of several references, of the first.",
    " Of several references the one that gives the most counts.",
)
SPACELESS = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]"
)  # scripts that put no spaces between words


def figures(told: Emit) -> tuple[Metric, ...]:
    """Metrics of predicted {"nats": (n,), "value": (n,) arrays of tokens} and target (n,) arrays of tokens,
    each with all of a row's references. ConfigError: no sacrebleu."""
    bleu, chrf = _library("BLEU"), _library("CHRF")
    likelihood = (
        "Mean negative logarithm (nats) of the probability of a true token, given what stands before it."
    )
    equal = "Share of texts that are the reference, letter for letter."
    return (
        _of_rows("loss", likelihood, _loss, ratio_of, FIRST, False),
        _of_counts(told, "bleu", bleu, "BLEU: runs of one to four words shared with the reference"),
        _of_counts(told, "chrf", chrf, "chrF: runs of one to six characters shared with the reference"),
        _of_rows(
            "rouge1",
            "ROUGE-1: F1 of the words shared with the reference, in lower case, mean over texts.",
            _each(told, rouge1),
            mean_of,
            BEST,
        ),
        _of_rows("rouge2", "ROUGE-2: the same of pairs of words.", _each(told, rouge2), mean_of, BEST),
        _of_rows(
            "rougel",
            "ROUGE-L: the same of the longest sequence of words in common.",
            _each(told, rougel),
            mean_of,
            BEST,
        ),
        _of_rows("exact_match", equal, _each(told, lambda said, true: float(said == true)), mean_of, BEST),
    )


def _loss(predicted: Arrays, target: np.ndarray) -> np.ndarray:
    nats = predicted.get("nats", np.full(len(target), NAN))  # a rule has none
    return np.stack([nats, [len(apart(row)[0]) for row in target]], 1).astype(np.float64)


def _counted(told: Emit, metric: Any) -> Rows:
    def rows(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        said, true = _texts(told, predicted["value"]), references(told, target)
        return np.array(metric._extract_corpus_statistics(said, _aligned(true)), np.float64).reshape(
            len(said), -1
        )

    return rows


def _each(told: Emit, measure: Callable[[str, str], float]) -> Rows:
    def rows(predicted: Arrays, target: np.ndarray) -> np.ndarray:
        pairs = zip(_texts(told, predicted["value"]), references(told, target), strict=True)
        return np.array([max(measure(said, one) for one in true) for said, true in pairs], np.float64)[
            :, None
        ]

    return rows


def _of_counts(told: Emit, name: str, metric: Any, says: str) -> Metric:
    def of_sums(sums: np.ndarray) -> np.ndarray:
        return np.array(
            [metric._compute_score_from_stats(row.round().astype(np.int64).tolist()).score for row in sums]
        )

    def reduce(statistics: np.ndarray) -> float:
        return float(of_sums(statistics.sum(0, keepdims=True))[0]) if len(statistics) else NAN

    def definition(target: Iterable[np.ndarray]) -> str:
        return f"{says}, 0 to 100 (sacrebleu: {_signature(metric, {len(apart(row)) for row in target})})."

    return Metric(
        name,
        definition([np.empty(0)]),
        _counted(told, metric),
        reduce,
        sums=summed,
        of_sums=of_sums,
        says=definition,
    )


def _of_rows(
    name: str,
    says: str,
    rows: Rows,
    reduce: Callable[[np.ndarray], float],
    of_several: str,
    higher_is_better: bool = True,
) -> Metric:
    return Metric(
        name,
        says,
        rows,
        reduce,
        higher_is_better,
        says=lambda target: says + of_several * any(len(apart(row)) > 1 for row in target),
    )


def references(told: Emit, target: Iterable[np.ndarray]) -> list[list[str]]:
    """The texts of each row's references."""
    rows = [apart(row) for row in target]
    texts = iter(_texts(told, [one for several in rows for one in several]))
    return [[next(texts) for _ in several] for several in rows]


def likest(said: str, true: Sequence[str]) -> str:
    """Of several references the one that a text is most like."""
    return max(true, key=lambda one: (said == one, rougel(said, one)))


def _aligned(rows: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """As sacrebleu wants them: the first reference of every row, then the second, …, None where a row has
    fewer."""
    return [list(line) for line in zip_longest(*rows)]


def _texts(told: Emit, rows: Iterable[np.ndarray]) -> list[str]:
    rows = list(rows)
    return list(_told(told, tuple(row.tobytes() for row in rows), rows[0].dtype.str if len(rows) else "<i8"))


@lru_cache(maxsize=4)  # of answers and references, for all metrics
def _told(told: Emit, rows: tuple[bytes, ...], dtype: str) -> tuple[str, ...]:
    return tuple(told([np.frombuffer(row, dtype) for row in rows]))


def rouge1(said: str, true: str) -> float:
    return _shared(_words(said), _words(true))


def rouge2(said: str, true: str) -> float:
    return _shared(list(pairwise(_words(said))), list(pairwise(_words(true))))


def rougel(said: str, true: str) -> float:
    """F1 of the longest common subsequence of words."""
    a, b = _words(said), _words(true)
    above = [0] * (len(b) + 1)
    for word in a:
        row = [0]
        for j, other in enumerate(b):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
        above = row
    return _f1(above[-1], len(a), len(b))


def _words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case; single characters where a script puts no spaces between
    words."""
    return [
        piece
        for run in re.findall(r"\w+", text.lower())
        for piece in (run if SPACELESS.search(run) else (run,))
    ]


def _shared(a: Sequence[Any], b: Sequence[Any]) -> float:
    return _f1((Counter(a) & Counter(b)).total(), len(a), len(b))


def _f1(shared: int, first: int, second: int) -> float:
    return 2 * shared / (first + second) if shared else 0.0


def _library(name: str) -> Any:
    """A metric of sacrebleu. ConfigError: not installed."""
    try:
        from sacrebleu.metrics import BLEU, CHRF
    except ImportError:
        raise ConfigError(
            "texts that answer are measured by the library sacrebleu, which is not installed: pip install"
            ' "mapsto[text]"'
        ) from None
    return {"BLEU": BLEU, "CHRF": CHRF}[name]()


def _signature(metric: Any, counts: Collection[int]) -> str:
    """counts: of references that a row may have. The library knows them from what it has scored."""
    metric.corpus_score(["a"] * len(counts), _aligned([["a"] * count for count in counts]))
    return str(metric.get_signature())
