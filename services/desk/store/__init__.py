"""Desk's only SQL: `filing.py` what the log tells of tickets, `listing.py` lists and counts, `searching.py` and `documents.py`
words, `reading.py` one ticket or customer, `erasure.py` forgetting a person, `views.py` saved views. Nothing here commits.
"""
