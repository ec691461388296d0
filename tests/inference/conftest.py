from pathlib import Path

import pytest

from tests.tiny import write_student


@pytest.fixture(scope="package")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """A student of the tiny data set that has not learned anything, with thresholds that part its predictions."""
    return write_student(tmp_path_factory.mktemp("student") / "student.ckpt", tiny_root)
