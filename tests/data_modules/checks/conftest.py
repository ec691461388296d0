from pathlib import Path

import pytest

from data_modules.split import Split
from tests.data_modules.checks.given import clean_splits


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, Split]:
    return clean_splits(tmp_path)
