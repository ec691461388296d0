"""Settings of a process that change digits: precision, random number generators, threads."""
