"""`mmpkd export`: export a trained student for other people and other programs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mmpkd.commands.command import CommandParser, new_folder, run_command


def main(argv: Sequence[str]) -> int:
    """Export a student.

    Returns:
        Exit status: 0, 1 if it cannot be exported or uploaded, 130 after Ctrl-C.
    """
    return run_command(_parser(), argv, _run, takes_data_flags=False)


def _run(options: argparse.Namespace, _: Sequence[str]) -> int:
    # imported here, so that `--help` and wrong arguments do not wait for PyTorch
    from mmpkd.export import ExportOptions, export_student, open_source
    from mmpkd.export.onnx_model import check_onnx_packages
    from mmpkd.export.push import check_push, push

    if options.onnx:
        check_onnx_packages()
    source = open_source(options.student)
    if options.push is not None:
        check_push(options.push, source.data_license, options.agreement_allows_push)
    out = options.out.resolve()  # a path like new/../student leads nowhere until then
    export_student(source, out, ExportOptions(options.license, options.onnx, options.rollout))
    written = ", ".join(sorted(path.name for path in out.iterdir()))
    sys.stdout.write(f"{options.out}: {written}\n")
    if options.push is not None:
        sys.stdout.write(f"{push(out, options.push)}\n")
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(
        "mmpkd export",
        description="Write a student as a folder that timm loads without mmpkd, with a model card from the records of its run, "
        "and optionally as ONNX.",
    )
    parser.add_argument("student", type=Path, help="folder of a student's run, or its checkpoint")
    parser.add_argument("--out", type=new_folder, required=True, help="folder to write")
    parser.add_argument("--onnx", action="store_true", help="also write model.onnx, which needs mmpkd[onnx]")
    parser.add_argument(
        "--rollout", action="store_true", help="give ONNX a second output, the attention rollout on the grid of patches"
    )
    parser.add_argument(
        "--license",
        default="other",
        help="licence of the model, as Hugging Face names licences (default: other, for an unknown licence)",
    )
    parser.add_argument(
        "--push", metavar="USER/NAME", help="upload the folder to this repository of the Hugging Face hub"
    )
    parser.add_argument(
        "--agreement-allows-push",
        action="store_true",
        help="confirm that the agreement on credentialed training data allows sharing the model",
    )
    return parser
