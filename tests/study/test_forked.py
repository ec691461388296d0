"""Processes that are forked from a server that has imported the command line."""

import json
import os
import sys
from multiprocessing import get_context, get_start_method
from pathlib import Path

import pytest
import torch

import mmpkd
from data_modules.json_file import write_json
from mmpkd.study.forked import start_command, start_server
from tests.forked import finish, start
from tests.runs import config, student


def write_what_it_sees(path: Path) -> None:
    names = [file.read_text().strip() for file in Path(f"/proc/{os.getppid()}/task").glob("*/comm")]
    # the allocator of pyarrow has a thread, and stops it while the process forks
    threads = [name for name in names if not name.startswith("jemalloc")]
    seen = {"imported": "mmpkd.cli" in sys.modules, "threads": len(threads), "cuda": torch.cuda.is_initialized()}
    write_json(path, seen)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system does not show the threads of a process")
def test_the_server_has_imported_everything_and_started_nothing(tmp_path: Path) -> None:
    start_server()
    process = get_context("forkserver").Process(target=write_what_it_sees, args=(tmp_path / "seen.json",))
    process.start()
    process.join()
    assert json.loads((tmp_path / "seen.json").read_text()) == {"imported": True, "threads": 1, "cuda": False}


def test_a_command_ends_with_its_status_and_what_it_prints_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert finish(start(["--version"], log)) == 0
    assert finish(start(["fitt"], log)) == 2
    version, hint = log.read_text().splitlines()
    assert version == f"mmpkd {mmpkd.__version__}"
    assert "Did you mean 'fit'?" in hint


@pytest.mark.parametrize(("variable", "num_threads"), [(None, 1), ("2", 2)])
def test_a_command_has_the_environment_of_who_started_it(
    variable: str | None, num_threads: int, tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that of the server: its threads are limited, and its start method would give loaders a server of their own."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(tmp_path)
    run = config(tmp_path, "run", tiny_root, student(), trainer={"max_epochs": 1})
    witness = ["--trainer.callbacks+=tests.interrupt.Witness", "--trainer.callbacks.path=seen.json"]
    environment = {} if variable is None else {"OMP_NUM_THREADS": variable}
    process = start_command(["fit", *run, *witness], tmp_path / "log.txt", environment, num_threads=3)
    assert finish(process) == 0, (tmp_path / "log.txt").read_text()
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == {"start_method": get_start_method(), "num_threads": num_threads}
