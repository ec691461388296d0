"""`mmpkd prepare`: resize all images of a data set once."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmpkd.commands.command import CommandParser, at_least, new_folder, run_command

if TYPE_CHECKING:
    from data_modules.base import PrivilegedDataModule

NUM_NAMED = 10


def main(argv: Sequence[str]) -> int:
    """Prepare or verify the images of a data set.

    Returns:
        Exit status: 0; 1 after an error, or if images do not match their checksums; 130 after Ctrl-C.
    """
    status = run_command(_parser(), argv, _run)
    if status == 130:
        sys.stderr.write("Stopped. Prepared images are kept; the same command continues.\n")
    return status


def _run(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    from mmpkd.cli.data_config import load_data_module

    data = load_data_module(options.config, overrides)
    data.prepared = None  # read the original files, even if the configuration has prepared images
    folder = options.out or Path("data/prepared") / f"{options.config.stem}_{data.image_size}"
    return _verify(folder) if options.verify else _prepare(data, folder, options)


def _prepare(data: "PrivilegedDataModule", folder: Path, options: argparse.Namespace) -> int:
    import numpy as np

    from data_modules.images.prepare import prepare_images

    splits = data.splits.values()
    names = np.concatenate([split.sample_id for split in splits])
    files = [path for split in splits for path in split.image]
    errors = prepare_images(
        folder, data.preparation, names, files, options.depth, options.num_workers, options.on_error
    )
    size = (folder / "images.bin").stat().st_size / 1e9  # GB
    sys.stdout.write(f"{len(names)} images of {data.image_size} pixels in '{folder}' ({size:.2f} GB).\n")
    sys.stdout.write(f"Use them with --data.prepared={folder}\n")
    if errors:
        _name(f"{len(errors)} could not be read and are left out", errors, folder / "errors.json")
    return 0


def _verify(folder: Path) -> int:
    from data_modules.images.prepare import verify_images

    wrong = verify_images(folder)
    if wrong:
        _name(f"{len(wrong)} differ from their checksums: delete the folder and prepare again", wrong, folder)
        return 1
    sys.stdout.write(f"All images in '{folder}' match their checksums.\n")
    return 0


def _name(what: str, names: Sequence[str] | dict[str, str], where: Path) -> None:
    listed = ", ".join(list(names)[:NUM_NAMED]) + (", ..." if len(names) > NUM_NAMED else "")
    sys.stderr.write(f"{what}: {listed} (see '{where}').\n")


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd prepare",
        description="Decode, crop and resize every image of a data set once, into one file that training reads "
        "instead of the image files. If it is stopped, the same command continues; images that are already there are kept.",
        epilog="Other flags change the data, for example --data.root=/data/mimic-cxr-jpg --data.image_size=384",
    )
    parser.add_argument("config", type=Path, help="an experiment, or a file of experiments/data/")
    parser.add_argument("--out", type=new_folder, help="folder (default: data/prepared/<configuration>_<image size>)")
    parser.add_argument(
        "--depth", choices=["uint8", "uint16"], default="uint8", help="uint16 for images with 12 to 16 bits"
    )
    parser.add_argument("--num_workers", type=at_least(0), help="number of processes (default: one per processor)")
    parser.add_argument(
        "--on_error", choices=["skip", "stop"], default="skip", help="how to handle an unreadable image (default: skip)"
    )
    parser.add_argument("--verify", action="store_true", help="only compare all prepared images with their checksums")
    return parser
