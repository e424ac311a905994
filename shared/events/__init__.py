"""The event contract: what may be said on each topic, by whom, and how it is written down.

`base.py` the envelope · `ticket.py`, `message.py`, `call.py`, `work.py` the facts of a ticket · `people.py` agents and
customers · `config.py` · `sla.py` · `signals.py` · `topics.py` the table that everything else is made from · `codec.py`.
"""
