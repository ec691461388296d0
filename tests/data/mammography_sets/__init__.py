"""Tiny mammography sets."""
