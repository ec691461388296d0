"""Runs of a study as jobs of a SLURM cluster."""
