"""Effects over training seeds and patients, and tests of them. Nothing here knows a run or a file: NumPy and SciPy on arrays."""
