"""Measures what Patchbay promises about speed, each figure beside its baseline in the same run: `python -m bench [NAME…]`."""
