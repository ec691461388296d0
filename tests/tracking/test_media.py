"""Which images may be handed to which server."""

from types import SimpleNamespace

import pytest

from mmpkd.tracking.media import Media, may_log_media

PUBLIC = ("https://api.wandb.ai", "https://api.forge.coreweave.com", "https://hospital.wandb.io")


def tracker(offline: bool, address: str, media: Media | None = None) -> SimpleNamespace:
    experiment = SimpleNamespace(offline=offline, settings=SimpleNamespace(base_url=address))
    return SimpleNamespace(experiment=experiment, **({} if media is None else {"media": media}))


@pytest.mark.parametrize("address", PUBLIC)
@pytest.mark.parametrize("media", ["auto", None])
def test_credentialed_images_stay_away_from_servers_of_third_parties(address: str, media: Media | None) -> None:
    assert not may_log_media(tracker(False, address, media), "credentialed")  # type: ignore[arg-type]
    assert may_log_media(tracker(True, address, media), "credentialed")  # type: ignore[arg-type]
    for name in ("open", "synthetic"):
        assert may_log_media(tracker(False, address, media), name)  # type: ignore[arg-type]


def test_a_server_of_ones_own_may_have_them() -> None:
    for address in ("https://wandb.hospital.org", "http://localhost:8080", "https://notwandb.ai"):
        assert may_log_media(tracker(False, address, "auto"), "credentialed")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["open", "credentialed"])
@pytest.mark.parametrize("offline", [True, False])
def test_the_user_has_the_last_word(name: str, offline: bool) -> None:
    assert not may_log_media(tracker(offline, PUBLIC[0], "local"), name)  # type: ignore[arg-type]
    assert may_log_media(tracker(offline, PUBLIC[0], "upload"), name)  # type: ignore[arg-type]


def test_the_address_that_wandb_uses_by_default_is_a_third_partys() -> None:
    import wandb

    address = wandb.Settings.model_fields["base_url"].default
    assert not may_log_media(tracker(False, address), "credentialed")  # type: ignore[arg-type]
