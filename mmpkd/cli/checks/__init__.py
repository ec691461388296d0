"""Checks of settings before anything long: what a run would ignore, or what would break it, is refused by name."""
