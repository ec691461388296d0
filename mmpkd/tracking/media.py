"""Whether images may be sent to a tracking server."""

from typing import Literal

from lightning.pytorch.loggers import WandbLogger

Media = Literal["auto", "local", "upload"]
# servers run by W&B, a third party; any other address is a server that the user's institution has set up
_PUBLIC = ("wandb.ai", "wandb.io", "coreweave.com")


def may_log_media(logger: WandbLogger, license_name: str) -> bool:
    """Return whether images of the data may be given to wandb.

    The data use agreement of credentialed data forbids sharing them with third parties. With `auto`, images are logged in three
    cases: the data are open or synthetic; the run is offline, which keeps them in the run folder until `wandb sync`; or the
    server is not run by W&B. `local` never logs them. `upload` always does, for users whose agreement allows it.

    Args:
        logger: The logger; its `media` is the policy, `auto` if it has none.
        license_name: `credentialed`, `open` or `synthetic`.
    """
    policy: Media = getattr(logger, "media", "auto")
    if policy != "auto":
        return policy == "upload"
    if license_name in ("open", "synthetic"):
        return True
    # last, since this starts the run of wandb
    experiment = logger.experiment
    return bool(experiment.offline) or not _is_public(str(experiment.settings.base_url))


def _is_public(address: str) -> bool:
    from urllib.parse import urlparse

    host = urlparse(address).hostname or ""
    return any(host == name or host.endswith(f".{name}") for name in _PUBLIC)
