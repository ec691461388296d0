"""How many processors this process may use."""

import os


def num_processors() -> int:
    """Return how many processors this process may use, at least 1.

    That is less than the machine has under a CPU affinity (`taskset`, most clusters), a quota of a container (cgroups), in a
    job of SLURM, of which not all clusters set the affinity, and in a run of a study that makes several at a time, which get
    their share by the variable LOKY_MAX_CPU_COUNT.
    """
    import joblib  # reads affinity, quotas of cgroups v1 and v2, and the variable; imported here because that takes a while

    count: int = joblib.cpu_count()
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return min(count, int(granted)) if granted.isdecimal() and int(granted) > 0 else count
