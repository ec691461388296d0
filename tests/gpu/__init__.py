"""Tests that are about a CUDA device; `make gpu` runs them on one."""
