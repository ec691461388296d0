"""Tiny chest sets."""
