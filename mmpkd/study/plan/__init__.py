"""What a study compares, and its YAML file."""
