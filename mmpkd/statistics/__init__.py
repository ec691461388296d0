"""Effects over training seeds and patients, and their tests: NumPy and SciPy on arrays, without runs or files."""
