"""The arms of every study differ in what their names say, and in nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mmpkd.cli.yaml_file import read_settings, with_bases
from mmpkd.study.execution.likeness import compared_arms
from mmpkd.study.plan.plan_file import load_plan
from mmpkd.study.plan.study_plan import Arm

ROOT = Path(__file__).parents[1] / "experiments"
STUDIES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.yaml") if "arms" in read_settings(path))
MODEL = "model.init_args"
PATH, CONTROL, TARGETS = (f"{MODEL}.teacher.{name}" for name in ("path", "control", "targets"))
ENCODER, FORM, TAUGHT_BY = f"{MODEL}.encoder", "privileged_form", "study.teacher"
DISTILLED = {f"{MODEL}.teacher": ..., f"{MODEL}.objective": ..., TAUGHT_BY: "teacher"}
# of each arm: the one that it is compared with, and what it changes; ... is any value
Changes = dict[str, tuple[str, dict[str, Any]]]
OF_CONTROLS: Changes = {
    "distilled": ("baseline", DISTILLED),
    "label_smoothing": ("baseline", {f"{MODEL}.objective": {"label_smoothing": 0.1}}),
    "untrained": ("baseline", {"trainer.limit_train_batches": 0}),
    "self_distillation": ("distilled", {TARGETS: "image", TAUGHT_BY: "baseline"}),
    "shuffled": ("distilled", {CONTROL: ("ShuffledTargets", {})}),
    "shuffled_within_labels": ("distilled", {CONTROL: ("ShuffledTargets", {"within_labels": True})}),
    "noise": ("distilled", {CONTROL: ("NoisyTargets", {"share": 1.0})}),
    "degraded_25": ("distilled", {CONTROL: ("NoisyTargets", {"share": 0.25})}),
    "degraded_50": ("distilled", {CONTROL: ("NoisyTargets", {"share": 0.5})}),
    "degraded_75": ("distilled", {CONTROL: ("NoisyTargets", {"share": 0.75})}),
    "label_oracle": ("distilled", {CONTROL: ("LabelOracle", {}), PATH: None, TAUGHT_BY: None}),
}
Named = tuple[str, dict[str, Any]]
TABLE: Named = ("TableFromText", {})
TEXT: Named = ("TextFromTable", {})
VIEW: Named = ("TableFromStrata", {"columns": ["view"]})
NUISANCES: Named = ("TableFromStrata", {"columns": ["side", "view", "density"]})
TABULAR: Named = ("TabularEncoder", {"width": 64, "depth": 2})
OF_TEXT: Named = ("TextEncoder", {"width": 64, "depth": 1, "num_heads": 4, "max_length": 64})
EXPECTED: dict[str, Changes] = {
    "cxr/controls.yaml": {
        **OF_CONTROLS,
        "table_teacher": ("teacher", {ENCODER: TABULAR, FORM: TABLE}),
        "table_distilled": ("distilled", {FORM: TABLE, TAUGHT_BY: "table_teacher"}),
        "nuisance_teacher": ("teacher", {ENCODER: TABULAR, FORM: VIEW}),
        "nuisance": ("distilled", {FORM: VIEW, TAUGHT_BY: "nuisance_teacher"}),
    },
    "mammo/controls.yaml": {
        **OF_CONTROLS,
        "text_teacher": ("teacher", {ENCODER: OF_TEXT, FORM: TEXT}),
        "text_distilled": ("distilled", {FORM: TEXT, TAUGHT_BY: "text_teacher"}),
        "nuisance_teacher": ("teacher", {FORM: NUISANCES}),
        "nuisance": ("distilled", {FORM: NUISANCES, TAUGHT_BY: "nuisance_teacher"}),
    },
    "cxr/known_answers.yaml": {
        "itself": ("baseline", {"study.seed_offset": 1000}),
        "useful": ("baseline", DISTILLED),
        "shuffled": ("useful", {CONTROL: ("ShuffledTargets", {})}),
        "useless": ("useful", {CONTROL: ("NoisyTargets", {"share": 1.0})}),
    },
    "2x2/study.yaml": {
        "chest_table_teacher": ("chest_text_teacher", {ENCODER: TABULAR, FORM: TABLE}),
        "breast_text_teacher": ("breast_table_teacher", {ENCODER: OF_TEXT, FORM: TEXT}),
        "chest_text": ("chest_baseline", {**DISTILLED, TAUGHT_BY: "chest_text_teacher"}),
        "chest_table": ("chest_text", {FORM: TABLE, TAUGHT_BY: "chest_table_teacher"}),
        "breast_table": ("breast_baseline", {**DISTILLED, TAUGHT_BY: "breast_table_teacher"}),
        "breast_text": ("breast_table", {FORM: TEXT, TAUGHT_BY: "breast_text_teacher"}),
    },
}
# what a setting decides, by how its name begins
OF_SETTINGS = {"data": "data", FORM: "data", "trainer.max": "budget", "trainer.limit_train_batches": "budget"}
PLAIN: Changes = {"distilled": ("baseline", DISTILLED)}


@pytest.mark.parametrize("name", STUDIES)
def test_arms_differ_in_what_their_names_say(name: str) -> None:
    arms = {arm.name: settings_of(arm) for arm in load_plan(ROOT / name).arms}
    expected = EXPECTED.get(name, PLAIN)
    compared_with = {reference for reference, _ in expected.values()} - set(expected)
    assert set(arms) - set(expected) - compared_with <= {"teacher"}
    for arm, (reference, changes) in expected.items():
        found = differences(arms[reference], arms[arm])
        assert found.keys() == changes.keys(), arm
        assert {key: found[key] for key, value in changes.items() if value is not ...} == {
            key: value for key, value in changes.items() if value is not ...
        }, arm


@pytest.mark.parametrize("name", STUDIES)
def test_arms_declare_what_they_may_differ_in_and_nothing_else(name: str) -> None:
    plan = load_plan(ROOT / name)
    for arm, reference in compared_arms(plan):
        changed = differences(settings_of(reference), settings_of(arm))
        aspects = {aspect for key in changed for start, aspect in OF_SETTINGS.items() if key.startswith(start)}
        assert aspects == {*arm.may_differ_in, *reference.may_differ_in}, arm.name


def test_the_two_tables_differ_in_a_word() -> None:
    mass, calc = (merged_files(ROOT / "mammo" / f"table_{name}.yaml") for name in ("mass", "calc"))
    assert differences(mass, calc) == {"data.init_args.abnormality": "calc", "run.dir": "runs/cbis_table/calc/seed0"}


def settings_of(arm: Arm) -> dict[str, Any]:
    """Return the settings of all files of an arm, but where its runs lie and what they are called, and what the study adds."""
    settings: dict[str, Any] = {}
    for config in arm.config:
        settings = merged(settings, merged_files(config))
    settings.pop("run", None)
    return {**settings, "study": {"teacher": arm.teacher, "seed_offset": arm.seed_offset, "flags": arm.overrides}}


def merged_files(config: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for file in with_bases(config):
        settings = merged(settings, read_settings(file))
    settings.pop("base", None)
    return settings


def merged(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of two files; arguments of another class are no longer those of the first."""
    result = {**before, **after}
    for key in before.keys() & after.keys():
        one, other = before[key], after[key]
        if (
            isinstance(one, dict)
            and isinstance(other, dict)
            and other.get("class_path") in (None, one.get("class_path"))
        ):
            result[key] = merged(one, other)
    return result


def differences(reference: Mapping[str, Any], changed: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return what settings have in place of those of a reference, by their full names."""
    found: dict[str, Any] = {}
    for key in reference.keys() | changed.keys():
        one: Any = reference.get(key)
        other: Any = changed.get(key)
        same_kind = (
            isinstance(one, dict) and isinstance(other, dict) and one.get("class_path") == other.get("class_path")
        )
        if same_kind:
            found |= differences(one, other, f"{prefix}{key}.")
        elif one != other:
            found[f"{prefix}{key}"] = plain(other)
    return found


def plain(value: Any) -> Any:
    """Return an object as the name of its class and its arguments."""
    is_object = isinstance(value, dict) and "class_path" in value
    return (value["class_path"].rpartition(".")[2], value.get("init_args", {})) if is_object else value
