"""Programs of others that say what is wrong with a DICOM object; tests are skipped where they are not installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

# DicomSRValidator compiles rules that are longer than Java allows by default
_JAVA = (
    "-Djdk.xml.xpathExprGrpLimit=0 -Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathTotalOpLimit=0 "
    "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
)


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: Debian's package {package}")
    return found


def errors_of_dciodvfy(path: Path) -> list[str]:
    """Return what dciodvfy of dicom3tools finds wrong with an object."""
    program = _program("dciodvfy", "dicom3tools")
    result = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    lines = result.stderr.splitlines()
    # it names the kind of object that it holds a file for, and is silent about what it knows no rules for
    assert {"Segmentation", "SCImage", "EnhancedSR"} & set(lines), result.stderr
    return [line for line in lines if line.startswith("Error")]


def errors_of_sr_validator(path: Path) -> list[str]:
    """Return what DicomSRValidator of pixelmed finds wrong with a report of TID 1500; it takes three seconds of a JVM."""
    program = _program("DicomSRValidator", "pixelmed-apps")
    environment = {**os.environ, "JAVA_TOOL_OPTIONS": _JAVA}
    result = subprocess.run([program, str(path)], capture_output=True, text=True, check=False, env=environment)
    # its exit status is 0 even if it stops half-way
    for words in ("Found EnhancedSR IOD", "Found Root Template TID_1500", "IOD validation complete"):
        assert words in result.stdout, result.stdout + result.stderr
    return [line for line in result.stdout.splitlines() if line.startswith("Error")]
