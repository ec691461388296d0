import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# two processes agree bit by bit only with the same number of threads; tests run one process a core anyway
torch.set_num_threads(1)

# no test is timed: machines are busy
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# set before any import of wandb or transformers: no test may reach for a network
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(autouse=True)
def _keep_environment() -> Iterator[None]:
    """Undo what a run sets in the process's environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")
