"""Codes of the classes that an input has: new ones append at the end, so these come first."""

MISSING, OTHER, FIRST = 0, 1, 2
