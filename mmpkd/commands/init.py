"""`mmpkd init`: copies experiments to start from into the user's project."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmpkd.commands.command import CommandParser, run_command


@dataclass(frozen=True)
class Start:
    """Experiments to start from.

    Attributes:
        about: Description for the README.
        files: Files to copy, as glob patterns in the folder of experiments.
        commands: Commands to run, in this order.
    """

    about: str
    files: tuple[str, ...]
    commands: tuple[str, ...]


_COMMON = "student.yaml"
# the other files of this folder need real descriptions
_MAMMO = ("baseline", "controls", "distill", "nuisance", "study", "sweep", "teacher")
STARTS = {
    "phantoms": Start(
        "Chest and breast phantoms: synthetic images, written to `data/phantoms` on first use. No data needed.",
        (
            "cxr/*.yaml",
            *(f"mammo/{name}.yaml" for name in _MAMMO),
            "2x2/*.yaml",
            "arms/*.yaml",
            "options/*.yaml",
            "data/*_phantom.yaml",
            "slurm.yaml",
        ),
        (
            "mmpkd study experiments/cxr/study.yaml    # text teacher, chest radiographs",
            "mmpkd study experiments/mammo/study.yaml  # tabular teacher, mammograms",
        ),
    ),
    "mimic-cxr": Start(
        "MIMIC-CXR-JPG with its reports; `data/` also holds four data sets to test its students on.",
        (
            "cxr/mimic/*.yaml",
            "data/mimic_cxr.yaml",
            "data/chexlocalize.yaml",
            "data/nih_chestxray14.yaml",
            "data/padchest_gr.yaml",
            "data/vindr_cxr.yaml",
        ),
        (
            "mmpkd check-data experiments/data/mimic_cxr.yaml --data.root=/path/to/mimic-cxr-jpg",
            "mmpkd study experiments/cxr/mimic/study.yaml -- --data.root=/path/to/mimic-cxr-jpg",
        ),
    ),
    "cbis-ddsm": Start(
        "CBIS-DDSM with its descriptions; `data/` also holds two data sets to test its students on.",
        (
            "mammo/cbis_ddsm/*.yaml",
            "mammo/table_*.yaml",
            "data/cbis_ddsm.yaml",
            "data/inbreast.yaml",
            "data/vindr_mammo.yaml",
        ),
        (
            "mmpkd check-data experiments/data/cbis_ddsm.yaml --data.root=/path/to/cbis-ddsm",
            "mmpkd study experiments/mammo/cbis_ddsm/study.yaml -- --data.root=/path/to/cbis-ddsm",
        ),
    ),
    "table": Start(
        "Your own data, as a table. First fill in your columns in `experiments/data/table.yaml`.",
        ("table/*.yaml", "data/table.yaml"),
        ("mmpkd check-data experiments/data/table.yaml", "mmpkd study experiments/table/study.yaml"),
    ),
}
README = """\
# Experiments

One YAML file is one experiment; its first line says how to run it. Run all commands in the folder above this one: paths such as
`data/...` and `runs/...` are relative to it. `experiments/data/` contains the data sets, `experiments/student.yaml` the settings
that all students share. A file extends its `base` and can override its settings.

{sections}
A study ends with a report, `runs/<name>/report/index.html`. Any option of a file can be set by a flag:

    mmpkd study {study} --seeds 0 1 2 3 4 -- --trainer.max_epochs=2

To use your own class, for example `MyData` in `my_data.py` in that folder, write `class_path: my_data.MyData`.
"""


def main(argv: Sequence[str]) -> int:
    """Copy experiments and write their README.

    Returns:
        Exit status: 0; 1 if a file exists already or cannot be written.
    """
    return run_command(_parser(), argv, _run, takes_data_flags=False)


def experiments_folder() -> Path:
    """Return the folder of our experiments: inside the installed package, or next to it in a checkout.

    Raises:
        FileNotFoundError: If it is in neither place.
    """
    package = Path(__file__).parents[1]
    folders = (package / "experiments", package.parent / "experiments")
    for folder in folders:
        if (folder / "cxr" / "study.yaml").is_file():
            return folder
    raise FileNotFoundError(
        f"Expected mmpkd's experiments in {folders[0]} or {folders[1]} but there are none. Install mmpkd again."
    )


def _run(options: argparse.Namespace, _: Sequence[str]) -> int:
    source = experiments_folder()
    target = options.folder / "experiments"
    starts = {name: STARTS[name] for name in STARTS if name in (options.data or ["phantoms"])}
    patterns = [_COMMON, *(pattern for start in starts.values() for pattern in start.files)]
    # patterns of several starts may match the same file
    files = sorted(set(_matches(source, patterns)))
    readme = target / "README.md"
    _check_free([readme, *(target / file for file in files)])
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, target / file)
    readme.write_text(_readme(starts), encoding="utf-8")
    sys.stdout.write(f"Wrote {len(files)} files to {target}. See {readme} for what to run next, in {options.folder}.\n")
    return 0


def _matches(source: Path, patterns: Sequence[str]) -> list[Path]:
    """Return the files that match patterns, relative to their folder.

    Raises:
        FileNotFoundError: If a pattern matches nothing.
    """
    found: list[Path] = []
    for pattern in patterns:
        files = list(source.glob(pattern))
        if not files:
            raise FileNotFoundError(f"Expected {source / pattern} but there is no such file. Install mmpkd again.")
        found += [file.relative_to(source) for file in files]
    return found


def _check_free(paths: Sequence[Path]) -> None:
    taken = [str(path) for path in paths if path.exists()]
    if taken:
        more = "" if len(taken) == 1 else f", and so do {len(taken) - 1} more files"
        raise FileExistsError(
            f"Expected new files but {taken[0]} exists{more}. Nothing is overwritten: use another folder, or move these files."
        )


def _readme(starts: dict[str, Start]) -> str:
    sections = [_section(name, start) for name, start in starts.items()]
    first = next(iter(starts.values())).commands[-1]
    # the third word of `mmpkd study FILE`
    return README.format(sections="\n".join(sections), study=first.split()[2])


def _section(name: str, start: Start) -> str:
    commands = "".join(f"    {command}\n" for command in start.commands)
    return f"## {name}\n\n{start.about}\n\n{commands}"


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd init",
        description="Write experiments to start from into FOLDER/experiments. Nothing is overwritten.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="your project; created if it does not exist")
    parser.add_argument(
        "--data",
        action="append",
        choices=STARTS,
        help="phantoms (default, needs no data), mimic-cxr, cbis-ddsm, or table for your own data; can be repeated",
    )
    return parser
