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
    "plan": "mmpkd.commands.plan",
    "prepare": "mmpkd.commands.prepare",
    "study": "mmpkd.commands.study",
    "targets": "mmpkd.commands.targets.command",
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
  predict    predict the test split, from images only
  attribute  draw where a student looks on image files:  mmpkd attribute CHECKPOINT IMAGES... --out FOLDER
  infer      predict image files:  mmpkd infer CHECKPOINT IMAGES... --out FOLDER
  export     export a student as a timm folder and as ONNX:  mmpkd export RUN --out FOLDER --onnx
  check-data find problems of a data set before training:  mmpkd check-data experiments/data/mimic_cxr.yaml
  prepare    resize all images of a data set once:  mmpkd prepare experiments/data/mimic_cxr.yaml
  targets    store the outputs of teachers:  mmpkd targets build experiments/cxr/distill.yaml TEACHER.ckpt --out FOLDER
  teacher-card  score a teacher and test it for leaks:  mmpkd teacher-card experiments/cxr/distill.yaml TEACHER.ckpt
  study      train teacher, arms and seeds, then write a report:  mmpkd study experiments/cxr/study.yaml
  plan       how many seeds and patients a study needs:  mmpkd plan experiments/cxr/study.yaml --pilot runs/cxr

Any option of a configuration can be set by a flag:  --model.objective.weight=0.7 --data.batch_size=64
`mmpkd COMMAND --help` lists the options of a command, `mmpkd --version` prints the version. Errors are one line;
`mmpkd --debug COMMAND` shows their traceback.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments without the program's name; those of the process if None.

    Returns:
        Exit status of the command, or 2 for an unknown command.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0
    if args[0] == "--version":
        sys.stdout.write(f"mmpkd {version('mmpkd')}\n")
        return 0
    # `mmpkd --debug COMMAND` is the same as `mmpkd COMMAND --debug`
    if args[0] == DEBUG and len(args) > 1:
        args[:2] = [args[1], DEBUG]
    if args[0] in OWN_COMMANDS:
        # imported only now: `mmpkd --help` and typing errors need not wait for PyTorch
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
    """Run the command of this process. Ctrl-C ends it with status 130, also during imports."""
    try:
        return main()
    except KeyboardInterrupt:
        return 130
