"""The tables of a report, for the arms that were tested on the same images."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from data_modules.json_file import read_json
from mmpkd.records.roi_table import stratified
from mmpkd.study.analysis.results import ALL, RunTables, map_files, results_table
from mmpkd.study.plan.domains import Domain
from mmpkd.study.plan.study_plan import StudyPlan
from mmpkd.study.report.names import BASELINE_TITLES, SCORE_NAMES

CLASSIFICATION = {"auroc": "AUROC", "auprc": "AUPRC", "ece": "ECE"}
NUM_GALLERY = 8
# with more arms than this, findings are shown for the compared arms only
MANY_ARMS = 4


@dataclass(frozen=True)
class Cell:
    """A score over the seeds of an arm: mean, and standard deviation between seeds or None."""

    mean: float
    sd: float | None


@dataclass(frozen=True)
class Grid:
    """A table: names of the columns, and rows of a name, an addition to it, and cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]


@dataclass(frozen=True)
class Section:
    """What the report shows of one domain.

    Attributes:
        name: Name of the domain, "" if it is the only one.
        arms: Classification and localization by arm.
        chance: Localization by predictors that see no student.
        read_outs: Localization by read-out: name, and rows of finding and arm.
        strata: The declared score by what results can be broken down by: rows of stratum, value, number of ROIs, a cell an arm.
        teachers: AUROC of teachers and their distance to the reference.
        cards: Teacher cards by student arm.
        gallery: Maps of the same images in all arms.
        data: What each split holds.
        labels: Names of the findings.
        students: Names of the student arms.
    """

    name: str
    arms: Grid
    chance: Grid
    read_outs: tuple[tuple[str, Grid], ...]
    strata: tuple[tuple[str, str, int, tuple[float, ...]], ...]
    teachers: tuple[tuple[str, float, float, float | None], ...]
    cards: tuple[tuple[str, dict[str, Any]], ...]
    gallery: tuple[dict[str, Any], ...]
    data: pd.DataFrame
    labels: tuple[str, ...]
    students: tuple[str, ...]


def section(plan: StudyPlan, domain: Domain, tables: Sequence[RunTables]) -> Section | None:
    """Return the tables of a domain, or None if no student of it is finished.

    Args:
        plan: The study.
        domain: The domain.
        tables: Finished runs on one test set.
    """
    names = [arm.name for arm in domain.students]
    students = [table for table in tables if table.run.arm.name in names]
    if not students:
        return None
    results = results_table(tables)
    attribution = plan.measure.attribution
    score = plan.measure.score
    local = results[results["arm"].isin(names)]
    scores = sorted(_defined(local, list(SCORE_NAMES)), key=lambda name: name != score)
    present = [arm for arm in domain.students if arm.name in set(local["arm"])]
    return Section(
        name=domain.name,
        arms=_arms(present, local, attribution, scores),
        chance=_chance(domain.reference, local, scores),
        read_outs=tuple(
            sorted(
                _read_outs(local, [arm.name for arm in present], _compared(plan, domain)),
                key=lambda own: own[0] != attribution,
            )
        ),
        strata=tuple(_strata(students, [arm.name for arm in present], attribution, score)),
        teachers=tuple(_teachers(domain, results)),
        cards=tuple(_cards(students)),
        gallery=_gallery(students),
        data=_data(students),
        labels=tuple(sorted({name for table in students for name in table.test.label_names})),
        students=tuple(arm.name for arm in present),
    )


def _compared(plan: StudyPlan, domain: Domain) -> set[str]:
    if plan.primary is None:
        return {arm.name for arm in domain.students}
    return {plan.primary.arm, plan.primary.reference}


def _defined(results: pd.DataFrame, measures: Sequence[str]) -> list[str]:
    """Return the measures that have a value, in the order given."""
    known = set(results.loc[results["value"].notna(), "measure"])
    return [name for name in measures if name in known]


def _cell(results: pd.DataFrame, **wanted: str) -> Cell:
    for column, value in wanted.items():
        results = results[results[column] == value]
    values = results["value"]
    return Cell(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)


def _arms(arms: Sequence[Any], results: pd.DataFrame, attribution: str, scores: Sequence[str]) -> Grid:
    measured = _defined(results, list(CLASSIFICATION))
    rows = []
    for arm in arms:
        own = results[(results["arm"] == arm.name) & (results["finding"] == ALL)]
        cells = [_cell(own, measure=name) for name in measured]
        cells += [_cell(own, measure=name, attribution=attribution) for name in scores]
        seeds = own["seed"].nunique()
        note = f"{seeds} seed{'s' if seeds > 1 else ''}{f', from {arm.teacher}' if arm.teacher else ''}"
        rows.append((arm.name, note, tuple(cells)))
    return Grid((*(CLASSIFICATION[name] for name in measured), *(SCORE_NAMES[name] for name in scores)), tuple(rows))


def _chance(reference: str, results: pd.DataFrame, scores: Sequence[str]) -> Grid:
    """Return the scores of trivial predictors; they see no student, so the runs of one arm have them all."""
    own = results[(results["arm"] == reference) & (results["finding"] == ALL)]
    present = [name for name in BASELINE_TITLES if name in set(own["attribution"])]
    rows = [
        (BASELINE_TITLES[name], "", tuple(Cell(_cell(own, measure=s, attribution=name).mean, None) for s in scores))
        for name in present
    ]
    return Grid(tuple(SCORE_NAMES[name] for name in scores), tuple(rows))


def _read_outs(results: pd.DataFrame, arms: Sequence[str], compared: set[str]) -> Iterator[tuple[str, Grid]]:
    local = results[~results["attribution"].isin(["", *BASELINE_TITLES]) & (results["num"] > 0)]
    for attribution, own in local.groupby("attribution", sort=True):
        scores = _defined(own, list(SCORE_NAMES))
        findings = sorted(set(own["finding"]) - {ALL})
        rows = []
        for finding in [ALL, *(findings if len(findings) > 1 else [])]:
            for arm in arms:
                if finding != ALL and len(arms) > MANY_ARMS and arm not in compared:
                    continue
                cells = tuple(_cell(own, arm=arm, finding=finding, measure=score) for score in scores)
                rows.append((finding, arm, cells))
        yield str(attribution), Grid(tuple(SCORE_NAMES[name] for name in scores), tuple(rows))


def _strata(
    tables: Sequence[RunTables], arms: Sequence[str], attribution: str, score: str
) -> Iterator[tuple[str, str, int, tuple[float, ...]]]:
    """Yield mean scores over ROIs and seeds, and the number of ROIs of a run."""
    parts = []
    for table in tables:
        if table.rois is None or score not in table.scores:
            continue
        own = table.rois[table.rois["attribution"] == attribution]
        parts += [] if own.empty else [stratified(own).assign(arm=table.run.arm.name)]
    if not parts:
        return
    groups = pd.concat(parts).groupby(["stratum", "value"], sort=False)
    for (stratum, value), rows in groups:
        means = rows.groupby("arm")[score].mean()
        yield (
            str(stratum),
            str(value),
            round(rows["num_roi"].mean()),
            tuple(means.get(arm, float("nan")) for arm in arms),
        )


def _teachers(domain: Domain, results: pd.DataFrame) -> Iterator[tuple[str, float, float, float | None]]:
    overall = results[results["finding"] == ALL]
    reference = _cell(overall, arm=domain.reference, measure="auroc").mean
    for arm in domain.teachers:
        own = overall[overall["arm"] == arm.name]
        if not own.empty:
            value = _cell(own, measure="auroc").mean
            yield arm.name, value, _cell(own, measure="auprc").mean, value - reference


def _cards(tables: Sequence[RunTables]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what was known of the teacher before each arm was distilled, from its first seed."""
    seen: set[str] = set()
    for table in tables:
        path = table.run.record.teacher_card
        teacher = table.run.arm.teacher
        if teacher is not None and teacher not in seen and path.is_file():
            seen.add(teacher)
            yield teacher, read_json(path)


def _gallery(tables: Sequence[RunTables]) -> tuple[dict[str, Any], ...]:
    """Return the same test images of the first seed, side by side over the student arms."""
    seed = min(table.run.seed for table in tables)
    runs = [table.run for table in tables if table.run.seed == seed]
    names = [path.name for path in map_files(runs[0].folder, NUM_GALLERY)]
    # identifiers of credentialed images stay out of a page that may be passed on
    may_name = all(table.test.license in ("open", "synthetic") for table in tables)
    return tuple(
        {
            "name": Path(name).stem if may_name else f"Image {position}",
            "maps": [
                {"arm": run.arm.name, "source": _inline(run.record.maps("test") / name)}
                for run in runs
                if (run.record.maps("test") / name).is_file()
            ],
        }
        for position, name in enumerate(names, start=1)
    )


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _data(tables: Sequence[RunTables]) -> pd.DataFrame:
    """Return what each split holds, rows by count and columns by split."""
    data = tables[0].test.data
    return pd.DataFrame(data).reindex(columns=[name for name in ("train", "val", "test") if name in data])
