"""Processes in which the Lightning command line runs."""
