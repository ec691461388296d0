"""The Makefile: what it lists, and how it installs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
LIBRARIES = re.compile(r"^(cuda|nvidia)-|^triton=", re.MULTILINE)
# writes down its arguments, and the requirements that it is handed
UV = """\
#!/bin/sh
echo "$@" >> uv.log
case "$*" in *" --requirements -") cat > requirements.txt ;; esac
"""


def make(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
    command = ["make", "--no-print-directory", f"PYTHON={sys.executable}", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that has stand-ins in place of Python and uv."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, script in (("python", "#!/bin/sh\n"), ("uv", UV)):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    return tmp_path


def installs(project: Path) -> list[str]:
    """Return the arguments of uv that have installed requirements."""
    return [line for line in (project / "uv.log").read_text().splitlines() if "--requirements" in line]


def test_every_target_is_listed() -> None:
    phony = re.search(r"^\.PHONY: (help .*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    listed = re.findall(r"^  make (\S+) +\S", make(REPOSITORY), re.MULTILINE)
    assert sorted(listed) == sorted(phony.group(1).split())


def test_the_newest_report_is_named_where_no_browser_can_be_opened(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{project}:{os.environ['PATH']}")
    (project / "uname").write_text("#!/bin/sh\necho Linux\n")
    (project / "uname").chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError) as error:
        make(project, "report")
    assert "make train-cxr writes one" in error.value.stdout
    for seconds, study in enumerate(("mammo", "cxr")):
        page = project / "runs" / study / "report" / "index.html"
        page.parent.mkdir(parents=True)
        page.touch()
        os.utime(page, (seconds, seconds))
    assert make(project, "report").endswith("The report: runs/cxr/report/index.html\n")
    assert make(project, "report", "OUT=runs/mammo").endswith("The report: runs/mammo/report/index.html\n")


def test_the_lock_is_installed_as_it_is_and_only_once(project: Path) -> None:
    make(project, "install")
    assert (project / "requirements.txt").read_text() == (REPOSITORY / "requirements.lock").read_text()
    assert LIBRARIES.search((project / "requirements.txt").read_text())
    make(project, "install")
    (first,) = installs(project)
    assert "torch" not in first


def test_another_build_of_pytorch_brings_its_own_libraries(project: Path) -> None:
    make(project, "install", "TORCH=cpu")
    (first,) = installs(project)
    assert "--torch-backend cpu --reinstall-package torch --reinstall-package torchvision" in first
    requirements = (project / "requirements.txt").read_text()
    assert not LIBRARIES.search(requirements)
    assert re.search(r"^torch==", requirements, re.MULTILINE)


def test_the_environment_keeps_its_build_until_another_one_is_asked_for(project: Path) -> None:
    make(project, "install", "TORCH=cpu")
    make(project, "install")
    assert len(installs(project)) == 1
    (project / ".venv" / ".installed").touch()
    os.utime(project / ".venv" / ".installed", (0, 0))  # older than the lock
    make(project, "install")
    assert "--torch-backend cpu" in installs(project)[1]
    assert "--reinstall-package" not in installs(project)[1]
    make(project, "install", "TORCH=cu126")
    assert "--torch-backend cu126 --reinstall-package torch" in installs(project)[2]
    make(project, "install", "TORCH=")
    assert "--torch-backend" not in installs(project)[3]
    assert "--reinstall-package torch" in installs(project)[3]


def test_the_lock_names_no_registry_and_holds_for_every_platform() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index" not in lock
    assert re.search(r"^nvidia-cublas==\S+ ; .*sys_platform == 'linux'", lock, re.MULTILINE)
    assert re.search(r"^colorama==\S+ ; sys_platform == 'win32'", lock, re.MULTILINE)
