"""Reference loss curves of each arm."""
