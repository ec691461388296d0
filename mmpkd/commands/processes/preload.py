"""What the server of `forked` imports before it forks."""

from mmpkd.cli.quick import freeze

freeze()
