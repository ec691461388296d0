"""A way to start processes that import little."""

from collections.abc import Iterator
from multiprocessing import forkserver

import pytest


@pytest.fixture
def small_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fork server that imports nothing, beside the one of other tests, which imports everything first."""
    server = forkserver.ForkServer()
    monkeypatch.setattr(forkserver, "connect_to_new_process", server.connect_to_new_process)
    yield
    server._stop()  # type: ignore[attr-defined]
