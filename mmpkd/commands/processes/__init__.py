"""Entry points of the processes in which the Lightning command line runs."""
