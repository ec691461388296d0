"""`mmpkd attribute`: figures of where a student looks on image files."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmpkd.commands.command import CommandParser, new_folder, run_command

ATTRIBUTIONS = ("grad_cam", "last_layer", "relevance", "rollout")


def main(argv: Sequence[str]) -> int:
    """Draw attribution maps.

    Returns:
        Exit status: 0; 1 if a file cannot be read or the checkpoint cannot be used; 130 after Ctrl-C.
    """
    return run_command(_parser(), argv, _run, takes_data_flags=False)


def _run(options: argparse.Namespace, _: Sequence[str]) -> int:
    # imported here, so that `--help` and wrong arguments do not wait for PyTorch
    from mmpkd.inference.image_maps import attribute_images

    return attribute_images(options)


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd attribute",
        description="Draw where a student looks on image files (JPEG, PNG, DICOM), one figure per file, and write its "
        "predictions. Files are read, cropped and resized as in its training.",
    )
    parser.add_argument("checkpoint", type=Path, help="a student: folder of its run, checkpoint, or exported folder")
    parser.add_argument("images", type=Path, nargs="+", help="image files, or folders to search for them")
    parser.add_argument("--out", type=new_folder, default=Path("maps"), help="folder to write (default: maps)")
    parser.add_argument(
        "--attribution",
        nargs="+",
        choices=ATTRIBUTIONS,
        default=["rollout", "relevance"],
        help="maps to draw (default: rollout relevance)",
    )
    parser.add_argument(
        "--finding", nargs="+", help="findings to explain with relevance and grad_cam (default: those recognised)"
    )
    parser.add_argument("--format", choices=("png", "svg", "pdf"), default="png", help="file format (default: png)")
    return parser
