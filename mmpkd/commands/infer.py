"""`mmpkd infer`: predict for image files with a student."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmpkd.commands.attribute import ATTRIBUTIONS
from mmpkd.commands.command import CommandParser, at_least, new_folder, run_command

DICOM_KINDS = ("fractional", "binary", "capture", "report")


def main(argv: Sequence[str]) -> int:
    """Predict for image files.

    Returns:
        Exit status: 0, 1 if a file cannot be read or the student cannot be used, 130 after Ctrl-C.
    """
    status = run_command(_parser(), argv, _run, takes_data_flags=False)
    if status == 130:
        sys.stderr.write("Stopped. Finished predictions are kept; the same command resumes.\n")
    return status


def _run(options: argparse.Namespace, _: Sequence[str]) -> int:
    from mmpkd.inference.folder import infer_images

    return infer_images(options)


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd infer",
        description="Predict for image files (JPEG, PNG or DICOM, recognised by their content), which are read, cropped and "
        "resized as in the training of the student, and write predictions.parquet and predictions.csv. A stopped command resumes "
        "where it was. For research only, not for clinical use.",
    )
    parser.add_argument("student", type=Path, help="the student: folder of its run, checkpoint, or exported folder")
    parser.add_argument("images", type=Path, nargs="+", help="image files, or folders to search for them")
    parser.add_argument("--out", type=new_folder, required=True, help="folder to write")
    parser.add_argument("--batch_size", type=at_least(1), default=32, help="images at a time (default: 32)")
    parser.add_argument(
        "--num_workers", type=at_least(0), help="processes that read files (default: one per processor)"
    )
    parser.add_argument(
        "--maps",
        nargs="+",
        choices=("raw", "drawn"),
        default=[],
        help="also write maps, as numbers or drawn over the image",
    )
    parser.add_argument(
        "--dicom",
        nargs="+",
        choices=DICOM_KINDS,
        default=[],
        help="also write DICOM objects about each DICOM file: its maps as a fractional or binary segmentation, a capture of the "
        "first map over the image, a report of the probabilities; needs mmpkd[dicom]",
    )
    parser.add_argument(
        "--attribution", nargs="+", choices=ATTRIBUTIONS, default=["rollout"], help="kinds of maps (default: rollout)"
    )
    parser.add_argument(
        "--finding", nargs="+", help="findings for maps that are specific to one (default: the recognised ones)"
    )
    return parser
