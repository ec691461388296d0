"""Encoders of privileged input: text, tables, and both."""
