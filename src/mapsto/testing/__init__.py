"""The contracts as checks, for authors of packages: what mapsto's own tests ask of every file of a folder.

    from mapsto.testing import check_output, check_type

    def test_my_type() -> None: check_type(Colour, ["#ff8800", "#000000", None])
    check_output(check_type(Colour, ["#ff8800", "#000000", None], side="output").output(), ["#ff8800", None])

Those of learners stand in `mapsto.testing.learners`, those of readers in `mapsto.testing.readers`. A broken
contract is an AssertionError that says which.
"""

from __future__ import annotations

from mapsto.testing._outputs import check_output
from mapsto.testing._types import check_type

__all__ = ["check_output", "check_type"]
