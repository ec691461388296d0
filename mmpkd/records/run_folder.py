"""The folder of a run: its files by name."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data_modules.files.atomic import remove_unfinished
from data_modules.files.json_file import read_json, write_json
from mmpkd.records.run_state import RunState

LAST = "last.ckpt"
PREVIOUS = "previous.ckpt"


@dataclass(frozen=True)
class RunFolder:
    """Paths of all files that a run writes. No other module knows their names.

    Attributes:
        path: The folder. It need not exist yet.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Complete configuration of the training."""
        return self.path / "config.yaml"

    @property
    def settings(self) -> dict[str, Any]:
        """The complete configuration of the training as primitives; empty if there is none.

        Raises:
            ValueError: If `config.yaml` is damaged.
        """
        if not self.config.is_file():
            return {}
        # `--help` of our own commands does not wait for PyYAML
        from data_modules.files.yaml_file import read_yaml

        content = read_yaml(self.config)
        if not isinstance(content, dict):
            raise ValueError(
                f"Expected the settings of a run in '{self.config}' but it is damaged. Restore or delete it."
            )
        return content

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """Checkpoint with the best validation score."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """Checkpoint that an interrupted training resumes from."""
        return self.checkpoints / LAST

    @property
    def previous(self) -> Path:
        """Checkpoint before the last one, in case that is damaged."""
        return self.checkpoints / PREVIOUS

    @property
    def metrics(self) -> Path:
        """Logged metrics, one row per value."""
        return self.path / "metrics.csv"

    @property
    def progress(self) -> Path:
        """How far the training of a study's run is."""
        return self.path / "progress.json"

    @property
    def log(self) -> Path:
        """Output of a run that a study started in a separate process."""
        return self.path / "log.txt"

    @property
    def error_log(self) -> Path:
        """Traceback of the last failure in a study."""
        return self.path / "error.log"

    @property
    def job(self) -> Path:
        """Cluster job of the run."""
        return self.path / "job.json"

    @property
    def teacher_card(self) -> Path:
        """Card of the teacher that a student is distilled from."""
        return self.path / "teacher_card.json"

    @property
    def wandb_id(self) -> Path:
        """Identifier of the run at W&B."""
        return self.path / "wandb_run_id.txt"

    @property
    def targets(self) -> Path:
        """Folder of stored targets of a teacher."""
        return self.path / "targets"

    @property
    def faithfulness(self) -> Path:
        """Table of the faithfulness of attributions."""
        return self.path / "faithfulness_test.parquet"

    def predictions(self, stage: str) -> Path:
        """Table of predictions; `stage` is val, test or predict."""
        return self.path / f"predictions_{stage}.parquet"

    def rois(self, stage: str) -> Path:
        """Table of localization, one row per image, finding and attribution."""
        return self.path / f"roi_{stage}.parquet"

    def scored_maps(self, stage: str) -> Path:
        """The maps that were scored, on the patch grid."""
        return self.path / f"maps_{stage}.npz"

    def strata(self, stage: str) -> Path:
        """Means of that table by stratum."""
        return self.path / f"roi_{stage}_strata.csv"

    def unions(self, stage: str) -> Path:
        """Table of localization, one row an image and attribution: the union of the image's regions."""
        return self.path / f"roi_union_{stage}.parquet"

    def union_strata(self, stage: str) -> Path:
        """Means of that table by stratum."""
        return self.path / f"roi_union_{stage}_strata.csv"

    def maps(self, stage: str) -> Path:
        """Folder of attribution maps."""
        return self.path / "maps" / stage

    def figures(self, stage: str) -> Path:
        """Folder of figures."""
        return self.path / "figures" / stage

    @property
    def state(self) -> RunState | None:
        """The state of the run, or None if there is none.

        Raises:
            ValueError: If `run.json` is damaged.
        """
        path = self.path / "run.json"
        if not path.is_file():
            return None
        content = read_json(path)
        try:
            return RunState.from_json(content)
        except TypeError as error:
            raise ValueError(
                f"Expected the state of a run in '{path}' but it is damaged, or from another version: {error}. Restore or "
                "delete it."
            ) from error

    def update(self, **changes: Any) -> RunState:
        """Change fields of the stored state, and return the new state."""
        state = replace(self.state or RunState(), **changes)
        write_json(self.path / "run.json", state.to_json())
        return state

    @property
    def can_resume(self) -> bool:
        """Whether the folder contains a checkpoint that an interrupted training resumes from."""
        return self.last.is_file() or self.previous.is_file()

    def remove_unfinished(self) -> None:
        """Delete what killed processes left half-written; no process may be writing here."""
        for folder in (self.path, self.checkpoints, self.targets):
            remove_unfinished(folder)

    @property
    def is_trained(self) -> bool:
        """Whether the folder contains a finished training."""
        state = self.state
        return state is not None and state.training is not None
