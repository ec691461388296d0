"""Execution of a study's runs: in this process, in local processes, or as SLURM jobs."""
