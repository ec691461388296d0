import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

# two processes agree bit by bit only with the same number of threads; tests run one process a core anyway
torch.set_num_threads(1)

# no test is timed: machines are busy. In CI every run tries the same examples; by hand, each run tries others
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# set before any import of wandb or transformers: no test may reach for a network
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_collection_finish() -> None:
    """Take what is imported out of garbage collection, which would walk over it again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Undo it: extension modules look at the end for what was not collected, and complain of it."""
    gc.unfreeze()


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
