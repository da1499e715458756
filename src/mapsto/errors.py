"""What can go wrong, as a person should hear it.

    MapstoError
    ├── SignatureError   the sentence "what maps to what" cannot be understood or does not fit the data
    ├── ConfigError      an option, model, learner or metric that does not exist or cannot be honoured
    ├── DataError        a file, row, column or cell is not what it must be
    │   └── CellError    one cell; raised by a room, which knows neither row nor column
    └── RunError         a run folder cannot be created, opened, continued or written
    Stopped              a training was asked to save and leave; no MapstoError

Every message says what was expected, what came, where, and what to do, in at most three lines.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

NEAR = 0.65  # share of letters that two words have in common where one may be meant by the other
LONGEST = 1000  # letters of a line of a message

# What a terminal acts on rather than shows: C0 and C1 but for tab and line feed, marks that turn the order of
# writing, and halves of characters, which no stream can encode.
_ACTED_ON = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


_TWO_STOPS = re.compile(r"(?<=[^.])\.\.$")  # a sentence that ended already, put at the end of another


def printable(text: str) -> str:
    """The text as a terminal may show it: what it would act on stands as Python writes it, \\x1b."""
    return _ACTED_ON.sub(lambda sign: ascii(sign[0])[1:-1], text)


def _cut(line: str) -> str:
    """A line of a message, of which a path or a name may have thousands of letters."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


class MapstoError(Exception):
    """An error that is the user's to solve: printed without a traceback, exit code 2. Cells and names of
    files that stand in it can do nothing to a terminal."""

    def __str__(self) -> str:
        lines = printable(super().__str__()).split("\n")
        return "\n".join(_cut(_TWO_STOPS.sub(".", line)) for line in lines)


class SignatureError(MapstoError):
    """The signature cannot be read or does not fit the data."""


class ConfigError(MapstoError):
    """A setting does not exist, has the wrong kind of value or cannot be honoured."""


class DataError(MapstoError):
    """Data cannot be read as asked; says where."""


class CellError(DataError):
    """One cell cannot be read; the caller adds file, row and column."""


class RunError(MapstoError):
    """A run folder cannot be created, opened, continued or written."""


class Stopped(Exception):
    """A training was asked to save and leave (SIGTERM), to be resumed later: no error of anybody's."""


# What data that nobody thought of, or a net's arithmetic, may raise where one thing's failure must not end
# the others: a question's, a request's, an event's.
FAILURES = (
    MapstoError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    RuntimeError,
    ArithmeticError,
    OSError,
)


def did_you_mean(word: str, choices: Iterable[str], most: int = 12) -> str:
    """The tail of a message: nearest match first, then the choices (at most `most` of them)."""
    names = sorted(str(choice) for choice in choices)
    folded = {name.lower(): name for name in names}
    near = [name for name in _nearest(str(word).lower(), folded) if _is_near(str(word).lower(), name)]
    listed = ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
    hint = f"did you mean '{folded[near[0]]}'? " if near else ""
    return f"{hint}choices: {listed}" if names else f"{hint}there are no choices"


def _nearest(word: str, names: Iterable[str]) -> list[str]:
    return get_close_matches(word, names, n=5, cutoff=0.5)


def _is_near(word: str, name: str) -> bool:
    """May somebody have meant that name? One begins with the other, or most letters are the same; of files of
    one kind their ending does not count."""
    stem, _, ending = word.rpartition(".")
    if stem and name.endswith(f".{ending}"):
        word, name = stem, name[: -len(ending) - 1]
    short, long = sorted((word, name), key=len)
    return (len(short) >= 3 and long.startswith(short)) or bool(
        get_close_matches(word, [name], n=1, cutoff=NEAR)
    )


def failure(problem: Exception) -> str:
    """An error of somebody's file in one line, with its place."""
    place = traceback.extract_tb(problem.__traceback__)[-1]
    line = problem.lineno if isinstance(problem, SyntaxError) else place.lineno
    file = problem.filename if isinstance(problem, SyntaxError) else place.filename
    return f"{type(problem).__name__}: {problem.args[0] if problem.args else problem} ({file}:{line})"
