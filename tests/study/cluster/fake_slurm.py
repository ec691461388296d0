"""Stands in for SLURM's commands: tasks are processes of this machine, the queue is a folder with a file for each task.

`install(folder)` writes sbatch, srun, squeue, scontrol and scancel into the folder. What they print and how they take
signals was compared with SLURM 22.05: a job that is cancelled is COMPLETING when its task gets SIGTERM, one that is preempted
with a time of grace is RUNNING. Files in the folder change what they do: `hold`: jobs stay PENDING; `<command>.fails`: so many
calls of the command, as the file says, fail.

By default a task is what it is under SLURM: a shell that runs the script that was submitted. With `node(folder)` it is a process
that is forked from a server, which does what the script says and starts at once.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from data_modules.files.json_file import write_json
from mmpkd.commands.processes.run import PROGRAM
from mmpkd.study.execution.forked import print_to, start_server

NODE = "node"
COMMANDS = ("sbatch", "srun", "squeue", "scontrol", "scancel")


def install(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in COMMANDS:
        script = f'#!/bin/sh\nexec "{sys.executable}" -m tests.study.cluster.fake_slurm {name} "{folder}" "$@"\n'
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)


def may_fail(queue: Path, command: str) -> None:
    path = queue / f"{command}.fails"
    if path.exists() and (left := int(path.read_text())) > 0:
        path.write_text(str(left - 1))
        sys.exit(f"{command}: error: Unable to contact slurm controller")


def sbatch(queue: Path, script: str) -> None:
    text = Path(script).read_text()
    options = dict(re.findall(r"#SBATCH --([\w-]+)(?:=(.*))?", text))
    job = str(1 + len(list(queue.glob("*.submitted"))))
    (queue / f"{job}.submitted").write_text(text)
    last = re.search(r"-(\d+)", options.get("array", ""))
    for index in range(int(last[1]) + 1) if last else [None]:
        name = job if index is None else f"{job}_{index}"
        is_held = (queue / "hold").exists()
        state = "PENDING" if is_held else "RUNNING"
        write_json(queue / f"{name}.json", {"name": options["job-name"], "index": index, "job": job, "state": state})
        if is_held or (queue / NODE).exists():
            continue
        command = [sys.executable, "-m", "tests.study.cluster.fake_slurm", "task", str(queue), name]
        subprocess.Popen(
            command,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    sys.stdout.write(f"Submitted batch job {job}\n")


def identity(name: str, content: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables that tell a task what it is."""
    ids = {"SLURM_JOB_ID": content["job"], "SLURM_PROCID": "0", "SLURM_NTASKS": "1", "SLURM_LOCALID": "0"}
    ids |= {"SLURM_NODEID": "0", "SLURM_JOB_NAME": content["name"], "FAKE_SLURM_TASK": name}
    if content["index"] is not None:
        ids |= {"SLURM_ARRAY_JOB_ID": content["job"], "SLURM_ARRAY_TASK_ID": str(content["index"])}
    return ids


def task(queue: Path, name: str) -> None:
    """Run a task, again as long as somebody put it back, and leave the queue."""
    path = queue / f"{name}.json"
    content = json.loads(path.read_text())
    variables = {**os.environ, **identity(name, content)}
    while True:
        write_json(path, content)
        subprocess.run(["bash", queue / f"{content['job']}.submitted"], env=variables, check=False)
        if json.loads(path.read_text())["state"] != "REQUEUED":
            break
    path.unlink()


@contextmanager
def node(queue: Path) -> Iterator[None]:
    """Start tasks of the queue as they come, in forked processes; those that are left at the end are killed."""
    start_server(PROGRAM)
    (queue / NODE).touch()
    is_over = threading.Event()
    thread = threading.Thread(target=_serve, args=(queue, is_over))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _serve(queue: Path, is_over: threading.Event) -> None:
    running: dict[Path, ForkServerProcess] = {}
    while not is_over.wait(0.02):
        for path in queue.glob("[0-9]*.json"):
            if path not in running:
                running[path] = _fork(queue, path)
        for path, process in list(running.items()):
            if not process.is_alive():
                is_back = json.loads(path.read_text())["state"] == "REQUEUED"
                if not is_back:
                    path.unlink()
                del running[path]
    for process in running.values():
        process.kill()


def _fork(queue: Path, path: Path) -> ForkServerProcess:
    content = {**json.loads(path.read_text()), "state": "RUNNING"}
    write_json(path, content)
    script = (queue / f"{content['job']}.submitted").read_text()
    command = shlex.split(next(line for line in script.splitlines() if line.startswith("srun ")))
    variables = {**os.environ, **dict(re.findall(r"^export (\w+)=(.*)$", script, re.MULTILINE))}
    variables |= identity(path.stem, content)
    log = _log(command, path.stem)
    process = get_context("forkserver").Process(target=_run, args=(command[-1], variables, log))
    process.start()
    (queue / f"{path.stem}.pid").write_text(str(process.pid))
    return process


def _run(folder: str, variables: dict[str, str], log: Path) -> None:
    """Do in a forked process what `python -m submitit.core._submit FOLDER` does."""
    import torch
    from submitit.core.submission import submitit_main

    print_to(log)
    os.environ.update(variables)
    torch.set_num_threads(1)
    sys.argv = ["submitit", folder]
    submitit_main()


def _log(command: Sequence[str], name: str) -> Path:
    output = command[command.index("--output") + 1]
    return Path(output.replace("%A_%a", name).replace("%j", name).replace("%t", "0"))


def srun(queue: Path, *args: str) -> None:
    name = os.environ["FAKE_SLURM_TASK"]
    log = _log(args, name)
    command = list(args[next(i for i, part in enumerate(args) if "python" in part) :])
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    (queue / f"{name}.pid").write_text(str(process.pid))
    sys.exit(process.wait())


def squeue(queue: Path, *args: str) -> None:
    job = args[args.index("--jobs") + 1] if "--jobs" in args else None
    if job is not None and not (queue / f"{job}.json").exists():
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    for path in sorted(queue.glob("[0-9]*.json")):
        if not path.exists():
            continue  # it left the queue in this moment
        content = json.loads(path.read_text())
        if job is None:
            index = "N/A" if content["index"] is None else content["index"]
            sys.stdout.write(f"{content['name']}|{index}|{content['state']}|None\n")
        elif path.stem == job:
            sys.stdout.write(content["state"] + "\n")


def scontrol(queue: Path, verb: str, job: str) -> None:
    assert verb == "requeue"
    _set_state(queue, job, "REQUEUED")


def scancel(queue: Path, *args: str) -> None:
    """`scancel JOB` and `scancel --name=NAME` cancel; `scancel --signal=NAME JOB` only sends a signal."""
    if args[0].startswith("--name="):
        for path in queue.glob("[0-9]*.json"):
            if json.loads(path.read_text())["name"] == args[0].removeprefix("--name="):
                path.unlink()  # only jobs that have not started are cancelled by name here
        return
    name = args[0].removeprefix("--signal=") if len(args) == 2 else "TERM"
    if len(args) == 1:
        _set_state(queue, args[0], "COMPLETING")
    os.kill(int((queue / f"{args[-1]}.pid").read_text()), signal.Signals[f"SIG{name}"])


def _set_state(queue: Path, job: str, state: str) -> None:
    path = queue / f"{job}.json"
    write_json(path, {**json.loads(path.read_text()), "state": state})


if __name__ == "__main__":
    may_fail(Path(sys.argv[2]), sys.argv[1])
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
