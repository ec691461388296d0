"""What an offline W&B run holds, read back with wandb's own tool."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import wandb

from mmpkd.cli.lightning_cli import main
from mmpkd.metrics import default_scores
from mmpkd.records import RunFolder
from mmpkd.study.execution.planned_runs import plan_runs
from mmpkd.study.execution.runner import run_all
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.report.report import write_report
from mmpkd.study.report.tracking import track_summary
from mmpkd.tracking.account import is_logged_in
from mmpkd.tracking.lineage import log_teacher
from mmpkd.tracking.metrics_file import MetricsFile
from mmpkd.tracking.wandb import sweep_folder, wandb_logger
from mmpkd.tracking.workspace import build
from tests.runs import config, student, text_teacher
from tests.study.in_this_process import InThisProcess
from tests.study.synthetic import FakeCommandLine, write_study

SCORES = [score.name for score in default_scores(0.1)]


@pytest.fixture(scope="module", autouse=True)
def often() -> Iterator[None]:
    """System metrics are sampled often wherever they are on; otherwise runs are too short to have any."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.1")
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_root: Path) -> Path:
    """A teacher, and a student that was killed once, tracked offline."""
    folder = tmp_path_factory.mktemp("wandb")
    tracked = {"wandb": "offline", "group": "g", "tags": ["t"]}
    main(["fit", *config(folder, "teacher", tiny_root, text_teacher(), run={**tracked, "job_type": "teacher"})])
    callbacks: list[dict[str, Any]] = [
        {"class_path": "mmpkd.callbacks.localization.LocalizationMonitor"},
        {
            "class_path": "mmpkd.callbacks.localization.AttributionMapLogger",
            "init_args": {"num_images": 2, "num_examples": 1},
        },
    ]
    stop = {"class_path": "tests.modules.stop.StopAfter", "init_args": {"epochs": 1}}
    settings = student(teacher={"path": str(folder / "teacher" / "checkpoints" / "best.ckpt")})
    for part in ([*callbacks, stop], callbacks):
        run = {**tracked, "job_type": "distilled"}
        arguments = config(folder, "run", tiny_root, settings, run=run, trainer={"callbacks": part})
        last = folder / "run" / "checkpoints" / "last.ckpt"
        main(["fit", *arguments, *(["--ckpt_path", str(last)] if last.is_file() else [])])
    main(["test", *arguments, "--ckpt_path", str(folder / "run" / "checkpoints" / "best.ckpt")])
    return folder


def records(run: Path) -> list[dict[str, Any]]:
    """Return the records of all segments of a run, oldest first."""
    found = []
    for folder in sorted((run / "wandb").glob("offline-run-*")):
        found += records_of(folder)
    return found


def records_of(segment: Path) -> list[dict[str, Any]]:
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(segment)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def student_records(runs: Path) -> list[dict[str, Any]]:
    return records(runs / "run")


@pytest.fixture(scope="module")
def teacher_records(runs: Path) -> list[dict[str, Any]]:
    return records(runs / "teacher")


def keys_of(found: list[dict[str, Any]]) -> set[str]:
    # what is no number is shown as its parts: `key._type`, `key.filenames`, ...
    histories = [record["history"]["item"] for record in found if record["type"] == "history"]
    return {key.removesuffix("._type") for history in histories for key in history}


def test_every_key_is_there(student_records: list[dict[str, Any]]) -> None:
    keys = keys_of(student_records)
    for stage, names in (
        ("val", ("rollout", "last_layer")),
        ("test", ("rollout", "last_layer", "relevance", "grad_cam")),
    ):
        for name in names:
            assert {f"{stage}/{name}/{score}" for score in SCORES} <= keys
            assert {f"{stage}/{name}/num_roi", f"{stage}/{name}/num_undefined", f"{stage}/{name}/num_constant"} <= keys
        for control in ("all_ones", "random", "center_gaussian", "image_intensity"):
            assert f"{stage}/{control}/iou_otsu" in keys
        assert {f"{stage}/auroc_macro", f"{stage}/ece_macro", f"{stage}/auroc/left_finding"} <= keys
    assert {"test/mean_roi/iou_otsu", "test/rollout/iou_val", "train/loss", "train/distillation"} <= keys
    assert {"val/attribution/rollout", "test/attribution/rollout", "test/localization_by_stratum"} <= keys


def test_images_boxes_masks_and_the_table_can_be_read_back(runs: Path) -> None:
    media = [folder / "files" / "media" for folder in sorted((runs / "run" / "wandb").glob("offline-run-*"))]
    pictures = [path for folder in media for path in (folder / "images" / "test" / "attribution").glob("rollout_*.png")]
    assert len(pictures) == 2
    boxes = [json.loads(path.read_text()) for folder in media for path in folder.rglob("*.boxes2D.json")]
    box = boxes[0]["box_data"][0]
    assert box["domain"] == "pixel"
    assert box["box_caption"] in ("Left Finding", "Right Finding")
    assert 0 <= box["scores"]["probability"] <= 1
    scale = 384 // 32
    corners = {tuple(value // scale for value in b["position"].values()) for found in boxes for b in found["box_data"]}
    assert corners == {(4, 12, 12, 20), (20, 28, 12, 20)}  # x, x, y, y, as they were drawn
    assert [path for folder in media for path in folder.rglob("*.mask.png")]
    (table,) = [path for folder in media for path in folder.rglob("localization_by_stratum*.table.json")]
    content = json.loads(table.read_text())
    frame = pd.DataFrame(content["data"], columns=content["columns"])
    saved = pd.read_csv(runs / "run" / "roi_test_strata.csv")
    assert frame["attribution"].tolist() == saved["attribution"].tolist()
    assert frame["iou_otsu"].to_numpy() == pytest.approx(saved["iou_otsu"].to_numpy(), nan_ok=True)


def test_group_role_tags_configuration_and_fingerprints(runs: Path, student_records: list[dict[str, Any]]) -> None:
    (run, *_) = [record["run"] for record in student_records if record["type"] == "run"]
    assert run["run_group"] == "g"
    assert run["job_type"] == "distilled"
    assert run["tags"] == ["t"]
    text = json.dumps(student_records)
    lineage = json.loads((runs / "run" / "run.json").read_text())["made_from"]
    assert lineage["splits"]["train"] in text
    assert lineage["teacher_sha256"] in text
    assert "warmup_fraction" in text
    assert lineage["git_commit"] is None or lineage["git_commit"] in text


def test_the_teacher_is_an_artifact_by_its_hash_without_weights(
    runs: Path, teacher_records: list[dict[str, Any]]
) -> None:
    lineage = json.loads((runs / "run" / "run.json").read_text())["made_from"]
    (artifact,) = [record["artifact"] for record in teacher_records if record["type"] == "artifact"]
    assert artifact["name"] == f"teacher-{lineage['teacher_sha256'][:12]}"
    assert artifact["type"] == "teacher"
    assert json.loads(artifact["metadata"])["sha256"] == lineage["teacher_sha256"]
    assert [entry["path"] for entry in artifact["manifest"]["contents"]] == ["lineage.json"]


def summary_of(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what wandb has computed in the end, and would show in the table of runs."""
    summary: dict[str, Any] = {}
    for record in found:
        if record["type"] == "summary":
            summary |= record["summary"]["update"]
    return summary


def test_the_table_of_runs_shows_the_best_of_classification_and_the_last_of_localization(
    runs: Path, student_records: list[dict[str, Any]]
) -> None:
    logged = pd.read_csv(runs / "run" / "metrics.csv")
    logged = logged[logged["name"].str.startswith(("val/", "train/"))]
    best = {"val/auroc": "max", "val/auprc": "max", "val/f1": "max", "val/ece": "min", "train/loss": "min"}
    best |= {"train/task": "min", "train/distillation": "min"}
    summary = summary_of(student_records)
    for name, values in logged.groupby("name", sort=False)["value"]:
        kinds = [kind for prefix, kind in best.items() if str(name).startswith(prefix)]
        expected = values.agg(kinds[0]) if kinds else values.iloc[-1]
        assert summary[str(name)] == pytest.approx(expected, nan_ok=True), name
    changing = logged[logged["name"] == "val/auroc_macro"]["value"]
    assert len(set(changing)) > 1


def test_a_run_that_goes_on_remembers_its_best_score_in_the_table_of_runs(tmp_path: Path) -> None:
    parts = [(0.5, 0.8154, 0.7), (float("nan"), 0.8125)]
    for values in parts:
        tracker, file = wandb_logger(tmp_path, "offline", "p", "n", None, None, []), MetricsFile(RunFolder(tmp_path))
        assert tracker is not None
        for step, value in enumerate(values):
            logged = {"val/auroc/a": value, "val/ece_macro": value, "val/rollout/iou_otsu": value, "train/loss": value}
            file.log_metrics(logged, step)
            tracker.log_metrics(logged, step)
        tracker.experiment.finish()
    last = sorted((tmp_path / "wandb").glob("offline-run-*"))[-1]
    summary = summary_of(records_of(last))
    assert summary["val/auroc/a"] == 0.8154
    assert summary["val/ece_macro"] == summary["train/loss"] == 0.5
    assert summary["val/rollout/iou_otsu"] == 0.8125


def test_a_killed_run_goes_on_as_the_same_run(runs: Path, student_records: list[dict[str, Any]]) -> None:
    assert len(list((runs / "run" / "wandb").glob("offline-run-*"))) == 3  # before the kill, after it, and the test
    assert len({record["run"]["run_id"] for record in student_records if record["type"] == "run"}) == 1


def test_a_run_records_neither_host_nor_paths_nor_console_nor_reports(
    runs: Path, student_records: list[dict[str, Any]]
) -> None:
    for file in (runs / "run" / "wandb").glob("offline-run-*/*.wandb"):
        content = file.read_bytes()
        assert sys.executable.encode() not in content
        for text in (b"bright left", b"dark right", b"train-patient", b"test3"):
            assert text not in content
    # decoded: a short name may occur in the bytes of a checksum
    assert f'"{os.uname().nodename}"' not in json.dumps(student_records)
    assert not [record for record in student_records if record["type"] == "stats"]
    for folder in (runs / "run" / "wandb").glob("offline-run-*"):
        assert not (folder / "files" / "output.log").exists()
        assert not (folder / "files" / "requirements.txt").exists()


def strings_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "local_path":  # tells the process that uploads where a file lies, and is not part of the upload
                yield from (key, *strings_in(item))
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)


def test_no_path_of_this_machine_is_uploaded(
    runs: Path, tiny_root: Path, teacher_records: list[dict[str, Any]], student_records: list[dict[str, Any]]
) -> None:
    found = list(strings_in([*teacher_records, *student_records]))
    segments = [folder for run in ("teacher", "run") for folder in (runs / run / "wandb").glob("offline-run-*")]
    files = [path for folder in segments for path in (folder / "files").rglob("*.json")]
    found += [text for path in files for text in strings_in(json.loads(path.read_text()))]
    artifacts = [path for path in (runs / "teacher" / "wandb" / "home" / "artifacts").rglob("*") if path.is_file()]
    assert artifacts
    found += [path.read_text() for path in artifacts]
    assert any("TextEncoder" in text for text in found)
    for private in (runs, tiny_root, Path.cwd(), Path.home(), Path(tempfile.gettempdir())):
        assert not [text for text in found if str(private) in text], private
    assert not [text for text in found if text.startswith(("/", "~"))]


def test_everything_stays_in_the_folder_of_the_run_and_the_identifier_is_kept(tmp_path: Path) -> None:
    first = wandb_logger(tmp_path, "offline", "p", "n", None, None, [])
    second = wandb_logger(tmp_path, "offline", "p", "n", None, None, [])
    assert first is not None
    assert second is not None
    assert first._id == second._id
    for variable in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        assert Path(os.environ[variable]).is_relative_to(tmp_path)


def test_system_metrics_are_recorded_on_request_without_the_name_of_the_machine(tmp_path: Path) -> None:
    tracker = wandb_logger(tmp_path, "offline", "p", "n", None, None, [], system_metrics=True)
    assert tracker is not None
    _ = tracker.experiment
    time.sleep(0.3)
    tracker.experiment.finish()
    found = records(tmp_path)
    measured = {name for record in found if record["type"] == "stats" for name in record["stats"]["item"]}
    assert {"proc.memory.rssMB", "memory_percent"} <= measured
    text = json.dumps(found)
    assert f'"{os.uname().nodename}"' not in text
    assert str(tmp_path) not in text


def test_a_lineage_hides_paths_too(tmp_path: Path) -> None:
    tracker = wandb_logger(tmp_path, "offline", "p", "n", None, None, [])
    assert tracker is not None
    logged: list[Any] = []
    tracker._experiment = SimpleNamespace(log_artifact=logged.append)
    log_teacher([tracker], "a" * 64, {"splits": {"train": str(tmp_path)}})
    assert logged[0].metadata["splits"]["train"].startswith("path-")


def test_names_that_the_user_gives_hide_paths_too(tmp_path: Path) -> None:
    own = str(tmp_path)
    tracker = wandb_logger(tmp_path, "offline", own, own, own, own, [own, "t"])
    assert tracker is not None
    given = tracker._wandb_init
    names = [given["project"], given["name"], given["group"], given["job_type"], *given["tags"]]
    assert names == [names[0]] * 5 + ["t"]
    assert names[0].startswith("path-")


def test_a_disabled_run_has_no_logger(tmp_path: Path) -> None:
    assert wandb_logger(tmp_path, "disabled", "p", "n", None, None, []) is None
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of somebody without an account."""
    home = tmp_path / "home"
    home.mkdir()
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "WANDB_CONFIG_DIR", "NETRC"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(home))
    return home


def test_who_is_logged_in(stranger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_logged_in()
    netrc = stranger / ".netrc"
    netrc.write_text("machine example.org login user password secret\n")
    assert not is_logged_in()
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    assert is_logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.hospital.org")
    assert not is_logged_in()  # an account elsewhere is none there
    netrc.write_text("machine wandb.hospital.org login user password secret\n")
    assert is_logged_in()
    monkeypatch.delenv("WANDB_BASE_URL")
    assert not is_logged_in()
    settings = stranger / ".config" / "wandb" / "settings"
    settings.parent.mkdir(parents=True)
    settings.write_text("[default]\nbase_url = https://wandb.hospital.org\n")
    assert is_logged_in()
    netrc.write_text("this is no netrc file")
    assert not is_logged_in()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert is_logged_in()


def test_automatic_is_offline_for_a_stranger_and_online_for_a_user(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline = wandb_logger(tmp_path / "a", "auto", "p", "n", None, None, [])
    assert offline is not None
    assert offline._offline
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    online = wandb_logger(tmp_path / "b", "auto", "p", "n", None, None, [], "local")
    assert online is not None
    assert not online._offline
    assert online.media == "local"


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_stops_nobody_who_did_not_ask_for_it(
    stranger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("mmpkd.tracking.wandb.SECONDS_TO_CONNECT", 1)
    wandb.teardown()  # what an earlier test set up knows another server
    automatic = wandb_logger(tmp_path / "a", "auto", "p", "n", None, None, [])
    assert automatic is not None
    with caplog.at_level("WARNING", "mmpkd"):
        assert automatic.experiment.offline
    assert "continues offline" in caplog.text
    automatic.experiment.finish()
    assert "WANDB_MODE" not in os.environ  # the next run of this process decides for itself
    asked = wandb_logger(tmp_path / "b", "online", "p", "n", None, None, [])
    assert asked is not None
    with pytest.raises(wandb.errors.Error):
        _ = asked.experiment
    wandb.teardown()


def test_trials_of_a_sweep_have_folders_and_identifiers_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sweep_folder(tmp_path) == tmp_path
    monkeypatch.setenv("WANDB_RUN_ID", "r1")
    assert sweep_folder(tmp_path) == tmp_path
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    folder = sweep_folder(tmp_path)
    assert folder == tmp_path / "s1" / "r1"
    folder.mkdir(parents=True)
    trial = wandb_logger(folder, "offline", "p", "n", None, None, [])
    assert trial is not None
    assert trial._id == "r1"


def test_the_dashboard_shows_keys_that_runs_log(student_records: list[dict[str, Any]]) -> None:
    workspace = build("somebody", "mmpkd")
    model = workspace._to_model()  # what would be sent
    assert model.entity == "somebody"
    keys = keys_of(student_records)
    shown: set[str] = set()
    for section in workspace.sections:
        for panel in section.panels:
            for attribute in ("y", "metrics", "media_keys"):
                shown |= {str(getattr(key, "name", key)) for key in getattr(panel, attribute, None) or ()}
            pattern = getattr(panel, "metric_regex", None)
            assert pattern is None or any(re.fullmatch(pattern, key) for key in keys)
    assert {
        "val/rollout/iou_otsu",
        "train/distillation",
        "val/attribution/rollout",
        "test/mean_roi/pixel_auroc",
    } <= shown
    # a run may have no hit, or no miss
    assert shown - keys <= {"test/attribution/rollout/hits", "test/attribution/rollout/misses"}


def test_the_answer_of_a_study_is_a_run_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the address of a service that an earlier test ended
    monkeypatch.delenv("WANDB_SERVICE", raising=False)
    wandb.teardown()
    plan = load_plan(write_study(tmp_path, (0, 1, 2)))
    finished = run_all(plan_runs(plan, tmp_path / "out", plan.seeds, ()), InThisProcess(FakeCommandLine())).finished
    (finished[0].folder / "config.yaml").write_text("run: {wandb: offline, project: lungs, tags: [t]}\n")
    sentence, _ = write_report(plan, tmp_path / "out", plan.seeds, finished, ())
    found = records(tmp_path / "out" / ".summary")
    run = next(record["run"] for record in found if record["type"] == "run")
    assert (run["project"], run["run_group"], run["job_type"], run["tags"]) == ("lungs", "demo", "report", ["t"])
    assert {"arms/all", "figures/forest_distilled_baseline_rollout_iou_top_area"} <= keys_of(found)
    summary = summary_of(found)
    assert summary["answer"] == sentence
    assert summary["endpoint/estimate"] == pytest.approx(0.1, abs=0.01)
    assert summary["endpoint/verdict"] == "higher"
    assert "s001" not in json.dumps(found)
    assert not [text for text in strings_in(found) if text.startswith(("/", "~")) or str(tmp_path) in text]


@pytest.mark.parametrize("content", ["run: {wandb: [", "", "data: {}\n", "run: offline\n"])
def test_a_damaged_configuration_is_one_line_and_the_report_stays(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run: Any = SimpleNamespace(record=RunFolder(tmp_path))
    run.record.config.write_text(content)
    no_page: Any = None
    track_summary(no_page, tmp_path, [run])
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("The answer is not logged to W&B: Expected ")
    assert f"'{run.record.config}'" in line
    assert not (tmp_path / ".summary").exists()


def test_without_an_account_the_dashboard_says_at_once_what_to_do(stranger: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mmpkd.tracking.dashboard"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "Not logged in to W&B, so nothing was sent" in result.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint({"torch", "lightning", "numpy", "wandb", "wandb_workspaces"})
