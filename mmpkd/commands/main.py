"""`mmpkd COMMAND`: the Lightning commands and our own."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

from data_modules.suggestion import did_you_mean
from mmpkd.cli.error_lines import DEBUG, run_with_error_line, take_debug

LIGHTNING_COMMANDS = ("fit", "validate", "test", "predict")
OWN_COMMANDS = {
    "attribute": "mmpkd.commands.attribute",
    "check-data": "mmpkd.commands.check_data",
    "export": "mmpkd.commands.export",
    "infer": "mmpkd.commands.infer",
    "init": "mmpkd.commands.init",
    "prepare": "mmpkd.commands.prepare",
    "study": "mmpkd.commands.study",
    "targets": "mmpkd.commands.targets",
    "teacher-card": "mmpkd.commands.teacher_card",
}
COMMANDS = (*LIGHTNING_COMMANDS, *OWN_COMMANDS)
USAGE = """\
usage: mmpkd COMMAND [options]

Multimodal privileged knowledge distillation for medical imaging.

  init       write experiments to start from:  mmpkd init my_project --data table
  fit        train a teacher or a student:  mmpkd fit --config experiments/cxr/teacher.yaml
  validate   score a checkpoint on the validation split
  test       score a checkpoint on the test split
  predict    probabilities for the test split, from images only
  attribute  where a student looks on any image files:  mmpkd attribute CHECKPOINT IMAGES... --out FOLDER
  infer      what a student predicts for any image files:  mmpkd infer CHECKPOINT IMAGES... --out FOLDER
  export     take a student home, as a timm folder and as ONNX:  mmpkd export RUN --out FOLDER --onnx
  check-data find what is wrong with a data set before training:  mmpkd check-data experiments/data/mimic_cxr.yaml
  prepare    resize all images of a data set once:  mmpkd prepare experiments/data/mimic_cxr.yaml
  targets    store what teachers say:  mmpkd targets build experiments/cxr/distill.yaml TEACHER.ckpt --out FOLDER
  teacher-card  whether a teacher can teach:  mmpkd teacher-card experiments/cxr/distill.yaml TEACHER.ckpt
  study      teacher, arms and seeds, then a report:  mmpkd study experiments/cxr/study.yaml

Any option of a configuration can be given as a flag:  --model.objective.weight=0.7 --data.batch_size=64
`mmpkd COMMAND --help` lists a command's options, `mmpkd --version` prints the version. An error is one line;
`mmpkd --debug COMMAND` shows where in the program it happened.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments without the program's name; those of the process by default.

    Returns:
        Exit status: that of the command, or 2 for an unknown one.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if args[0] == "--version":
        sys.stdout.write(f"mmpkd {version('mmpkd')}\n")
        return 0
    if args[0] == DEBUG and len(args) > 1:
        args[:2] = [args[1], DEBUG]
    if args[0] in OWN_COMMANDS:
        run: Callable[[Sequence[str]], int] = import_module(OWN_COMMANDS[args[0]]).main
        return run(args[1:])
    if args[0] in LIGHTNING_COMMANDS:
        return _run_lightning(args, is_program=argv is None)
    hint = did_you_mean(args[0], COMMANDS)
    sys.stderr.write(f"mmpkd: expected one of {', '.join(COMMANDS)} but got '{args[0]}'.{hint}\n")
    return 2


def _run_lightning(args: list[str], is_program: bool) -> int:
    from mmpkd.cli.quick import freeze
    from mmpkd.cli.quick import main as lightning

    if is_program:
        freeze()
    options, is_debug = take_debug(args)

    def run() -> int:
        lightning(options)
        return 0

    return run_with_error_line(f"mmpkd {args[0]}", is_debug, run)


def program() -> int:
    """Run the command of this process; Ctrl-C ends it with 130, also while it is being imported."""
    try:
        return main()
    except KeyboardInterrupt:
        return 130
