"""A run as something that answers by itself: written beside the run, and proved against it before it appears.

A file in this folder is a form of export, as `--to` names it, and holds
    HELP                      what it is, in a line
    OPTIONS                   where it has any: of `export`'s, those that only such forms take
    write(making) -> [sentence]     the files of the form (`mapsto.deploy._making.Making`); what to say of it
The rest is the same for all: the folder, the comparison, the card.
"""

from __future__ import annotations

from mapsto.deploy._making import Making, export

__all__ = ["Making", "export"]
