"""Metrics: consumes `tickets`, `agents`, `config` and sla's facts, decides what they measure, owns the tables cell, dims, fold.

It emits nothing but, on `parked`, what it could not take.
"""
