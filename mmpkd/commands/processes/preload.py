"""Imports of the server in `forked`, done once before it forks: all that every run would import for itself."""

import os

# wandb reads it while it is imported; its reports of its own errors contain paths
os.environ["WANDB_ERROR_REPORTING"] = "false"

import wandb.sdk.launch  # noqa: F401  a run of wandb imports it when it starts, for 1.7 s of CPU time

import data_modules.phantoms  # noqa: F401
from mmpkd.cli.quick import freeze
from mmpkd.records.code_hash import code_hash

# before it forks: runs execute the code that is imported here, whatever becomes of the files
code_hash()
freeze()
