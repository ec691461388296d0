"""Whether the user is logged in to W&B, without a prompt or a network."""

import configparser
import netrc
import os
from pathlib import Path
from urllib.parse import urlsplit

# hosts under which wandb stores credentials, now and in earlier releases
_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")


def is_logged_in() -> bool:
    """Return whether the environment or the netrc file has credentials for the W&B server that a run would use."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        known = netrc.netrc(path)
    except (OSError, netrc.NetrcParseError):
        return False
    # netrc answers with its default entry for an unknown host, which is not a login to W&B
    return any(known.authenticators(host) is not None and host in known.hosts for host in _hosts())


def _hosts() -> tuple[str, ...]:
    address = os.environ.get("WANDB_BASE_URL") or _configured_address()
    return (urlsplit(address).netloc,) if address else _HOSTS


def _configured_address() -> str | None:
    """Return the server that `wandb login --host` has saved, or None."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    parser = configparser.ConfigParser()
    try:
        parser.read(folder / "settings")
    except configparser.Error:
        return None
    return parser.get("default", "base_url", fallback=None)
