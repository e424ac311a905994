"""All SQL of intake: `contacts.py` what comes in, `tickets.py` the tickets' rows, `deliveries.py` what goes out, `config.py`
inboxes, `erasure.py` forgetting a person. Nothing here commits.
"""
