"""Routing: consumes tickets, customers, inboxes and sla's facts, decides who works on what, emits queued, offered, assigned,
replied and resolved, owns agents, queues, offers, histories and live streams.
"""
