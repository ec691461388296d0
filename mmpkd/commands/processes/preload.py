"""Imports of the server in `forked`, done once before it forks."""

from mmpkd.cli.quick import freeze

freeze()
