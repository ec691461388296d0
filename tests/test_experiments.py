"""Every experiment is run for a step, on tiny data in the layout that it expects."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from data_modules.phantoms import write_breast_phantoms, write_chest_phantoms
from mmpkd.callbacks.localization.map_samples import choose_fixed
from mmpkd.cli.data_config import load_data_module
from mmpkd.cli.lightning_cli import main
from mmpkd.commands.processes.run import run_lightning
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.report import write_report
from tests.data.open_i.data import write_open_i
from tests.study.in_this_process import InThisProcess
from tests.tiny import write_text_encoder

ROOT = Path(__file__).parents[1] / "experiments"
FILES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.yaml"))
STUDIES = [name for name in FILES if name.endswith(("study.yaml", "controls.yaml", "known_answers.yaml"))]
SWEEPS = [name for name in FILES if name.endswith("sweep.yaml")]
CHANGES = [name for name in FILES if name.startswith(("arms/", "options/")) or name.endswith("nuisance.yaml")]
RUNS = [
    name
    for name in FILES
    if name.split("/")[0] != "data" and name not in (*STUDIES, *CHANGES, *SWEEPS, "slurm.yaml", "student.yaml")
]
CONTROLS = {
    "label_smoothing",
    "self_distillation",
    "shuffled",
    "shuffled_within_labels",
    "noise",
    "nuisance",
    "label_oracle",
    "degraded_25",
    "degraded_50",
    "degraded_75",
    "untrained",
}
STEP = [
    "--trainer.max_epochs=1",
    "--data.max_train_samples=8",
    "--trainer.limit_val_batches=2",
    "--trainer.accelerator=cpu",
    "--trainer.devices=1",
    "--trainer.precision=32",
    "--data.num_workers=0",
    "--data.batch_size=8",
    "--run.wandb=disabled",
]


@pytest.fixture(autouse=True)
def _one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw one image a stage: twelve show nothing more."""
    monkeypatch.setattr(
        "mmpkd.callbacks.localization.attribution_maps.choose_fixed", lambda pairs, _: choose_fixed(pairs, 1)
    )


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny data in the layouts of all families."""
    folder = tmp_path_factory.mktemp("data")
    write_chest_phantoms(folder / "chest", num_train=40, num_val=24, num_test=8, num_workers=0)
    write_breast_phantoms(folder / "breast", num_train=36, num_test=8, num_workers=0)
    write_breast_phantoms(folder / "both", num_train=60, num_test=24, mass_fraction=0.5, num_workers=0)
    _write_covid(folder / "covid")
    _write_table(folder / "table")
    write_open_i(folder / "open_i")
    return {name: folder / name for name in ("chest", "breast", "both", "covid", "table", "open_i")}


def _write_covid(root: Path) -> None:
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        name = f"cxr{i:04d}"
        Image.fromarray(rng.integers(0, 255, (40, 48)).astype(np.uint8)).save(root / "images" / f"{name}.jpg")
        split = "train" if i < 12 else "val" if i < 18 else "test"
        if i % 4 == 3:
            Image.fromarray(np.eye(40, 48, dtype=np.uint8) * 255).save(root / "masks" / f"{name}__lesion_union.png")
        rows.append((name, f"images/{name}.jpg", i % 2, "cough and fever" if i % 3 else "", i, split, "PA", "covid19"))
    columns = ["image_id", "file", "label_covid19", "clinical_notes", "group_id", "split", "view", "finding_group"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "metadata.csv", index=False)


def _write_table(root: Path) -> None:
    """What experiments/data/table.yaml expects before anybody fills it in."""
    _write_covid(root)
    frame = pd.read_csv(root / "metadata.csv")
    names = {"label_covid19": "pneumonia", "group_id": "patient_id", "clinical_notes": "report"}
    frame.rename(columns=names).to_csv(root / "table.csv", index=False)
    for mask in (root / "masks").iterdir():
        mask.rename(mask.with_name(mask.name.replace("__lesion_union", "")))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Hugging Face encoder in place of the one that is downloaded."""
    return write_text_encoder(tmp_path_factory.mktemp("encoder"))


def flags(name: str, roots: dict[str, Path], encoder: Path) -> list[str]:
    """Return what makes an experiment small, without changing its kind."""
    family = name.split("/")[0]
    is_real = "/mimic/" in name or "/cbis_ddsm/" in name or family == "table"
    if "table_" in name:
        return [f"--data.root={roots['both']}"]
    if family == "covid_cxr":
        return [f"--data.root={roots['covid']}"]
    if family == "open_i":
        return [f"--data.root={roots['open_i']}"]
    if family == "table":
        added = [f"--data.root={roots['table']}"]
    elif family == "cxr":
        added = [f"--data.root={roots['chest']}"]
        if not is_real:
            added += ["--data.num_train=40", "--data.num_val=24", "--data.num_test=8"]
        else:
            # phantoms have some of the findings only
            added += ['--data.label_names=["Cardiomegaly","Consolidation","Pleural Effusion","Pneumothorax"]']
        if is_real and "teacher" in name:
            added += [f"--model.encoder.pretrained.name={encoder}"]
    else:
        added = [f"--data.root={roots['breast']}"]
        if not is_real:
            added += ["--data.num_train=36", "--data.num_test=8"]
    if is_real and "teacher" not in name:
        added += [
            "--model.student.pretrained=false",
            "--model.student.model_name=vit_tiny_patch16_224",
            "--data.image_size=64",
        ]
    return added


def run(name: str, folder: Path, roots: dict[str, Path], encoder: Path, *more: str) -> Path:
    out = folder / name.replace("/", "-")
    arguments = ["--config", str(ROOT / name), f"--run.dir={out}", *flags(name, roots, encoder), *STEP, *more]
    main(["fit", *arguments])
    return out / "checkpoints" / "best.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_experiment_runs_for_a_step(name: str, roots: dict[str, Path], encoder: Path, tmp_path: Path) -> None:
    more = []
    if name.endswith("distill.yaml"):
        teacher = run(name.replace("distill", "teacher"), tmp_path, roots, encoder)
        more = [f"--model.teacher={teacher}"]
    best = run(name, tmp_path, roots, encoder, *more)
    saved = torch.load(best, weights_only=True)
    assert saved["global_step"] == 1
    assert ("teacher" in saved) == ("student" not in saved)


@pytest.mark.parametrize(
    "name", [name for name in STUDIES if name.split("/")[1] != "known_answers.yaml" and name != "2x2/study.yaml"]
)
def test_every_study_is_a_valid_plan(name: str) -> None:
    plan = load_plan(ROOT / name)
    assert {arm.name for arm in plan.arms} >= {"teacher", "baseline", "distilled"}
    assert plan.arm("distilled").teacher == "teacher"


def test_of_the_known_answers_one_is_zero_by_construction() -> None:
    plan = load_plan(ROOT / "cxr" / "known_answers.yaml")
    assert plan.primary is not None
    arm, reference = plan.arm(plan.primary.arm), plan.arm(plan.primary.reference)
    assert arm.seed_offset > max(plan.seeds)
    assert replace(arm, name=reference.name, seed_offset=0) == reference


@pytest.mark.slow
def test_the_2x2_study_runs_for_a_step(roots: dict[str, Path], encoder: Path, tmp_path: Path) -> None:
    plan = load_plan(ROOT / "2x2" / "study.yaml")
    small = {
        "chest": flags("cxr/baseline.yaml", roots, encoder),
        "breast": flags("mammo/baseline.yaml", roots, encoder),
    }
    arms = tuple(replace(arm, overrides=(*small[arm.name.split("_")[0]], *STEP)) for arm in plan.arms)
    plan = replace(plan, arms=arms)
    outcome = run_all(plan_runs(plan, tmp_path, (0,), ()), InThisProcess(run_lightning))
    assert outcome.failed == ()
    sentence, page = write_report(plan, tmp_path, (0,), outcome.finished, ())
    assert sentence.startswith("On phantoms: No answer: a contrast between domains needs at least two seeds")
    # after one step no student localizes
    assert "did not beat the best baseline map" in sentence
    text = page.read_text()
    assert text.count('<h2 class="domain">') == 2
    assert len(re.findall("<h2 [^>]*>Exploratory: ", text)) == 4
    cards = {arm.name: (tmp_path / arm.name / "seed0" / "teacher_card.json").is_file() for arm in plan.students}
    assert [name for name, has_card in cards.items() if not has_card] == ["chest_baseline", "breast_baseline"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["cxr", "mammo"])
def test_every_control_runs_for_a_step(family: str, roots: dict[str, Path], encoder: Path, tmp_path: Path) -> None:
    content = yaml.safe_load((ROOT / family / "controls.yaml").read_text())
    assert content["arms"].keys() >= CONTROLS
    # they differ from a third one in a number (tests/test_arms.py)
    content["arms"] = {name: arm for name, arm in content["arms"].items() if name not in ("degraded_25", "degraded_75")}
    for arm in content["arms"].values():
        files = [arm["config"]] if isinstance(arm["config"], str) else arm["config"]
        arm["config"] = [str(ROOT / family / name) for name in files]
    path = tmp_path / "controls.yaml"
    path.write_text(yaml.safe_dump(content))
    plan = load_plan(path)
    overrides = [*flags(f"{family}/baseline.yaml", roots, encoder), *STEP, "--run.figures=false"]
    outcome = run_all(plan_runs(plan, tmp_path, (0,), overrides), InThisProcess(run_lightning))
    assert outcome.failed == ()
    sentence, page = write_report(plan, tmp_path, (0,), outcome.finished, ())
    steps = {
        arm.name: torch.load(tmp_path / arm.name / "seed0/checkpoints/best.ckpt", weights_only=True)["global_step"]
        for arm in plan.students
    }
    assert steps.pop("untrained") == 0
    assert set(steps.values()) == {1}
    assert "On phantoms: No answer from one seed" in sentence
    assert page.is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_a_trial_of_every_sweep_runs_for_a_step(
    name: str, roots: dict[str, Path], encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = yaml.safe_load((ROOT / name).read_text())
    assert (ROOT / name).read_text().splitlines()[0] == f"# wandb sweep experiments/{name}"
    assert sweep["metric"]["name"] == "val/auroc_macro"  # never a localization score
    # what an agent makes of the file: the command, with an option for each parameter
    values = {key: (p["values"][-1] if "values" in p else p["min"]) for key, p in sweep["parameters"].items()}
    command = sweep["command"]
    assert command[:5] == ["${env}", "python", "-m", "mmpkd", "fit"]
    assert command[-1] == "${args}"
    given = [part.replace("experiments/", f"{ROOT}/") if part.endswith(".yaml") else part for part in command[5:-1]]
    given[given.index("--run.dir") + 1] = str(tmp_path / "sweep")
    trial = [f"--{key}={value}" for key, value in values.items()]
    experiment = f"{name.split('/')[0]}/distill.yaml"
    teacher = run(experiment.replace("distill", "teacher"), tmp_path, roots, encoder)
    monkeypatch.setenv("WANDB_SWEEP_ID", "abc")
    monkeypatch.setenv("WANDB_RUN_ID", "xyz")
    small = [*flags(experiment, roots, encoder), *STEP, f"--model.teacher={teacher}"]
    main(["fit", *given, *trial, *small])
    folder = tmp_path / "sweep" / "abc" / "xyz"
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["model"]["init_args"]["objective"]["init_args"]["weight"] == values["model.objective.weight"]
    assert (folder / "checkpoints" / "best.ckpt").is_file()


@pytest.mark.parametrize("name", [*RUNS, *STUDIES, *CHANGES, "slurm.yaml"])
def test_the_first_line_says_how_to_run_it(name: str) -> None:
    first = (ROOT / name).read_text().splitlines()[0]
    command = re.fullmatch(r"# mmpkd (?:fit|study) (.*)", first)
    assert command is not None, first
    files = re.findall(r"experiments/\S+\.yaml", command.group(1))
    assert f"experiments/{name}" in files
    assert all((ROOT.parent / file).is_file() for file in files)


@pytest.mark.parametrize("name", sorted(name for name in FILES if name.startswith("data/")))
def test_every_data_file_names_arguments_that_exist(name: str) -> None:
    data = load_data_module(ROOT / name, [])
    assert data.num_classes == len(data.label_names) > 0
    assert (ROOT / name).read_text().startswith("# ")
