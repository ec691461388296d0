"""How often the statistics of a study are right, on simulated tables whose truth is known; `python -m` prints it."""
