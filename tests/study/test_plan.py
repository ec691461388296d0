"""The file of a study: what is wrong with it is said in one line, with the file and the key."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmpkd.study.plan.errors import StudyError
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.questions import Comparison, Measure
from mmpkd.study.plan.study_plan import Arm
from tests.study.synthetic import write_factorial_study, write_study

MORE = "external: {elsewhere: {data: data.yaml, overrides: [--data.root=x]}}\nfamily: [{arm: distilled, reference: baseline}]\n"


def test_a_plan_is_what_its_file_says(tmp_path: Path) -> None:
    path = write_study(tmp_path, (0, 1), MORE)
    path.write_text(path.read_text().replace("config: distill.yaml", "config: [baseline.yaml, distill.yaml]"))
    plan = load_plan(path)
    configs = (tmp_path / "baseline.yaml", tmp_path / "distill.yaml")
    assert plan.arms[2] == Arm("distilled", configs, "student", teacher="teacher")
    assert plan.seeds == (0, 1)
    assert plan.family == (Comparison("distilled", "baseline", "rollout", "iou_top_area"),)
    assert plan.measure == plan.family[0].measure == Measure("rollout", "iou_top_area")
    assert (plan.external[0].data, plan.external[0].arms) == (tmp_path / "data.yaml", ("baseline", "distilled"))


def test_a_family_takes_unit_and_average_from_the_endpoint_and_not_its_margin(tmp_path: Path) -> None:
    path = write_study(tmp_path, (0, 1), "family: [{arm: baseline, reference: distilled}]\n")
    path.write_text(path.read_text().replace("score: iou_top_area", "score: x, unit: image, margin: 0.1"))
    plan = load_plan(path)
    assert plan.family == (Comparison("baseline", "distilled", "rollout", "x", unit="image"),)
    assert plan.measure == Measure("rollout", "x", "image")
    assert (plan.gate, plan.looks) == (True, ())


def test_every_comparison_of_a_design_has_its_unit_and_average(tmp_path: Path) -> None:
    path = write_factorial_study(tmp_path, "domain")
    path.write_text(path.read_text().replace("  contrast:", "  average: findings\n  contrast:"))
    plan = load_plan(path)
    assert plan.factorial is not None
    assert {own.average for own in plan.factorial.comparisons} == {"findings"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0, 1]", "seeds: [0, true]", "expected `seeds` to be a list of integers but got [0, True]."),
        (
            "seeds: [0, 1]",
            "seeds: [0, 0]",
            "expected `seeds` to be different integers >= 0, at least one, but got [0, 0].",
        ),
        ("seeds: [0, 1]", "", "expected the keys seeds but they are missing."),
        ("question: Does it help?", "question: ''", "expected `question` to be text but it is empty."),
        ("arms:", "armz:", "unknown key 'armz'. Did you mean 'arms'?"),
        ("primary: {", "primary: {oops: 1, ", "primary: unknown key 'oops'."),
        ("score: iou_top_area", "score: x, margin: many", "primary: expected `margin` to be a number but got 'many'."),
        ("score: iou_top_area", "score: x, margin: 0", "primary: expected `margin` to be a number > 0 but got 0.0."),
        (
            "score: iou_top_area",
            "score: x, unit: patient",
            "primary: expected `unit` to be one of finding, image but got 'patient'.",
        ),
        (
            "score: iou_top_area",
            "score: x, unit: image, average: findings",
            "primary: expected `average: patients` with `unit: image` but got `findings`",
        ),
        (
            "attribution: rollout, score: iou_top_area",
            "attribution: relevance, score: x, unit: image",
            "primary: expected `unit: finding` with the attribution 'relevance' but got `image`",
        ),
        (
            "family: [{",
            "family: [{attribution: grad_cam, unit: image, ",
            "family: expected `unit: finding` with the attribution 'grad_cam' but got `image`",
        ),
        (
            "score: iou_top_area",
            "score: x, average: regions",
            "primary: expected `average` to be one of patients, findings",
        ),
        ("seeds: [0, 1]", "seeds: [0, 1]\ngate: often", "expected `gate` to be true or false but got 'often'."),
        (
            "seeds: [0, 1]",
            "seeds: [0, 1]\nlooks: [1, 2]",
            "expected `looks` to be increasing numbers of seeds from 5 on",
        ),
        (
            "seeds: [0, 1]",
            "seeds: [0, 1, 2, 3, 4, 5]\nlooks: [5]",
            "expected `looks` to be increasing numbers of seeds",
        ),
        ("teacher: teacher}", "teacher: 3}", "arms.distilled: expected `teacher` to be text but got 3."),
        (
            "role: teacher}",
            "role: tutor}",
            "arms.teacher: expected `role` to be one of teacher, student but got 'tutor'.",
        ),
        (
            "role: teacher}",
            "role: teacher, overrides: [{--x: 1}]}",
            "arms.teacher: expected `overrides` to be a list of text",
        ),
        (
            "role: teacher}",
            "role: teacher, overrides: [x=1]}",
            "arms.teacher: expected flags such as --trainer.max_epochs=2",
        ),
        ("role: teacher}", "role: teacher, overrides: [--ckpt_path=x]}", "arms.teacher: expected overrides without"),
        ("config: teacher.yaml", "config: {a: b}", "arms.teacher: expected `config` to be a path or a list of paths"),
        ("  teacher:", "  te cher:", "arms.te cher: expected a name of letters, digits"),
        ("family: [", "family: [3, ", "family: expected a mapping (key: value) but got 3."),
        ("elsewhere: {", "elsewhere: {root: x, ", "external.elsewhere: unknown key 'root'."),
        (
            "primary:",
            "#",
            "expected one declared endpoint, `primary` (a comparison) or `factorial` (a contrast), but got none.",
        ),
    ],
)
def test_a_mistake_is_told_with_the_file_and_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write_study(tmp_path, (0, 1), MORE)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StudyError) as error:
        load_plan(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_in_utf8_is_told(tmp_path: Path) -> None:
    path = write_study(tmp_path, (0, 1))
    path.write_bytes(path.read_bytes() + "# Größe".encode("latin-1"))
    with pytest.raises(StudyError, match=r"Expected YAML in .*study\.yaml. but got: .utf-8. codec"):
        load_plan(path)


def test_arms_of_a_design_are_text(tmp_path: Path) -> None:
    path = write_factorial_study(tmp_path, "domain")
    path.write_text(path.read_text().replace("text: chest_text", "text: 3"))
    with pytest.raises(StudyError, match="factorial: expected `domains` to be a mapping of domains"):
        load_plan(path)


def test_help_comes_before_anything_slow_is_imported() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mmpkd", "study", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--dry-run" in result.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint({"jsonargparse", "yaml", "numpy", "torch", "lightning"})
