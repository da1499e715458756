"""Sheets of Excel's .xlsx (`mapsto.data.formats.excel`)."""

from __future__ import annotations

import zipfile

from mapsto.data.offer import Offer
from mapsto.source import Source

SUFFIXES = frozenset({".xlsx", ".xlsm"})
FORMATS = ("xlsx",)
BOOK = "xl/workbook.xml"


def claims(offer: Offer) -> float:
    """A zip with a workbook in it."""
    if offer.kind != "zip" or offer.packing:
        return 0.0
    try:
        with zipfile.ZipFile(offer.path) as archive:
            return 1.0 if BOOK in archive.namelist() else 0.0
    except (zipfile.BadZipFile, NotImplementedError):
        return 0.0


def open(offer: Offer) -> Source:
    """DataError: no such sheet, several and none is named, or no rows. ConfigError: openpyxl is missing."""
    from mapsto.data.formats.excel import source_of

    return source_of(offer)
