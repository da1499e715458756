"""The contract of a way to ask an export's graphs.

A file in this folder holds a class named after it. `graphs` names the files NAME.onnx that it asks; `run`
must be there for runs with inputs, `writer` for those that write by themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mapsto.errors import ConfigError

if TYPE_CHECKING:
    from mapsto.generation.sampling import Writer

Arrays = Mapping[str, np.ndarray]


class Way:
    """sessions: ONNX Runtime's, by graph; options: what the learner told of it."""

    graphs: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[bool] = False  # does it find answers token by token?

    def __init__(self, sessions: Mapping[str, Any], options: Mapping[str, Any]):
        self.sessions, self.options = sessions, options

    def run(self, feed: Arrays) -> tuple[dict[str, np.ndarray], int]:
        """What the graphs are given of rows -> ({"output0.value": (B, ...), …} as heads predict it, rows
        B)."""
        raise TypeError(f"{type(self).__name__} answers no rows")

    def writer(self) -> Writer:
        """It as what says what comes next."""
        raise TypeError(f"{type(self).__name__} writes nothing by itself")

    def with_decoding(self, how: Mapping[str, Any]) -> Way:
        """This, searching for answers as asked. ConfigError: it searches for none."""
        raise ConfigError(
            f"an export answers as its run was trained to, so {', '.join(how) or 'a language model'} would"
            " change nothing.\nAsk the run itself."
        )


def ask(session: Any, feed: Arrays) -> dict[str, np.ndarray]:
    """{name of an output: array} of one graph, which is given what it has inputs for."""
    taken = {one.name for one in session.get_inputs()}
    made = session.run(None, {name: value for name, value in feed.items() if name in taken})
    return dict(zip([one.name for one in session.get_outputs()], made, strict=True))
