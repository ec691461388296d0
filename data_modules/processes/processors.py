"""How many processors this process may use."""

import os


def num_processors() -> int:
    """Return how many processors this process may use, at least 1.

    These are fewer than the machine has under a CPU affinity (`taskset`, most clusters), under a quota of a container
    (cgroups), in a SLURM job (not all clusters set the affinity), and in a study with several runs at a time, whose shares are
    set by the variable LOKY_MAX_CPU_COUNT.
    """
    import joblib  # reads affinity, quotas of cgroups v1 and v2, and the variable; imported here because that is slow

    count: int = joblib.cpu_count()
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(count, int(granted)) if granted.isdecimal() and int(granted) > 0 else count
