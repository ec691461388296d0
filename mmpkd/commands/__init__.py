"""The commands of `mmpkd` other than Lightning's, one file each.

A file contains the arguments and the exit status of its command. It imports PyTorch and other slow modules only when the command
runs, so that `--help` and a misspelt option are answered immediately.
"""
