"""What commands share. A command is one file in this folder: its help in one line (HELP), its `arguments`,
and what it does (`do`), which gives an exit code. The files are read for `mapsto --help`, so nothing heavy is
imported before `do`."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import glob
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from mapsto.cells import for_spreadsheet
from mapsto.config import Reading
from mapsto.errors import ConfigError, DataError, RunError, printable
from mapsto.files import disk_error, write_atomic

Row = dict[str, Any]


def flags(words: str) -> tuple[str, ...]:
    """Flags from their names."""
    return tuple(f"--{word}" for word in words.split())


def takes_help(
    command: argparse.ArgumentParser,
    common: Sequence[str] = (),
    examples: Sequence[tuple[str, str]] = (),
) -> None:
    """`--help` of a command whose other arguments stand and, where that shows only the common flags,
    `--help-all`. examples: (command line, what it does)."""
    places = [action for action in command._actions if not action.option_strings]
    words = [str(one.metavar or one.dest.upper()) for one in places]  # as they are read, their counts change
    words = [
        f"[{word}]" if one.nargs in ("*", "?") else word for word, one in zip(words, places, strict=True)
    ]
    head = f"usage: {' '.join((command.prog, *words))} [options]\n\n{command.description}"
    more = {"action": Help, "head": head, "examples": examples}
    command.add_argument("-h", "--help", common=common, help="show this", **more)
    if common:
        named = any("--model" in action.option_strings for action in command._actions)
        says = "every option" + ", and what models, learners and metrics there are" * named
        command.add_argument("--help-all", help=says, **more)


class Help(argparse.Action):
    """Print the help and end. common: the flags that are shown, () for all; None: all in their groups, and
    what can be named."""

    def __init__(
        self,
        option_strings: Sequence[str],
        dest: str,
        head: str,
        examples: Sequence[tuple[str, str]],
        help: str,
        common: Sequence[str] | None = None,
    ):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)
        self.head, self.examples, self.common = head, examples, common

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        from mapsto.terminal.help import full_help, short_help

        if self.common is None:
            print(full_help(parser, self.head, self.examples), end="")
        else:
            print(short_help(parser, self.head, self.common, self.examples), end="")
        parser.exit()


def takes_words(command: argparse.ArgumentParser) -> None:
    """Data and signature, in one row of words."""
    command.add_argument(
        "words",
        metavar="DATA [SIGNATURE]",
        nargs="+",
        help="a folder, table or archive (several: train and test files); then, in quotes, what maps to what",
    )


def takes_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", metavar="RUN", help="a run's folder")
    takes_trust(command)


def to_answer(path: str) -> Any:
    """The run at a path, which answers as before while it is being extended."""
    from mapsto.run import Run

    run = Run.open_to_answer(path)
    if run.path not in (Path(path), Path(path).parent):
        print(
            f"mapsto: {printable(path)} is being extended; it answers as before: {run.path}",
            file=sys.stderr,
        )
    return run


def run_or_export(path: str) -> Any:
    """The run at a path, as `to_answer` opens it, or the export."""
    from mapsto.lite import exported

    return exported.open(path) if exported.is_export(path) else to_answer(path)


def takes_trust(command: argparse.ArgumentParser) -> None:
    """Own files, of commands that open a run."""
    command.add_argument(
        "--trust",
        action="append",
        metavar="FILE",
        help="a .py file of yours that a run was made with and may execute; repeatable",
    )


def takes_model(command: argparse.ArgumentParser) -> None:
    """What learns, and how."""
    command.add_argument(
        "--model",
        metavar="MODEL",
        help="a model, with options in parentheses: 'resnet(depth=56)', or a .py file [the recipe's]",
    )
    command.add_argument(
        "--learner",
        metavar="LEARNER",
        help="a way of learning, with options in parentheses [the recipe's]",
    )


def takes_data(command: argparse.ArgumentParser, needed: bool = True, more: str = "") -> None:
    """Rows in, a table out. more: another ending that the command writes, after a comma."""
    command.add_argument(
        "data",
        metavar="DATA",
        nargs="+" if needed else "*",
        help="files, a folder, a table, or - for a csv on standard input",
    )
    takes_places(command)
    command.add_argument(
        "--out",
        help=f"where to write: .csv, .jsonl{more} or .parquet; default: csv on standard output",
    )


def takes_spreadsheet(command: argparse.ArgumentParser) -> None:
    """Of commands that write a csv."""
    command.add_argument(
        "--spreadsheet",
        action="store_true",
        help="of csv: an apostrophe before cells that a spreadsheet would run as formulas",
    )


def takes_places(command: argparse.ArgumentParser) -> None:
    """Where lie the files that its data names, and may they lie elsewhere?"""
    says = {name: spot.metadata["help"] for name, spot in Reading.__dataclass_fields__.items()}
    command.add_argument("--follow-links", action="store_true", help=says["follow_links"])
    command.add_argument("--root", metavar="FOLDER", help=says["root"])


def places(asked: argparse.Namespace) -> Reading:
    """How data is opened where that was asked."""
    return Reading(follow_links=asked.follow_links, root=asked.root)


def parted(words: str | None) -> list[str]:
    """Names with commas between them."""
    return [word.strip() for word in (words or "").split(",") if word.strip()]


SEARCH = ("beam", "penalty", "temperature", "lm_weight")


def takes_search(command: argparse.ArgumentParser) -> None:
    """How answers are searched for, of runs that write or hear texts."""
    command.add_argument(
        "--beam",
        help=(
            "beam search: texts that it keeps, 1: greedy, the likeliest token each time; default: as trained"
        ),
    )
    command.add_argument(
        "--penalty", help="of what is written, length penalty: how much longer answers are favoured (1)"
    )
    command.add_argument(
        "--temperature",
        help="of what is written, sampling temperature: 1 draws tokens as the net believes, 0 searches (0)",
    )
    command.add_argument(
        "--lm", metavar="RUN", help="of what is heard: a language model beside, a run that learned -> text"
    )
    command.add_argument("--lm-weight", metavar="WEIGHT", help="how much it counts (0.5)")


def searched(run: Any, asked: argparse.Namespace) -> Any:
    """The run, searching as it was asked to."""
    how = {name: value for name in SEARCH if (value := getattr(asked, name)) is not None}
    return run.search(asked.lm, **how) if how or asked.lm else run


def data_and_signature(words: list[str]) -> tuple[Any, str | None]:
    """The signature is the word with an arrow; every other word is data."""
    signatures = [word for word in words if "->" in word or "→" in word]
    data = [word for word in words if word not in signatures]
    if len(signatures) > 1:
        raise RunError(
            f"expected one signature, got {len(signatures)}: {', '.join(signatures)}.\nKeep one of them."
        )
    if not data:
        raise RunError('expected data, got only a signature.\nmapsto train DATA "image -> category"')
    unknown = [
        word
        for word in data[1:]
        if not Path(word.split("*")[0]).exists()
        and not any(Path(p).exists() for p in Path(word).parents if str(p) != ".")
    ]
    if unknown:
        raise RunError(
            f"'{unknown[0]}' is neither a file nor a signature.\nA signature has an arrow and stands in"
            ' quotes: "image -> category".'
        )
    for word in data:
        _look_for(word)
    return (data[0] if len(data) == 1 else data), (signatures[0] if signatures else None)


def _look_for(word: str) -> None:
    """DataError at once where plainly nothing is, before libraries are loaded that take seconds."""
    from mapsto.data.files import missing

    path = Path(word.partition("::")[0]).expanduser()
    nowhere = word.strip() and not glob.has_magic(word) and not os.path.lexists(path)
    if nowhere and not any(each.is_file() for each in path.parents):
        raise missing(path)


def settings(command: argparse.ArgumentParser, group: type) -> None:
    """A flag for every field of a group of settings; help and units stand in the fields."""
    section = command.add_argument_group(group.__name__.lower())
    for spot in dataclasses.fields(group):
        if isinstance(spot.default, bool):
            section.add_argument(
                f"--{spot.name.replace('_', '-')}",
                help=spot.metadata["help"],
                action="store_true",
                default=None,
            )
            continue
        default = f" [{spot.default}]" if spot.default is not None else ""
        section.add_argument(
            f"--{spot.name.replace('_', '-')}",
            help=(spot.metadata["help"] + default).replace("%", "%%"),
            metavar=_metavar(spot),
        )


def _metavar(spot: dataclasses.Field[Any]) -> str:
    """What follows a setting's flag: its choices, a number, or what its record says."""
    if "choices" in spot.metadata:
        return "|".join(spot.metadata["choices"])
    number = any(word in str(spot.type) for word in ("int", "float"))
    return (
        "N"
        if number
        else spot.metadata.get("metavar") or ("COLUMNS" if "several" in spot.metadata else "TEXT")
    )


def input_paths(words: list[str]) -> Any:
    """Paths as given; '-' is a table on standard input."""
    if words != ["-"]:
        return words[0] if len(words) == 1 else words
    rows = _rows_of_input()
    if not rows:
        raise DataError(
            "standard input: expected a csv with a header and rows, found none.\nGive some, or name files."
        )
    return rows


def _rows_of_input() -> list[Row]:
    """The rows of standard input, its encoding and what stands between cells found as a file's are; rows that
    cannot be divided into cells are told and left out. The first line is the header, also where nothing but
    its place says so."""
    from mapsto.data.formats.delimited import open_delimited
    from mapsto.data.formats.dialect import LINE, find_dialect
    from mapsto.source import table_of

    stream = sys.stdin
    data = stream.buffer.read() if isinstance(stream, io.TextIOWrapper) else stream.read().encode()
    if not data.strip():
        return []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "standard input"
        path.write_bytes(data)
        dialect = find_dialect(path)
        if dialect.delimiter == LINE or not dialect.has_header:
            mark = dialect.delimiter if len(dialect.delimiter.strip(" ")) == 1 else ","
            text = data.decode(dialect.encoding, "replace").removeprefix("\ufeff")
            return list(csv.DictReader(io.StringIO(text), delimiter=mark))
        source = open_delimited(path, dialect)
        for bad in (bad for chunk in source.chunks() for bad in chunk.bad):
            print(f"mapsto: left out: standard input, {bad.where}: {bad.why}", file=sys.stderr)
        table = table_of(source)
    return [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]


def spare(data: Sequence[str], out: str | None) -> None:
    """ConfigError where what is read would be written over."""
    if out is None or not Path(out).exists():
        return
    if any(Path(place).exists() and os.path.samefile(place, out) for place in data):
        raise ConfigError(f"--out {out}: is what is read, and would be lost.\nGive another name.")


def write_rows(rows: Iterable[Row], out: str | None, spreadsheet: bool = False) -> None:
    """csv, jsonl or parquet, by the name's ending. spreadsheet: csv cells that look like formulas are
    guarded; else they are written as they are, as a program reads them."""
    guard = for_spreadsheet if spreadsheet else _as_it_is
    if out is None:
        _write_csv(rows, sys.stdout, guard)
        return
    if spreadsheet and Path(out).suffix.lower() != ".csv":
        raise ConfigError(f"--spreadsheet guards csv, {out} is none.\nLeave it out, or write to a .csv.")
    writers: dict[str, Callable[[Iterable[Row], Path], None]] = {
        ".csv": partial(_csv_file, guard=guard),
        ".jsonl": _jsonl_file,
        ".parquet": _parquet_file,
    }
    ending = Path(out).suffix.lower()
    if ending not in writers:
        raise ConfigError(f"--out {out}: expected a name ending in .csv, .jsonl or .parquet.\nGive it one.")
    write_atomic(folder_made(Path(out)), lambda path: writers[ending](rows, path))


def folder_made(out: Path) -> Path:
    """The path, once its folder is there."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise disk_error(out, problem) from None
    return out


def _as_it_is(cell: Any) -> Any:
    return cell


def _write_csv(rows: Iterable[Row], file: IO[str], guard: Callable[[Any], Any]) -> None:
    table: Any = None
    watched = file.isatty()
    for row in rows:
        if table is None:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(map(guard, row))
        table.writerow(map(_shown if watched else guard, row.values()))


def _shown(cell: Any) -> Any:
    """A cell as a terminal may show it."""
    return printable(cell) if isinstance(cell, str) else cell


def _csv_file(rows: Iterable[Row], path: Path, guard: Callable[[Any], Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        _write_csv(rows, file, guard)


def _jsonl_file(rows: Iterable[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _parquet_file(rows: Iterable[Row], path: Path) -> None:
    import tempfile

    import duckdb

    with tempfile.TemporaryDirectory() as folder:
        between = Path(folder) / "rows.jsonl"
        _jsonl_file(rows, between)
        with duckdb.connect() as base:
            rows_of = f"SELECT * FROM read_json_auto('{between}', format='newline_delimited')"
            base.execute(f"COPY ({rows_of}) TO '{str(path).replace(chr(39), chr(39) * 2)}' (FORMAT parquet)")
