"""Tiny MIMIC-CXR."""
