from pathlib import Path

import pytest

from tests.real import real_data as find_real_data


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of all real data sets."""
    return find_real_data(".")
