"""Targets of teachers, stored for the training of students."""
