"""The report of a study: one HTML file that needs no network, and a CSV of every score."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

import mmpkd
from mmpkd.study.endpoint import SCORE_NAMES, TRIVIAL, Endpoint, answer, primary_endpoint
from mmpkd.study.figures import forest_plot
from mmpkd.study.plan import StudyError, StudyPlan
from mmpkd.study.results import ALL, RunTables, map_files, read_run, results_table
from mmpkd.study.runner import Run

NUM_GALLERY = 8


def write_report(
    plan: StudyPlan, out: Path, seeds: Sequence[int], finished: Sequence[Run], failed: Sequence[tuple[Run, str]]
) -> tuple[str, Path]:
    """Write `report/index.html` and `report/results.csv`.

    Args:
        plan: The study.
        out: Folder of the study.
        seeds: Seeds of the student arms.
        finished: Finished runs.
        failed: Runs that failed, with the reason.

    Returns:
        The answer in one sentence, and the path of the page.

    Raises:
        StudyError: If no run is finished.
    """
    if not finished:
        raise StudyError(f"Expected a finished run in {out} but there is none; {len(failed)} failed.")
    tables = [read_run(run) for run in finished]
    results = results_table(tables)
    folder = out / "report"
    folder.mkdir(parents=True, exist_ok=True)
    results.to_csv(folder / "results.csv", index=False)
    sentence, endpoint = _answer(plan, tables)
    page = (
        _environment()
        .get_template("template.html.jinja")
        .render(
            plan=plan,
            sentence=sentence,
            endpoint=endpoint,
            forest=_forest(endpoint),
            arms=_arm_rows(plan, results),
            chance=_chance_rows(plan, results),
            attributions=_attribution_rows(plan, results),
            teachers=_teacher_rows(plan, results),
            gallery=_gallery(plan, tables),
            data=_data(tables),
            labels=sorted({name for table in tables for name in table.summary.get("label_names", [])}),
            provenance=[_provenance(table) for table in tables],
            failed=[(run.name, reason) for run, reason in failed],
            seeds=list(seeds),
            score_names=SCORE_NAMES,
            version=mmpkd.__version__,
        )
    )
    path = folder / "index.html"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(page)
    temporary.replace(path)
    return sentence, path


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["number"] = lambda value: "n/a" if value is None or pd.isna(value) else f"{value:.3f}"
    environment.filters["signed"] = lambda value: "n/a" if value is None or pd.isna(value) else f"{value:+.3f}"
    return environment


def _answer(plan: StudyPlan, tables: Sequence[RunTables]) -> tuple[str, Endpoint | None]:
    by_arm = {
        name: [t for t in tables if t.run.arm.name == name] for name in (plan.primary.arm, plan.primary.reference)
    }
    missing = [name for name, own in by_arm.items() if not own]
    if missing:
        return f"No answer yet: no finished run of {' and '.join(missing)}.", None
    if all(table.rois is None for own in by_arm.values() for table in own):
        return "No answer: the test split has no regions of interest.", None
    endpoint = primary_endpoint(plan.primary, by_arm[plan.primary.arm], by_arm[plan.primary.reference])
    return answer(endpoint), endpoint


def _forest(endpoint: Endpoint | None) -> str:
    if endpoint is None:
        return ""
    label = f"{endpoint.primary.arm} minus {endpoint.primary.reference}"
    return forest_plot([endpoint.overall, *endpoint.by_finding], label)


def _over_seeds(results: pd.DataFrame, **wanted: str) -> dict[str, Any]:
    """Return mean, spread and count over the seeds of one score."""
    for column, value in wanted.items():
        results = results[results[column] == value]
    values = results["value"]
    return {
        "mean": values.mean(),
        "sd": values.std(ddof=1) if len(values) > 1 else None,
        "num": int(results["num"].iloc[0]) if len(results) else 0,
    }


def _measures(plan: StudyPlan, results: pd.DataFrame) -> list[str]:
    known = [name for name in SCORE_NAMES if name in set(results["measure"])]
    return sorted(known, key=lambda name: name != plan.primary.score)


def _arm_rows(plan: StudyPlan, results: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    for arm in plan.students:
        own = results[results["arm"] == arm.name]
        if own.empty:
            continue
        cells = {name: _over_seeds(own, measure=name, finding=ALL) for name in ("auroc", "auprc")}
        for score in _measures(plan, results):
            cells[score] = _over_seeds(own, measure=score, attribution=plan.primary.attribution, finding=ALL)
        rows.append({"name": arm.name, "teacher": arm.teacher, "num_seeds": own["seed"].nunique(), "cells": cells})
    return rows


def _chance_rows(plan: StudyPlan, results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the scores of trivial predictors; they see no student, so one run has them all."""
    own = results[results["arm"] == plan.primary.reference]
    present = [name for name in TRIVIAL if name in set(own["attribution"])]
    return [
        {
            "name": TRIVIAL[name],
            "cells": {s: _over_seeds(own, measure=s, attribution=name, finding=ALL) for s in _measures(plan, results)},
        }
        for name in present
    ]


def _attribution_rows(plan: StudyPlan, results: pd.DataFrame) -> list[dict[str, Any]]:
    """Return all read-outs but the trivial ones, for every arm and finding."""
    students = [arm.name for arm in plan.students]
    local = results[results["arm"].isin(students) & ~results["attribution"].isin(["", *TRIVIAL])]
    rows = []
    if local["finding"].nunique() == 2:  # all, and the only one there is
        local = local[local["finding"] == ALL]
    for (attribution, finding), group in local.groupby(["attribution", "finding"], sort=True):
        for score in _measures(plan, results):
            cells = [_over_seeds(group, arm=arm, measure=score) for arm in students]
            entry = {"attribution": attribution, "finding": finding, "score": score, "cells": cells}
            rows.append(entry | {"num": cells[0]["num"]})
    return rows


def _teacher_rows(plan: StudyPlan, results: pd.DataFrame) -> list[dict[str, Any]]:
    rows = []
    best = results[(results["measure"] == "auroc") & (results["finding"] == ALL)].groupby("arm")["value"].mean()
    for arm in plan.teachers:
        own = results[results["arm"] == arm.name]
        if own.empty:
            continue
        reference = best.get(plan.primary.reference)
        value = best[arm.name]
        rows.append(
            {
                "name": arm.name,
                "auroc": value,
                "auprc": _over_seeds(own, measure="auprc", finding=ALL)["mean"],
                "gap": None if reference is None else value - reference,
            }
        )
    return rows


def _gallery(plan: StudyPlan, tables: Sequence[RunTables]) -> list[dict[str, Any]]:
    """Return the same test images of the first seed, side by side over the student arms."""
    students = [t for t in tables if t.run.arm.role == "student"]
    if not students:
        return []
    seed = min(table.run.seed for table in students)
    runs = [table.run for table in students if table.run.seed == seed]
    names = [path.name for path in map_files(runs[0].folder, NUM_GALLERY)]
    # identifiers of credentialed images stay out of a page that may be passed on
    may_name = all(table.summary.get("license") in ("open", "synthetic") for table in students)
    return [
        {
            "name": Path(name).stem if may_name else f"Image {position}",
            "maps": [
                {"arm": run.arm.name, "source": _inline(run.folder / "maps" / "test" / name)}
                for run in runs
                if (run.folder / "maps" / "test" / name).is_file()
            ],
        }
        for position, name in enumerate(names, start=1)
    ]


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _data(tables: Sequence[RunTables]) -> pd.DataFrame:
    """Return what each split holds, rows by count and columns by split, of a student if there is one."""
    students = [table for table in tables if table.run.arm.role == "student"]
    data = (students or list(tables))[0].summary.get("data", {})
    return pd.DataFrame(data).reindex(columns=[name for name in ("train", "val", "test") if name in data])


def _provenance(table: RunTables) -> dict[str, Any]:
    lineage = table.run.folder / "lineage.json"
    content = json.loads(lineage.read_text()) if lineage.is_file() else {}
    return {
        "name": table.run.name,
        "folder": str(table.run.folder),
        "commit": (table.summary.get("git_commit") or "none")[:12],
        "teacher": (content.get("teacher_sha256") or "")[:12],
        "train": content.get("splits", {}).get("train", "")[:12],
        "epochs": table.summary.get("epochs"),
        "seconds": table.summary.get("fit_seconds"),
    }
