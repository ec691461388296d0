"""The plan of a study and its YAML file."""
