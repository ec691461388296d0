"""Processes that are forked from a server that has imported the command line."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver, get_context, get_start_method
from multiprocessing.connection import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import mmpkd
from data_modules.files.json_file import write_json
from mmpkd.commands.processes.run import PROGRAM
from mmpkd.study.execution.forked import METHOD, start_command, start_server, wait_for
from mmpkd.study.plan.errors import StudyError
from tests.forked import finish, start
from tests.runs import config, student

REPOSITORY = Path(__file__).parents[2]


def write_what_it_sees(path: Path) -> None:
    names = [file.read_text().strip() for file in Path(f"/proc/{os.getppid()}/task").glob("*/comm")]
    # the allocator of pyarrow has a thread, and stops it while the process forks
    threads = [name for name in names if not name.startswith("jemalloc")]
    seen = {
        "imported": "mmpkd.cli.lightning_cli" in sys.modules,
        "threads": len(threads),
        "cuda": torch.cuda.is_initialized(),
    }
    write_json(path, seen)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system does not show the threads of a process")
def test_the_server_has_imported_everything_and_started_nothing(tmp_path: Path) -> None:
    start_server(PROGRAM)
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


@pytest.mark.skipif(METHOD != "forkserver", reason="there is no server on this system")
def test_the_status_of_a_process_that_ends_while_another_starts_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(["--version"], tmp_path / "log.txt")
    read = forkserver.read_signed
    wait([process.sentinel])

    def read_slowly(descriptor: int) -> int:
        time.sleep(0.2)  # so that the other thread comes to read, too
        status: int = read(descriptor)
        return status

    monkeypatch.setattr(forkserver, "read_signed", read_slowly)
    with ThreadPoolExecutor(2) as threads:
        status = threads.submit(wait_for, process)
        other = threads.submit(start, ["--version"], tmp_path / "other.txt").result()
        assert status.result() == process.exitcode == 0
    assert finish(other) == 0


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
    process = start_command(PROGRAM, ["fit", *run, *witness], tmp_path / "log.txt", environment)
    assert finish(process) == 0, (tmp_path / "log.txt").read_text()
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen == {"start_method": get_start_method(), "num_threads": num_threads}


def test_commands_that_start_together_do_not_see_the_servers_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    class Process:
        def __init__(self, target: object, args: Sequence[Any]) -> None:
            seen.append(args[0].variables.get("OMP_NUM_THREADS"))

        def start(self) -> None:
            pass

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("mmpkd.study.execution.forked._is_started", False)
    monkeypatch.setattr("mmpkd.study.execution.forked.get_context", lambda _: SimpleNamespace(Process=Process))
    monkeypatch.setattr("mmpkd.study.execution.forked.forkserver.ensure_running", lambda: time.sleep(0.05))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(start_command, PROGRAM, ["--version"], tmp_path / "log.txt")
    assert seen == [None] * 8
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_temporary_folder_with_too_long_a_path_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr("mmpkd.study.execution.forked._is_started", False)
    monkeypatch.setattr("mmpkd.study.execution.forked.forkserver.ensure_running", fail)
    with pytest.raises(StudyError, match="Set TMPDIR to a shorter path"):
        start_server(PROGRAM)


SCRIPT = """
import sys
from pathlib import Path
from mmpkd.commands.processes.run import PROGRAM
from mmpkd.study.execution import forked
forked.METHOD = sys.argv[1]
process = forked.start_command(PROGRAM, ["--version"], Path("log.txt"))
process.join()
print("once")
sys.exit(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_a_script_is_not_run_again_nor_are_files_beside_it(method: str, tmp_path: Path) -> None:
    """It needs no guard, and a file of the working directory is not taken for a module of that name."""
    (tmp_path / "script").mkdir()
    script = tmp_path / "script" / "script.py"
    script.write_text(SCRIPT)
    (tmp_path / "datasets.py").write_text("raise RuntimeError('the wrong file')")
    (tmp_path / "queue.py").write_text("raise RuntimeError('the wrong file')")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(
        [sys.executable, str(script), method],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "once\n"
    assert (tmp_path / "log.txt").read_text() == f"mmpkd {mmpkd.__version__}\n"
