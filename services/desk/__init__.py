"""Desk: consumes tickets, customers, agents, config and sla's facts, decides nothing but what is found, owns what consoles read:
the tables ticket, entry, customer, customer_order, promised, document, view.

It emits nothing but, on `parked`, what it could not take.
"""
