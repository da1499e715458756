"""Kinds of answers, one file each."""
