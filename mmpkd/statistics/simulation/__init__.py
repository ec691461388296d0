"""Simulations of how often the statistics of a study are right; `python -m mmpkd.statistics.simulation` prints them."""
