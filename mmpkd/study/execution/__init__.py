"""The runs of a study: in this process, in local processes, as jobs of SLURM."""
