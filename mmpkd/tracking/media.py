"""Whether images may be sent to a tracking server."""

from typing import Literal

from lightning.pytorch.loggers import WandbLogger

Media = Literal["auto", "local", "upload"]
# servers run by W&B, a third party; any other server is assumed to be run by the user's institution
_PUBLIC = ("wandb.ai", "wandb.io", "coreweave.com")


def may_log_media(logger: WandbLogger, license_name: str) -> bool:
    """Return whether images of the data may be logged to wandb.

    The data use agreements of credentialed data forbid sharing them with third parties. With `auto`, images are logged if the
    data are open or synthetic, if the run is offline (they stay in the run folder until `wandb sync`), or if the server is not
    run by W&B. `local` never logs them. `upload` always does, for users whose agreement allows it.

    Args:
        logger: The logger. Its `media` is the policy, `auto` if it has none.
        license_name: `credentialed`, `open` or `synthetic`.
    """
    policy: Media = getattr(logger, "media", "auto")
    if policy != "auto":
        return policy == "upload"
    if license_name in ("open", "synthetic"):
        return True
    # checked last, because it starts the wandb run
    experiment = logger.experiment
    return bool(experiment.offline) or not _is_public(str(experiment.settings.base_url))


def _is_public(address: str) -> bool:
    from urllib.parse import urlparse

    host = urlparse(address).hostname or ""
    return any(host == name or host.endswith(f".{name}") for name in _PUBLIC)
