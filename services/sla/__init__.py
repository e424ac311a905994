"""Promises: consumes `tickets`; decides which promise a ticket gets, whether it is kept, and when it is broken; emits
`sla-clocks`, `sla-warnings`, `sla-breaches` and, on `config`, calendars and policies; owns the tables definition, ticket,
clock, timer and high_water.
"""
