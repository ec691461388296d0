"""Whether images may leave this machine."""

from typing import Literal

from lightning.pytorch.loggers import WandbLogger

Media = Literal["auto", "local", "upload"]
# servers that W&B runs, a third party; any other address is a server that somebody chose to run
_PUBLIC = ("wandb.ai", "wandb.io", "coreweave.com")


def may_log_media(logger: WandbLogger, license_name: str) -> bool:
    """Return whether images of the data may be handed to W&B.

    The data-use agreement of credentialed data forbids sharing them with third parties. Under `auto`, images are logged if
    the data are open or synthetic, if the run is offline (they lie in the run folder then; `wandb sync` would upload them),
    or if the server is not one of W&B's. `local` never logs them, `upload` always does, for those who may.

    Args:
        logger: The logger; `media` is its policy, `auto` without one.
        license_name: `credentialed`, `open` or `synthetic`.
    """
    policy: Media = getattr(logger, "media", "auto")
    if policy != "auto":
        return policy == "upload"
    if license_name in ("open", "synthetic"):
        return True
    experiment = logger.experiment
    return bool(experiment.offline) or not _is_public(str(experiment.settings.base_url))


def _is_public(address: str) -> bool:
    from urllib.parse import urlparse

    host = urlparse(address).hostname or ""
    return any(host == name or host.endswith(f".{name}") for name in _PUBLIC)
