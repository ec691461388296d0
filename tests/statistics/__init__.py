"""Tests of the statistics against independent references."""
