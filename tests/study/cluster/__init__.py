"""Studies under SLURM."""
