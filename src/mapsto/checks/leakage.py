"""Inputs that copy or determine the target: alone, or several together. With such a column nothing is learned
but where to look.

Exactness decides, never accuracy (`measure.dependence`): iris petals, spam words and a good score predict
very well and pass. Where the columns found are all the inputs there are, they are no shortcut past anything:
that is said, and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from mapsto.checks.base import Evidence, Fact, Finding, listed, to_drop
from mapsto.measure import dependency
from mapsto.measure.dependency import codes_of
from mapsto.signature import Slot

FEW = 200  # values of a column that is paired with others
MOST_PAIRS = 5_000
CUT_ROWS = 1_000  # rows in which a fixed value divides the classes without exception: nothing in nature does
NEAR = 0.1  # of the trivial answer's errors: a column that leaves fewer almost copies the target
NEAR_ROWS = 500
NEAR_R = 0.9995  # correlation with a numeric target, likewise
LEAKAGE = "leakage"  # of findings that stop a training
ALLOW = "; or, if it is known when predicting, --allow leakage"
LEARNED = (
    "what is learned is to read the answer off it; on new rows, where it is not known yet, that is worth"
    " nothing"
)


def look(evidence: Evidence) -> list[Finding]:
    found = _itself(evidence)
    rows = evidence.different_rows
    targets = evidence.targets if len(rows) >= dependency.LEAST else []
    for target in evidence.clock.each(targets, "answers"):
        alone, near = _alone(evidence, target, rows)
        found += _said_alone(evidence, target, alone)
        found += _said_near(evidence, target, near)
        taken = {fact.column for facts in alone.values() for fact in facts}
        rest = [fact for fact in evidence.given if fact.column not in taken]
        together = (
            _sums(evidence, target, rest, rows)
            or _coded_sums(evidence, target, rest, rows)
            or _pairs(evidence, target, rest, rows)
        )
        found += together
    return found


# --- the target itself ----------------------------------------------------------------------------


def _itself(evidence: Evidence) -> list[Finding]:
    """Outputs that stand left of the arrow, too: the same column, or one with the same cells in every row. Of
    plain tables the rest tells."""
    found = []
    plain = {fact.slot.name for fact in evidence.targets}
    for target in evidence.outputs:
        for slot in evidence.inputs:
            if slot.column == target.column:
                what = f"'{slot.column}' stands on both sides of the arrow: the input is the target"
            elif target.name not in plain and _equal(evidence, slot, target):
                what = (
                    f"'{slot.column}' is '{target.column}' in every row: the input is the"
                    f" target{evidence.said_rows}"
                )
            else:
                continue
            fix, rows = (
                "name another column on one side; or, to learn to copy, --allow leakage",
                tuple(evidence.rows[:5].tolist()),
            )
            found.append(
                Finding(LEAKAGE, "stop", what, "what is learned is to copy it", fix, (slot.column,), 1, rows)
            )
    return found


def _equal(evidence: Evidence, slot: Slot, target: Slot) -> bool:
    """Are a text's cells those of the target in every row that has both?"""
    given, true = evidence.texts(slot), evidence.cells(target.column)
    if given is None or true is None:
        return False
    pairs = [
        (a, b)
        for a, b in zip(given, true, strict=True)
        if isinstance(a, str) and isinstance(b, str) and a.strip() and b.strip()
    ]
    return len(pairs) >= dependency.LEAST and all(a == b for a, b in pairs)


# --- one column -----------------------------------------------------------------------------------


def _alone(evidence: Evidence, target: Fact, rows: np.ndarray) -> tuple[dict[str, list[Fact]], list[Fact]]:
    """({how: facts that determine the target}, facts that nearly do)."""
    found: dict[str, list[Fact]] = {}
    near = []
    answer = target.values[rows]
    classes = codes_of(answer)
    for fact in evidence.given:
        how = _determined(fact, target, rows, answer, classes, evidence)
        if how:
            found.setdefault(how, []).append(fact)
        elif _nearly(fact.values[rows], answer, classes, target.ordered and fact.ordered):
            near.append(fact)
    return found, near


def _determined(
    fact: Fact, target: Fact, rows: np.ndarray, answer: np.ndarray, classes: np.ndarray, evidence: Evidence
) -> str:
    """How a fact tells the target: "copy", "order", "cut"; "" when it does not."""
    values, known = fact.values[rows], fact.known[rows]
    there = "" if known.all() or dependency.determines(known.astype(np.int64), classes) is None else "copy"
    if there or (fact.part == "moment" and target.part != "moment"):
        return there
    if target.ordered and fact.ordered and dependency.same_order(values, answer):
        return "" if fact.column in evidence.ids else "order"
    codes = codes_of(values)
    exact = dependency.determines(codes, classes)
    if exact is None and not known.all():  # missing may be a value as well
        exact = dependency.determines(
            np.where(known, codes + 1, 0) if fact.ordered else np.where(values == -2, -1, codes + 1), classes
        )
    elif exact is not None and exact.rows < 0.5 * len(rows):
        exact = None
    if exact is None:
        few = not target.ordered or len(np.unique(answer[~np.isnan(answer)])) < dependency.LEVELS
        return "cut" if fact.ordered and few and dependency.threshold(values, classes) else ""
    if (
        fact.ordered
        and exact.values > 2 * (classes.max() + 1)
        and _runs(values, classes) <= 2 * (classes.max() + 1)
    ):
        return "cut" if dependency.threshold(values, classes) else ""
    return "copy"


def _runs(values: np.ndarray, classes: np.ndarray) -> int:
    """How often the class changes along the values."""
    known = ~np.isnan(values) & (classes >= 0)
    order = np.argsort(values[known], kind="stable")
    return int((np.diff(classes[known][order]) != 0).sum()) + 1


def _nearly(values: np.ndarray, answer: np.ndarray, classes: np.ndarray, numbers: bool) -> bool:
    if len(values) < NEAR_ROWS:
        return False
    if numbers:
        return (
            abs(dependency.correlation(values[:1000], answer[:1000])) > NEAR_R
            and abs(dependency.correlation(values, answer)) > NEAR_R
        )
    codes = codes_of(values)
    codes = codes + 1 if (codes < 0).any() else codes  # missing is a value
    if codes.max() >= 2 * max(10, classes.max() + 1):
        codes = (codes > 0).astype(np.int64)  # of a column of many values: is there one at all?
    if codes.max() < 1 or classes.max() < 1 or classes.max() > 100:
        return False
    wrong, trivial = dependency.errors(codes, classes)
    return 0 < wrong <= NEAR * trivial


def _said_alone(evidence: Evidence, target: Fact, found: dict[str, list[Fact]]) -> list[Finding]:
    said = []
    for how, facts in found.items():
        columns = _columns(facts)
        known = int(min((fact.known & target.known).sum() for fact in facts))
        words = {
            "copy": ("determines", "determine", "equal values always stand beside the same {}"),
            "order": ("determines", "determine", "it rises or falls with {} without exception"),
            "cut": ("decides", "decide", "{} changes exactly where it passes a fixed value"),
        }[how]
        what = (
            f"{listed(columns)} {words[0] if len(columns) == 1 else words[1]} {target}:"
            f" {words[2].format(target)}{evidence.said_rows}"
        )
        said.append(
            _finding(
                evidence,
                target,
                columns,
                what,
                stops=how != "cut" or known >= CUT_ROWS,
                rows=_examples(evidence, facts[0]),
            )
        )
    return said


def _said_near(evidence: Evidence, target: Fact, near: list[Fact]) -> list[Finding]:
    columns = _columns(near)
    if not columns:
        return []
    verb = "copies" if len(columns) == 1 else "copy"
    what = (
        f"{listed(columns)} almost {verb} {target}: alone it leaves less than a tenth of the"
        f" errors{evidence.said_rows}"
    )
    effect = "if it is only known once the answer is, the figures flatter"
    return [
        Finding(
            "nearly leaking",
            "warn",
            what,
            effect,
            to_drop(columns),
            tuple(columns),
            len(columns),
            rows=_examples(evidence, near[0]),
        )
    ]


# --- several columns ------------------------------------------------------------------------------


def _sums(evidence: Evidence, target: Fact, facts: Sequence[Fact], rows: np.ndarray) -> list[Finding]:
    """Sums, differences, weighted sums, products and quotients; of a target with two classes, too."""
    answer = target.values[rows]
    if not target.ordered:
        classes = answer.astype(np.float64)
        classes[answer < 0] = np.nan
        names = _numbers(evidence, target)
        answer = names[np.maximum(answer, 0)] + 0 * classes if names is not None else classes
    numbers = [fact for fact in facts if fact.ordered and fact.part != "moment"]
    columns = [fact.values[rows] for fact in numbers]
    found = dependency.linear_identity(columns, answer)
    if found is not None:
        told = _sum_of([numbers[i] for i in found.columns], found.weights, found.unweighted)
        return [
            _joint(
                evidence,
                target,
                [numbers[i] for i in found.columns],
                f"{told} is {target}",
                stops=found.unweighted,
            )
        ]
    if target.ordered and (found := dependency.product_identity(columns, answer)) is not None:
        told = " ".join(
            f"{'×' if power > 0 else '÷'} {numbers[i]}"
            for i, power in zip(found.columns, found.weights, strict=True)
        )
        return [
            _joint(
                evidence,
                target,
                [numbers[i] for i in found.columns],
                f"{told.removeprefix('× ')} is {target}",
                stops=True,
            )
        ]
    return []


def _coded_sums(evidence: Evidence, target: Fact, facts: Sequence[Fact], rows: np.ndarray) -> list[Finding]:
    """Two numbers whose sum or difference is a code of the class."""
    if target.ordered:
        return []
    classes = codes_of(target.values[rows])
    numbers = [(fact, fact.values[rows]) for fact in facts if fact.ordered and fact.part != "moment"]
    for (a, x), (b, y) in _first(combinations(numbers, 2), MOST_PAIRS):
        for told, value in (("+", x + y), ("-", x - y)):
            value = np.round(value, 6)
            few = (
                len(np.unique(value[: dependency.FIRST]))
                <= 2 * (classes.max() + 1)
                < len(np.unique(x[: dependency.FIRST]))
            )
            if few and dependency.determines(codes_of(value), classes) is not None:
                return [
                    _joint(
                        evidence,
                        target,
                        [a, b],
                        f"{a} {told} {b} is a number of its own for each class",
                        stops=True,
                    )
                ]
    return []


def _numbers(evidence: Evidence, target: Fact) -> np.ndarray | None:
    """The classes as the numbers they are named by, or None."""
    try:
        return np.array([float(name) for name in evidence.column_type("output", target.slot).classes])
    except ValueError:
        return None


def _sum_of(facts: Sequence[Fact], weights: Sequence[float], simple: bool) -> str:
    if not simple:
        return "a weighted sum of " + listed([str(fact).strip("'") for fact in facts])
    order = sorted(range(len(facts)), key=lambda i: weights[i] < 0)
    told = " ".join(f"{'-' if weights[i] < 0 else '+'} {facts[i]}" for i in order).removeprefix("+ ")
    return told if abs(abs(weights[0]) - 1) < 1e-3 else f"{told}, times a number,"


def _pairs(evidence: Evidence, target: Fact, facts: Sequence[Fact], rows: np.ndarray) -> list[Finding]:
    """Two columns whose values together always stand beside the same target: halves of its name, digits, an
    exclusive or."""
    classes = codes_of(target.values[rows])
    coded = [(fact, codes_of(fact.values[rows])) for fact in facts]
    few = [(fact, codes) for fact, codes in coded if 0 < codes.max() < FEW]
    for (a, x), (b, y) in _first(combinations(few, 2), MOST_PAIRS):
        both = np.where((x >= 0) & (y >= 0), x * (int(y.max()) + 1) + y, -1)
        exact = dependency.determines(both, classes)
        if exact is not None and exact.rows >= 0.5 * len(rows):
            return [
                _joint(
                    evidence,
                    target,
                    [a, b],
                    "equal pairs of their values always stand beside the same answer",
                    stops=True,
                )
            ]
    return []


def _first(pairs: Iterable, most: int) -> Iterable:
    return (pair for _, pair in zip(range(most), pairs, strict=False))


def _joint(evidence: Evidence, target: Fact, facts: Sequence[Fact], why: str, stops: bool) -> Finding:
    columns = _columns(facts)
    what = f"{listed(columns)} together determine {target}: {why}{evidence.said_rows}"
    return _finding(evidence, target, columns, what, stops, _examples(evidence, facts[0]))


# --- saying it ------------------------------------------------------------------------------------


def _finding(
    evidence: Evidence, target: Fact, columns: Sequence[str], what: str, stops: bool, rows: tuple[int, ...]
) -> Finding:
    """A leak; where it takes all the inputs there are, or is a rule rather than a copy, only a warning."""
    all_of_them = {slot.column for slot in evidence.inputs} <= set(columns)
    if all_of_them:
        what, effect, fix = (
            f"{what} (there is no other input)",
            "the answer can be looked up without learning anything",
            "--target another column",
        )
    else:
        effect, fix = LEARNED, to_drop(columns)
    level = "stop" if stops and not all_of_them else "warn"
    fix += ALLOW if level == "stop" else ""
    return Finding(
        LEAKAGE if level == "stop" else "determined",
        level,
        what,
        effect,
        fix,
        tuple(columns),
        len(columns),
        rows=rows,
    )


def _columns(facts: Iterable[Fact]) -> list[str]:
    return list(dict.fromkeys(fact.column for fact in facts))


def _examples(evidence: Evidence, fact: Fact) -> tuple[int, ...]:
    return tuple(evidence.rows[np.flatnonzero(fact.known)[:5]].tolist())
