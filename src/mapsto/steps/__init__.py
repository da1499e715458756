"""The main path: prepare, fit, finish, report."""
