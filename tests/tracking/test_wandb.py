"""What an offline W&B run holds, read back with wandb's own tool."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmpkd.cli import main
from mmpkd.tracking import wandb_logger
from tests.runs import config, student


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("wandb")
    callbacks = [
        {"class_path": "mmpkd.callbacks.attribution_maps.AttributionMapLogger", "init_args": {"num_images": 2}}
    ]
    main(
        [
            "fit",
            *config(
                folder,
                "run",
                tiny_root,
                student(),
                run={"wandb": "offline", "group": "g", "job_type": "baseline", "tags": ["t"]},
                trainer={"callbacks": callbacks},
            ),
        ]
    )
    return folder / "run"


def records(run: Path) -> list[dict[str, object]]:
    (folder,) = (run / "wandb").glob("offline-run-*")
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


def test_an_offline_run_has_group_role_tags_configuration_scores_and_maps(run: Path) -> None:
    text = json.dumps(records(run))
    for expected in ('"g"', '"baseline"', '"t"', "val/auroc_macro", "train/loss", "distillation_weight", "lineage"):
        assert expected in text or json.dumps(expected)[1:-1] in text, expected
    (folder,) = (run / "wandb").glob("offline-run-*")
    assert list(folder.glob("files/media/images/**/*.png"))


def test_a_run_records_neither_host_nor_paths_nor_console(run: Path) -> None:
    (file,) = (run / "wandb").glob("offline-run-*/*.wandb")
    content = file.read_bytes()
    assert os.uname().nodename.encode() not in content
    assert sys.executable.encode() not in content
    (folder,) = (run / "wandb").glob("offline-run-*")
    assert not (folder / "files" / "output.log").exists()
    assert not (folder / "files" / "requirements.txt").exists()


def test_everything_stays_in_the_folder_of_the_run_and_the_identifier_is_kept(tmp_path: Path) -> None:
    first = wandb_logger(tmp_path, "offline", "p", "n", None, None, [])
    second = wandb_logger(tmp_path, "offline", "p", "n", None, None, [])
    assert first is not None
    assert second is not None
    assert first._id == second._id
    for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        assert Path(os.environ[variable]).is_relative_to(tmp_path)


def test_a_disabled_run_has_no_logger(tmp_path: Path) -> None:
    assert wandb_logger(tmp_path, "disabled", "p", "n", None, None, []) is None
    assert list(tmp_path.iterdir()) == []
