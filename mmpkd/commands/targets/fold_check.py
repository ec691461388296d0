"""A check that teachers can be trained by fold, before the first one is trained."""

import io
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from data_modules.split import patient_folds
from mmpkd.callbacks.data_check import check_served_data
from mmpkd.cli.data_config import load_data_module
from mmpkd.cli.yaml_file import read_settings
from mmpkd.modules import TeacherModule
from mmpkd.study.execution.command import flags_of
from mmpkd.study.execution.run import Run


def check_fold_runs(runs: Sequence[Run], lightning: Callable[[Sequence[str]], None]) -> None:
    """Check that runs train a teacher, and that every fold has patients.

    Args:
        runs: One run per fold, with equal settings.
        lightning: The Lightning command line.

    Raises:
        ValueError: If they do not train a teacher, or there are fewer patients than folds.
        SystemExit: With status 2 if an option is unknown or has a wrong value.
    """
    with tempfile.TemporaryDirectory(prefix="mmpkd-") as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(_all_settings(runs[0], lightning), encoding="utf-8")
        settings = read_settings(path)
        _check_is_teacher(settings["model"])
        data = load_data_module(path, [])
    data.serve(load_images=False, load_privileged=True)
    check_served_data(data)
    # only for its check that every fold has a patient
    patient_folds(data.splits["train"].patient_id, len(runs))


def _all_settings(run: Run, lightning: Callable[[Sequence[str]], None]) -> str:
    """Return the complete configuration of a run as YAML."""
    # `--print_config` prints to stdout and exits with status 0
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            lightning(["fit", *flags_of(run), "--print_config"])
    except SystemExit as end:
        if end.code:
            raise
    return printed.getvalue()


def _check_is_teacher(model: object) -> None:
    name = model.get("class_path") if isinstance(model, dict) else None
    module, _, attribute = str(name).rpartition(".")
    if name is None or not issubclass(getattr(import_module(module), attribute), TeacherModule):
        raise ValueError(
            f"Expected the experiment of a teacher (mmpkd.modules.TeacherModule) but its model is {name}. Use a teacher's, such "
            "as experiments/cxr/teacher.yaml."
        )
