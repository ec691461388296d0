from pathlib import Path

import pytest

from tests.forked import finish
from tests.study.tiny_study import start_study, write_tiny_study


@pytest.fixture(scope="session")
def undisturbed(tiny_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny study that made one run after another and was never stopped."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_tiny_study(folder, tiny_root)
    assert finish(start_study(folder, "--jobs", "1")) == 0
    return folder / "out"
