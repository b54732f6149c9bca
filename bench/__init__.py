"""Figures, each beside its baseline in the same run: `python -m bench [name …]`."""
