"""Run folders with known content, as a finished run leaves them."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from mmpkd.records import Lineage, RunFolder, TestRecord, TrainingRecord
from mmpkd.records.code_hash import code_hash
from mmpkd.study.execution.command import RunCommand
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.run import Run
from mmpkd.study.plan.plan_file import load_plan

NUM_PATIENTS = 40


def write_run(folder: Path, seed: int, shift: float, role: str = "student", patients_of: str = "") -> None:
    """Write the files of a run whose localization is `shift` better than 0.3."""
    folder.mkdir(parents=True, exist_ok=True)
    shared = np.random.default_rng(0)  # what the images are like is the same for all runs
    rng = np.random.default_rng([seed, round(1000 * (1 + shift))])
    patients = [f"{patients_of}p{i // 2}" for i in range(2 * NUM_PATIENTS)]
    target = shared.integers(0, 2, len(patients)).astype(float)
    predictions = pd.DataFrame(
        {
            "sample_id": [f"s{i:03d}" for i in range(len(patients))],
            "patient_id": patients,
            "target/Mass": target,
            "probability/Mass": np.clip(target * 0.4 + rng.random(len(patients)) * 0.6, 0, 1),
        }
    )
    predictions.to_parquet(folder / "predictions_test.parquet")
    if role == "student":
        difficulty = shared.normal(0, 0.1, len(patients))
        rows = []
        for name, value in (("rollout", 0.3 + shift), ("all_ones", 0.05)):
            noise = rng.normal(0, 0.01, len(patients)) if name == "rollout" else 0.0
            own = predictions[["sample_id", "patient_id"]].assign(finding="Mass", attribution=name, area=0.05)
            own["probability"] = predictions["probability/Mass"]
            own["target"] = 1.0
            own["recognised"] = (own["probability"] > 0.5).astype(float)
            rows.append(own.assign(iou_top_area=value + difficulty + noise, pointing_game=0.5))
        rois = pd.concat(rows)
        rois.loc[rois["sample_id"] == "s000", "iou_top_area"] = np.nan
        rois.to_parquet(folder / "roi_test.parquet")
        rois.assign(finding="any").to_parquet(folder / "roi_union_test.parquet")  # one finding: the same regions
        (folder / "maps" / "test").mkdir(parents=True, exist_ok=True)
        for i in range(2):
            Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "maps" / "test" / f"s{i:03d}.png")
    data = {name: {"samples": 10, "patients": 5} for name in ("train", "val", "test")}
    made_from = Lineage("abc", "1", None, "f" * 64, {"train": "e" * 64}, code_hash())
    test = TestRecord(None, {}, data, "credentialed", ("Mass",), "abc", "1")
    training = TrainingRecord(epochs=2, steps=20, seconds=1.0)
    RunFolder(folder).update(status="tested", seed=seed, made_from=made_from, training=training, test=test)


class FakeCommandLine:
    """Stands in for the Lightning command line: writes what a run would leave, and can fail."""

    def __init__(
        self, fail: Sequence[str] = (), effect: float = 0.1, effects: Mapping[str, float] | None = None
    ) -> None:
        self.given: list[RunCommand] = []
        self.fail = set(fail)
        self.effects = {"distilled": effect} if effects is None else effects

    def __call__(self, command: RunCommand) -> None:
        self.given.append(command)
        run = command.run
        name = run.arm.name
        seed = run.seed + run.arm.seed_offset
        if run.external is not None:  # nothing is trained
            write_run(run.folder, seed, 0.05)
            run.record.update(made_from=None, training=None)
        elif command.verb == "test":
            write_run(run.folder, seed, self.effects.get(name, 0.0), run.arm.role, name.rpartition("_")[0])
        else:
            run.record.checkpoints.mkdir(parents=True, exist_ok=True)
            run.record.last.write_text("half")
            if name in self.fail:
                raise RuntimeError(f"{name} broke")
            run.record.best.write_text(f"{name}-{seed}")
            run.record.update(status="trained", training=TrainingRecord(epochs=2, steps=20, seconds=1.0))

    @property
    def calls(self) -> list[list[str]]:
        """Arguments of all calls."""
        return [command.arguments() for command in self.given]

    def commands(self) -> list[tuple[str, str, str]]:
        """Return (sub-command, arm, seed) of all calls."""
        return [(own.verb, own.run.arm.name, str(own.run.training_seed)) for own in self.given]


def write_study(folder: Path, seeds: Sequence[int] = (0, 1), more: str = "") -> Path:
    """Write a study of three arms and return its file; `more` is added to it."""
    folder.mkdir(exist_ok=True)
    for name in ("teacher", "baseline", "distill"):
        (folder / f"{name}.yaml").write_text("data: data.yaml\n")
    (folder / "data.yaml").write_text("x: 1\n")
    path = folder / "study.yaml"
    path.write_text(
        f"""
name: demo
question: Does it help?
seeds: {list(seeds)}
arms:
  teacher: {{config: teacher.yaml, role: teacher}}
  baseline: {{config: baseline.yaml, role: student}}
  distilled: {{config: distill.yaml, role: student, teacher: teacher}}
primary: {{arm: distilled, reference: baseline, attribution: rollout, score: iou_top_area}}
notes: [A note with <angle> brackets.]
{more}"""
    )
    return path


def planned(folder: Path, *overrides: str) -> list[Run]:
    """Return the runs of the study in a folder."""
    plan = load_plan(folder / "study.yaml")
    return plan_runs(plan, folder / "out", plan.seeds, overrides)


def write_factorial_study(folder: Path, contrast: str, seeds: Sequence[int] = (0, 1, 2, 3, 4)) -> Path:
    """Write a study of two domains and two forms and return its file."""
    folder.mkdir(exist_ok=True)
    (folder / "run.yaml").write_text("x: 1\n")
    names = [f"{domain}_{arm}" for domain, arm in product(("chest", "breast"), ("baseline", "text", "table"))]
    arms = "".join(f"  {name}: {{config: run.yaml, role: student}}\n" for name in names)
    domains = "".join(
        f"    {d}: {{reference: {d}_baseline, text: {d}_text, table: {d}_table}}\n" for d in ("chest", "breast")
    )
    path = folder / "study.yaml"
    path.write_text(
        f"name: square\nquestion: On what does it depend?\nseeds: {list(seeds)}\narms:\n{arms}"
        f"factorial:\n  contrast: {contrast}\n  attribution: rollout\n  score: iou_top_area\n  domains:\n{domains}"
    )
    return path
