"""The differences that a next study could show, from the variances of a finished one."""
