"""Customers, providers and agents around a running Patchbay: seeded traffic, with the ground truth written down as it goes."""
