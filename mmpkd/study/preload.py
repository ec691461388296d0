"""What the server of `forked` imports before it forks."""

from mmpkd.quick_cli import freeze

freeze()
