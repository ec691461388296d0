"""The commands of `mmpkd` besides Lightning's, one file each.

A file holds the arguments of its command and what it returns. It imports PyTorch, and whatever else is slow to import, only when
the command runs, so that `--help` and a misspelt option are answered at once.
"""
