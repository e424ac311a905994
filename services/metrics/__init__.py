"""Metrics: consumes the facts of all topics, decides what they measure, emits nothing, owns the tables cell, dims and fold."""
