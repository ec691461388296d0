"""Settings of a process that affect numerical results: precision, random number generators, threads."""
