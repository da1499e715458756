"""The contract of a room: what a type of data must know to stand in a signature.

A room is a frozen dataclass. Fields without mark are its options, as in `image(size=64)`; fields made by
`learned()` are what `fit` found in the training rows. One file in this folder is one type;
`tests/test_types.py` holds every one to this contract.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mapsto.cells import Column
from mapsto.config import from_record, options_of
from mapsto.errors import CellError, ConfigError, SignatureError
from mapsto.files import write_text
from mapsto.lazy import is_tensor, torch
from mapsto.registry import entry
from mapsto.signature import Signature, Slot
from mapsto.source import Source
from mapsto.types._checked import Checked

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mapsto.batch import Draw, Field, Ragged
    from mapsto.blocks import Item
    from mapsto.prediction import Prediction

MISSING_CELLS, SHARES = (
    "missing cells (share)",
    (0.1, 0.25, 0.5),
)  # the corruption that every column of a table knows


def learned(default: Any) -> Any:
    """A field that `fit` fills from training rows; no user option."""
    return field(default=default, metadata={"learned": True})


@dataclass(frozen=True)
class Layout:
    """One encoded cell in the store. shape () is a scalar; a first dimension of None is a sequence of any
    length. Sequences that do not pace, such as a picture's few boxes, hardly change what a step costs: rows
    are not put together by their lengths, and a graph may be compiled."""

    dtype: str
    shape: tuple[int | None, ...] = ()
    paces: bool = True  # of sequences: do their lengths decide how batches are made, as those of texts do?

    @property
    def ragged(self) -> bool:
        return bool(self.shape) and self.shape[0] is None


@dataclass(frozen=True)
class DataType(Checked):
    """A room. `name` is its file's name."""

    # the kinds of answers it can be right of the arrow (`mapsto.outputs`), the usual one first; none: it
    # cannot stand there
    outputs: ClassVar[tuple[str, ...]] = ()
    reading: ClassVar[tuple[str, ...]] = ()  # fields that change what `encode` writes: they key the store
    modality: ClassVar[str] = (
        "tabular"  # what kind of data the world calls it, as in "tabular classification"
    )
    spatial: ClassVar[bool] = (
        False  # do its cells have places in a plane, so that it says where it puts them (`placement`)?
    )
    prose: ClassVar[bool] = False  # is any str a cell of it, where it names no file?
    takes_any: ClassVar[bool] = False  # is it what words are that no other type knows?
    synonyms: ClassVar[tuple[str, ...]] = ()  # what else it may be called in a signature
    unmistakable: ClassVar[bool] = False  # do its cells look like those of no other type?
    placeholder: ClassVar[Any] = (
        None  # a cell for lines that show how to use a run, where no cell of the data may be shown
    )
    suffixes: ClassVar[frozenset[str]] = frozenset()  # of files that are one cell each, as pictures are
    file_words: ClassVar[str] = ""  # what such files are called, in the plural: "images (png, jpg, …)"
    wants: ClassVar[str] = (
        # what `fit` is given of an input: a "sample" of the training cells; beside it every "distinct" one,
        # as ids want; or "all" cells. Every distinct value of a target is among them anyway
        "sample"
    )
    suffix: ClassVar[str] = ".txt"  # of files that `write` writes; what is .txt is shown in a terminal
    libraries: ClassVar[tuple[str, ...]] = ()  # that reading its cells takes, beside numpy
    web_kind: ClassVar[str] = ""  # the file of `page/fields` that asks for a cell, where it has its own
    marks_text: ClassVar[bool] = (
        False  # are its cells best shown within the text that they speak of (`in_parts`)?
    )

    @classmethod
    def sniff(cls, column: Column) -> float:
        """How sure am I that this column is mine, 0 to 1."""
        return 0.0

    def as_written(self, column: Column, side: str) -> Self:
        """This type, knowing how a whole column writes its cells where one alone could be read in several
        ways (a decimal comma, what stands between labels): asked once, before any is read. column: its
        training cells, and of a target every distinct one. As it is for most."""
        return self

    @classmethod
    def is_file(cls, head: bytes) -> bool:
        """Do a file's first bytes (32 at least, where it has as many) say that it is one cell of mine?"""
        return False

    @classmethod
    def is_cell(cls, value: Any, signature: Signature) -> bool:
        """Is a list, tuple or array that somebody asks about one cell of mine, though its like is a column of
        cells elsewhere?"""
        return False

    @classmethod
    def restated(cls, slot: Slot, signature: Signature, columns: Sequence[str]) -> Signature:
        """The signature as it is learned, where a slot of this type stands for more than its side of it;
        columns: those of the data. As it is for most."""
        return signature

    @classmethod
    def arrange(cls, source: Source, slot: Slot | None, signature: Signature | None) -> Source:
        """The data's rows as this type learns from them: running text for lines, windows for a series. slot:
        the place that asks for it; None, and no signature, when the data has just been opened: a type may
        then add columns that it makes of others. As it is for most."""
        return source

    @classmethod
    def of_space(cls, space: Any, side: str) -> Self | None:
        """A fitted type for what an environment gives ("input") or takes ("output"), by its space (as
        gymnasium's: `n`, or `low`, `high`, `shape` and `dtype`); None where it holds no such thing."""
        return None

    def read(self, cell: Any) -> Any:
        """One raw cell, checked; None when missing. Raises CellError(what is wrong, what to do)."""
        raise TypeError(f"{type(self).__name__} does not read")

    def annotates(self, signature: Signature) -> str | None:
        """The input whose places the cells of this output speak of, as tags do of words: they are then read
        as `cells.Beside`. None for most."""
        return None

    def fit(self, values: Sequence[Any], spec: Mapping[str, Any]) -> Self:
        """A room that knows vocabulary and statistics. values: a sample of read training values, missing ones
        as None, every distinct value of a target among them. spec: {"side": "input"|"output", "rows":
        training rows, "name": the slot's name} and what a model wants (`models.wants`), which wins over the
        defaults but not over the user's options; right of the arrow "kind", the kind of head that the recipe
        chose, and "inputs", {name: fitted type} of what stands left of it."""
        return self

    def extended_from(self, earlier: DataType) -> Self | None:
        """A room, not fitted yet, that goes on where another run's of its side left off (`--from`), with this
        one's own options. None where that room is none to go on from."""
        return replace(earlier, **options_given(self)) if type(earlier) is type(self) else None

    @property
    def layout(self) -> Layout:
        """How one encoded cell lies in the store. Only asked of a fitted room."""
        raise TypeError(f"{type(self).__name__} has no layout")

    def encode(self, value: Any) -> np.ndarray:
        """One read value as an array of `layout`; a missing value (None) has an encoding too."""
        raise TypeError(f"{type(self).__name__} does not encode")

    def encode_all(self, values: Sequence[Any]) -> list[np.ndarray]:
        """Many read values, each as an array of `layout`. Override where that is quicker together."""
        return [self.encode(value) for value in values]

    def read_all(self, cells: Sequence[Any]) -> tuple[list[Any], dict[int, str]]:
        """Every cell read, unreadable ones as missing; {position: why unreadable}."""
        values: list[Any] = []
        problems: dict[int, str] = {}
        for position, cell in enumerate(cells):
            try:
                values.append(self.read(cell))
            except CellError as problem:
                problems[position] = str(problem)
                values.append(None)
        return values, problems

    def encode_column(self, cells: Sequence[Any]) -> tuple[Any, dict[int, str]]:
        """Many raw cells at once -> (array (n, *shape), or a list of arrays when ragged; {position: why
        unreadable}).

        Unreadable cells are encoded as missing; their rows go to quarantine. Override where a column can be
        read faster.
        """
        encoded, problems = [], {}
        for position, cell in enumerate(cells):
            try:
                encoded.append(self.encode(self.read(cell)))
            except CellError as problem:
                problems[position] = str(problem)
                encoded.append(self.encode(None))
        if self.layout.ragged:
            return encoded, problems
        shape = tuple(side for side in self.layout.shape if side is not None)
        return (np.stack(encoded) if encoded else np.empty((0, *shape))).astype(
            self.layout.dtype, copy=False
        ), problems

    def steps(self, arrays: Ragged) -> np.ndarray:
        """(B,) int64: how long a sequence of unequal length is to a net; batches are put together by it."""
        return arrays.lengths.numpy()

    def placement(self, value: Any) -> np.ndarray:
        """(2, 3) float32 (`types._geometry`): from a read value's own coordinates, as in its file, to those
        in which it is stored. Asked of spatial types."""
        raise TypeError(f"{type(self).__name__} has no places")

    def extent(self, value: Any) -> tuple[float, float]:
        """(width, height) of a read value in its own coordinates. Asked of spatial types."""
        raise TypeError(f"{type(self).__name__} has no places")

    def affine(self, draw: Draw) -> Tensor:
        """(B, 2, 3): how `collate` moves the places of stored cells in this draw. Asked of spatial types."""
        raise TypeError(f"{type(self).__name__} has no places")

    def collate(self, arrays: Any, draw: Draw | None, geometry: Tensor | None = None) -> Field:
        """A batch of encoded cells -> what models take. arrays: tensor (B, *shape), or Ragged (in the
        processor's memory) when ragged. Vectorised: normalise and, when `draw` is given (training),
        augment. geometry (B, 2, 3): given to an output that speaks of places in a spatial input
        (`annotates`); where these lie in what the net sees of that input. It takes the input's own
        coordinates there, or, if the output is spatial and so has placed its cells itself, the stored
        ones."""
        return arrays

    @classmethod
    def collates(
        cls, column_types: Mapping[str, Self], arrays: Mapping[str, Any], draw: Draw | None
    ) -> dict[str, Field]:
        """`collate` for all slots of this type on one side. Override to do them in one stroke: tables have
        thousands."""
        return {name: column_type.collate(arrays[name], draw) for name, column_type in column_types.items()}

    def preprocess(self) -> nn.Module:
        """What stands before a net that is used without mapsto: encoded cells (B, *shape) -> what `collate`
        makes of them where nothing is drawn, by the same arithmetic."""
        if self.layout.ragged:
            raise TypeError(f"{type(self).__name__}: cells of unequal length are put together outside a net")
        from mapsto.types._stems import Preprocess

        return Preprocess(self)

    def graph_inputs(self, arrays: Any) -> dict[str, np.ndarray]:
        """LEFT of the arrow: encoded cells, as `encode_column` gives them, as an exported net takes them:
        {name: (B, ...)}, made without PyTorch. Here cells as they lie in the store; of unequal length with
        zeros up to the longest, and their "lengths"."""
        from mapsto.types._graph import cells_of

        return cells_of(arrays, self.layout)

    def from_graph(self, tensors: Mapping[str, Tensor]) -> Field:
        """What `collate` makes of the cells behind `graph_inputs` where nothing is drawn, in an exported net.
        ConfigError: cells of unequal length, of a type that does not say how."""
        if self.layout.ragged:
            raise ConfigError(
                f"type '{type(self).__name__.lower()}' cannot be exported yet: its cells are of unequal"
                " length.\nGive the type a `from_graph`."
            )
        return self.collate(tensors["cells"], None)

    def present(self, arrays: Any) -> Tensor:
        """Which labels are known, when standing right of the arrow: bool (B,), or the target's shape."""
        return torch.ones(len(arrays), dtype=torch.bool, device=arrays.device if is_tensor(arrays) else None)

    @property
    def max_steps(self) -> int:
        """LEFT of the arrow: tokens that its stem gives of a cell at most; 1 where nothing is known of it."""
        return 1

    def texts_of(self, values: Any) -> list[str] | None:
        """LEFT of the arrow: collated values as the texts they were; None where they are none, or keep too
        little."""
        return None

    def views(self, values: Field) -> list[Field]:
        """Test-time views of collated values, whose outputs heads merge: [values], and a mirrored one where
        that changes nothing."""
        return [values]

    @property
    def view_geometry(self) -> Tensor | None:
        """(V, 2, 3): how each of `views` moves places, from the plain view's coordinates to its own; None
        where cells have no places in a plane."""
        return None

    def range_violation(self, values: Field) -> Tensor | None:
        """(B,): how far collated values of an input lie outside what it was fitted on, in any unit; they are
        strange above 1 and above what validation rows show. None where the type itself cannot tell."""
        return None

    def unknown(self, arrays: Any) -> np.ndarray | None:
        """(n,) bool: which encoded cells of an input hold a value that `fit` has not learned, as another name
        than it knows. None where the type cannot tell."""
        return None

    def said(self, name: str) -> str:
        """What a person should hear of how the column `name` is read; "" where it is as anyone would
        expect."""
        return ""

    def why_missing(self, name: str) -> str:
        """Of a column none of whose cells holds a value, as its type read them: why."""
        return "all are missing"

    def show(self, value: Any) -> str:
        """A read value for the terminal."""
        return "—" if value is None else str(value)

    def about(self, names: bool = True) -> str:
        """What it found in the training rows, in one line; never a row's own cell. names: may the values of
        an input be named?"""
        return ""

    def picture(self, value: Any) -> bytes | None:
        """A read value as a PNG, where it is something to look at; None where `show` says it all."""
        return None

    def sound(self, value: Any) -> bytes | None:
        """A read value as a small wav, where it is something to listen to."""
        return None

    # ---- how a cell left of the arrow is asked for and given over the web (`serve`) ----

    def web_field(self, names: bool = True) -> dict[str, Any]:
        """{"kind": which file of `page/fields` asks for it, …: what that needs, as choices or a range}.
        names: may values of the training rows be named?"""
        from mapsto.types._web import field_of

        return field_of(self, names)

    def web_schema(self, names: bool = True) -> dict[str, Any]:
        """JSON schema of a cell in a request."""
        from mapsto.types._web import schema_of

        return schema_of(self, self.web_field(names))

    def from_web(self, cell: Any) -> Any:
        """A cell of a request, JSON's value or a file's bytes, as `read` takes it; never a path. CellError:
        it is none."""
        from mapsto.types._web import cell_of

        return cell_of(self, cell)

    def to_web(self, cell: Any) -> Any:
        """A raw cell of the data as a request holds it in JSON. CellError: it cannot be opened."""
        from mapsto.types._web import shown_cell

        return shown_cell(self, cell)

    def web_options(self) -> dict[str, Any]:
        """What the script beside this type (`web.js` in its folder, or NAME.js) reads a cell by in a browser,
        beside the fields of `to_json`. ConfigError: a browser cannot, as this type was fitted."""
        return {}

    def opens_to(self, cell: Any) -> int:
        """Pixels that a request's file holds once opened, as its head says; 0 of others."""
        return 0

    # ---- what questions ask of a finished run ----

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels that a head of this room tells apart; () for other answers."""
        return ()

    @property
    def answers(self) -> tuple[Any, ...]:
        """The same `classes` as values of the kind that the column's cells had: 3, where a class is '3'."""
        return self.classes

    def merged_with(self, other: Self) -> Self:
        """A room in whose terms the answers of two runs can be told, `other` being the other's: with the
        classes of both. ConfigError where their answers are of different kinds."""
        return self

    def decode_cell(self, array: np.ndarray) -> Any:
        """A read value from its encoding, for runs whose data has moved: encoding it again gives the same
        array. CellError where encoding keeps too little."""
        raise CellError(
            f"a {type(self).__name__.lower()} cannot be told from its encoding.\nPut the data back where it"
            " was."
        )

    def slices(self, values: Sequence[Any]) -> dict[str, np.ndarray]:
        """Parts of the data that may fare differently, by name: (n,) bool each, overlapping or not. values:
        read, missing ones as None, which the caller makes a part of its own. Asked of unfitted rooms too."""
        return {}

    def ticks(self, places: np.ndarray) -> tuple[tuple[float, str], ...] | None:
        """Ascending places on an axis of such values, moved to where a person would put them, each with its
        name; None where they are told as any numbers are."""
        return None

    @property
    def corruptions(self) -> Mapping[str, tuple[float, ...]]:
        """What happens to such values in the world: {name with its unit: levels, weakest first}. Columns
        corrupted under one name are corrupted together."""
        return {}

    def corrupt(self, name: str, level: float, value: Any, draw: np.random.Generator) -> Any:
        """A read value as the world might have given it; missing ones (None) stay as they are."""
        raise TypeError(f"{type(self).__name__} has no corruption '{name}'")

    def parts(self, value: Any, most: int) -> list[Any]:
        """The read value at most `most` times, each time with another part of it hidden, to see what a net
        looks at; [] where it has no parts."""
        return []

    def marked(self, value: Any, weights: Sequence[float]) -> Item:
        """A read value with each of its `parts` marked by a weight from -1 (speaks against the answer) to 1
        (for it)."""
        raise TypeError(f"{type(self).__name__} has no parts")

    @property
    def has_summary_token(self) -> bool:
        """Is the first token its stem gives a summary of the whole cell, such as a text's bag of words?"""
        return False

    def write(self, value: Any, path: Path) -> None:
        """A value that was made, into a file whose name ends in `suffix`."""
        write_text(path, self.show(value) + "\n")

    def stem(self, width: int | None) -> nn.Module:
        """LEFT of the arrow: collated values -> tokens (B, T, width) or map (B, C, H, W), told by its
        attribute `gives` ("tokens" | "map" | "pooled"). width None: plain features (B, F) with nothing
        learned ("pooled"), for linear models and baselines; its attribute `features` is F.
        """
        raise TypeError(f"{type(self).__name__} cannot stand left of an arrow")

    def plain(self, stem: nn.Module, values: Field) -> Any:
        """What its plain stem, `stem(None)`, makes of collated values, as numpy (B, F) float32; scipy's
        csr_array where most of it is 0."""
        return stem(values).flatten(1).float().numpy()

    def plain_tensor(self, stem: nn.Module, values: Field) -> Tensor | None:
        """The same where the values lie, sparse and coalesced; None where it is not mostly 0."""
        return None

    @classmethod
    def stems(cls, column_types: Mapping[str, Self], width: int | None) -> nn.Module:
        """One module for all slots of this type: {name: values} -> {name: features}. Override to do them in
        one stroke."""
        from mapsto.types._stems import EachStem

        return EachStem({name: column_type.stem(width) for name, column_type in column_types.items()})

    @classmethod
    def misplaced(cls, cell: Any) -> bool:
        """RIGHT of the arrow: does a raw cell (`cells.Annotated`) speak of a place of its input that is not
        there, so that it was taken from elsewhere? False where it cannot be read."""
        return False

    def in_parts(self, text: Any, value: Any, true: Any = None) -> tuple[tuple[str, str, bool], ...]:
        """RIGHT of the arrow: the read text that a read value speaks of, in parts (text, label, wrong?).
        true: what it is held against."""
        raise TypeError(f"{type(self).__name__} marks no text")

    def located(self, prediction: Prediction, cell: Any) -> Prediction:
        """A prediction in words, given the raw cell of the input that it speaks of (`into`)."""
        return prediction

    def output(self, kind: str | None = None) -> Any:
        """RIGHT of the arrow: this fitted type as one of the kinds of answers that `outputs` names
        (`mapsto.outputs.base.Output`); None: the one it was fitted for, else the usual one. A type that
        brings an answer of its own gives it here, as a class of its own file."""
        return entry("outputs", kind or self.outputs[0])(self)

    def min_input_steps(self, arrays: Ragged) -> np.ndarray | None:
        """RIGHT of the arrow: (n,) how many `steps` of the input each answer takes at least; None where any
        number will do."""
        return None

    @classmethod
    def with_options(cls, name: str, options: Mapping[str, Any]) -> Self:
        """A room with a user's options, checked."""
        return options_of(cls, options, f"type '{name}'")

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`: JSON's lists become tuples again. ConfigError: a value is of another kind
        than its field."""
        return from_record(cls, record)


def options_given(column_type: DataType) -> dict[str, Any]:
    """{option: value} where it is not the default."""
    plain = [spot for spot in dataclasses.fields(column_type) if not spot.metadata.get("learned")]
    return {
        spot.name: getattr(column_type, spot.name)
        for spot in plain
        if getattr(column_type, spot.name) != spot.default
    }


def quarters(values: Sequence[float | None], show: Callable[[float], str]) -> dict[str, np.ndarray]:
    """Numbers by quartile, {"up to 3.1": (n,) bool, …}; fewer parts where values repeat, none where all are
    alike."""
    known = np.array([np.nan if value is None else value for value in values], np.float64)
    finite = known[np.isfinite(known)]
    edges = (
        np.unique(np.quantile(finite, (0.25, 0.5, 0.75), method="inverted_cdf"))
        if len(finite)
        else np.empty(0)
    )
    edges = edges[edges < finite.max()] if len(edges) else edges
    if not len(edges):
        return {}
    where = np.searchsorted(edges, known)  # (n,): 0 up to the first edge; nan behind the last
    names = [
        f"up to {show(edges[0])}",
        *(f"{show(a)} to {show(b)}" for a, b in pairwise(edges)),
        f"above {show(edges[-1])}",
    ]
    return {name: np.isfinite(known) & (where == i) for i, name in enumerate(names)}


def placed_input(signature: Signature, types: Mapping[tuple[str, str], DataType]) -> str | None:
    """The spatial input in whose places a signature's outputs speak; None where none does. SignatureError:
    of two inputs, whose coordinates one row cannot have together."""
    found: set[str] = set()
    for (side, _), column_type in types.items():
        source = column_type.annotates(signature) if side == "output" else None
        if source is not None and types["input", source].spatial:
            found.add(source)
    if len(found) > 1:
        raise SignatureError(
            f"'{signature}': outputs speak of places in {' and in '.join(sorted(found))}, and a row has one"
            " set of coordinates.\nLearn one of them at a time."
        )
    return next(iter(found), None)


def last_spatial(signature: Signature, of: str | None, kind: str) -> str:
    """The input in whose places an output of type `kind` speaks: the one named, else the last spatial one.
    SignatureError: there is none."""
    found = [
        slot.name
        for slot in signature.inputs
        if slot.type and entry("types", slot.type).spatial and of in (None, slot.name)
    ]
    if not found:
        wanted = "an image" if of is None else f"an image named '{of}'"
        raise SignatureError(
            f"type '{kind}' needs {wanted} left of the arrow, got '{signature}'.\nWrite it as in:"
            f" image -> {kind}"
        )
    return found[-1]


def last_text(signature: Signature, of: str | None, kind: str) -> str:
    """The input that an output of type `kind` speaks of: the one named, else the last text. SignatureError:
    there is none."""
    texts = [slot.name for slot in signature.inputs if slot.type == "text" and of in (None, slot.name)]
    if not texts:
        wanted = (
            "a text left of the arrow" if of is None else f"a text named '{of}' left of the arrow (of={of})"
        )
        raise SignatureError(
            f"type '{kind}' needs {wanted}, got '{signature}'.\nWrite it as in: words:text -> it:{kind}"
        )
    return texts[-1]
