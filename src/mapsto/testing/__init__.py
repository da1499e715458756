"""Contracts as functions, for authors of packages: what mapsto's own tests call over whole folders."""
