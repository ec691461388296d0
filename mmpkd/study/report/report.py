"""The report of a study: one HTML file that needs no network, and beside it every number and figure."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from data_modules.atomic import write_text
from mmpkd.statistics.effects import SINGLE_SEED
from mmpkd.statistics.hypotheses import minimum_detectable_effect
from mmpkd.study.analysis.comparison import Compared
from mmpkd.study.analysis.conclusions import Conclusions, Tested, Unanswered, compared_on, conclude
from mmpkd.study.analysis.results import RunTables, read_run, results_table
from mmpkd.study.execution.fingerprint import run_fingerprint
from mmpkd.study.execution.run import FailedRun, Run
from mmpkd.study.plan.declaration import is_as_declared, other_seeds
from mmpkd.study.plan.domains import domains, external_domain
from mmpkd.study.plan.study_plan import Comparison, StudyError, StudyPlan
from mmpkd.study.report.answer import headline, no_answer
from mmpkd.study.report.figures import as_svg, forest_plot, inline
from mmpkd.study.report.names import measure_name
from mmpkd.study.report.sections import Grid, section
from mmpkd.study.report.tracking import track_summary

NOT_DECLARED = "Not declared before the first run, or changed since, and so exploratory."


def write_report(
    plan: StudyPlan, out: Path, seeds: Sequence[int], finished: Sequence[Run], failed: Sequence[FailedRun]
) -> tuple[str, Path]:
    """Write the folder `report`.

    `index.html` is the report; `results.csv` has every score of every run, `roi.parquet` every region of interest,
    `arms.tex` the table of arms, and `figures` each figure as PNG and SVG. Equal runs give equal files. If the runs are
    tracked in W&B, the answer is, too.

    Args:
        plan: The study.
        out: Folder of the study.
        seeds: Seeds of the student arms.
        finished: Finished runs.
        failed: Runs that failed.

    Returns:
        The answer in one sentence, and the path of the page.

    Raises:
        StudyError: If no run is finished.
    """
    if not finished:
        raise StudyError(f"Expected a finished run in {out} but there is none; {len(failed)} failed.")
    every = [read_run(run) for run in finished]
    tables = [table for table in every if not table.run.test_set]
    conclusions = conclude(plan, tables)
    sentence = headline(conclusions)
    as_declared = is_as_declared(plan, out)
    if not as_declared and not isinstance(conclusions.endpoint, Unanswered):
        sentence = f"{NOT_DECLARED} {sentence}"
    external = {own.name: [table for table in every if table.run.test_set == own.name] for own in plan.external}
    tested = [(domain, tables) for domain in domains(plan)]
    tested += [(external_domain(plan, own), external[own.name]) for own in plan.external]
    sections = [own for domain, found in tested if (own := section(plan, domain, found)) is not None]
    folder = out / "report"
    folder.mkdir(parents=True, exist_ok=True)
    results_table(every).to_csv(folder / "results.csv", index=False)
    _write_rois(every, folder / "roi.parquet")
    (folder / "arms.tex").write_text("\n".join(_latex(own.arms) for own in sections))
    page = (
        _environment()
        .get_template("template.html.jinja")
        .render(
            plan=plan,
            sentence=sentence,
            conclusions=conclusions,
            unanswered=_unanswered(conclusions),
            compared=[_entry(*own, folder) for own in _comparisons(plan, conclusions, external)],
            as_declared=as_declared,
            notes=[note for note in (other_seeds(out, seeds), *plan.notes) if note],
            not_declared=NOT_DECLARED,
            single_seed=SINGLE_SEED,
            sections=sections,
            external=list(external),
            monitors=sorted({table.monitor for table in tables if table.monitor}),
            provenance=[_provenance(table, out) for table in every],
            failed=failed,
            seeds=list(seeds),
            measure=measure_name(plan.measure.score, plan.measure.attribution),
            minimum_detectable_effect=minimum_detectable_effect,
            version=version("mmpkd"),
        )
    )
    path = folder / "index.html"
    write_text(path, page)
    track_summary(plan, out, finished, sentence, conclusions, sections)
    return sentence, path


def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value: _number(value, "")
    environment.filters["signed"] = lambda value: _number(value, "+")
    environment.filters["p"] = lambda value: "n/a" if pd.isna(value) else "< .001" if value < 0.001 else f"{value:.3f}"
    return environment


def _number(value: float | None, sign: str) -> str:
    return "n/a" if value is None or pd.isna(value) else f"{value:{sign}.3f}"


def _comparisons(
    plan: StudyPlan, conclusions: Conclusions, external: Mapping[str, Sequence[RunTables]]
) -> list[tuple[Compared, str, Tested | None]]:
    """Return all comparisons of the report, what they are, and of the family its member."""
    found = [] if conclusions.primary is None else [(conclusions.primary, "Primary endpoint", None)]
    members = [(own.found, "Declared family", own) for own in conclusions.family if isinstance(own.found, Compared)]
    behind = [(own, "Exploratory", None) for own in conclusions.exploratory]
    elsewhere = [(name, compared_on(plan, tables)) for name, tables in external.items()]
    external_ones = [(own, f"Exploratory, on {name}", None) for name, own in elsewhere if own is not None]
    return [*found, *members, *behind, *external_ones]


def _unanswered(conclusions: Conclusions) -> list[tuple[Comparison, str]]:
    """Return the comparisons of the family without an answer, and why."""
    return [(own.declared, no_answer(own.found)) for own in conclusions.family if isinstance(own.found, Unanswered)]


def _entry(found: Compared, kind: str, member: Tested | None, folder: Path) -> dict[str, Any]:
    """Return what the page shows of a comparison, and write its figure."""
    declared = found.declared
    figure = forest_plot([found.overall, *found.by_finding], f"{declared.arm} minus {declared.reference}")
    svg = as_svg(figure)
    where = kind.partition(", on ")[2]
    parts = ("forest", where, declared.arm, declared.reference, declared.attribution, declared.score)
    name = "_".join(part for part in parts if part)
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    (figures / f"{name}.svg").write_text(svg)
    figure.savefig(figures / f"{name}.png", dpi=200, metadata={"Software": None})
    return {
        "found": found,
        "kind": kind,
        "is_declared": not kind.startswith("Exploratory"),
        "measure": measure_name(declared.score, declared.attribution),
        "forest": inline(svg),
        "member": member,
    }


def _write_rois(tables: Sequence[RunTables], path: Path) -> None:
    frames = [
        table.rois.assign(arm=table.run.arm.name, seed=table.run.seed, test_set=table.run.test_set)
        for table in tables
        if table.rois is not None
    ]
    if frames:
        pd.concat(frames, ignore_index=True).to_parquet(path)


def _latex(grid: Grid) -> str:
    """Return a grid as a table for the package booktabs."""

    def cell(mean: float, sd: float | None) -> str:
        spread = "" if sd is None else rf" $\pm$ {sd:.3f}"
        return "" if pd.isna(mean) else f"{mean:.3f}{spread}"

    frame = pd.DataFrame(
        [[cell(own.mean, own.sd) for own in cells] for _, _, cells in grid.rows],
        index=[name.replace("_", r"\_") for name, _, _ in grid.rows],
        columns=list(grid.columns),
    )
    return frame.to_latex(escape=False, column_format="l" + "r" * len(grid.columns))


def _provenance(table: RunTables, out: Path) -> dict[str, Any]:
    splits = {} if table.state.made_from is None else table.state.made_from.splits
    return {
        "name": table.run.name,
        "folder": table.run.folder.relative_to(out).as_posix(),
        "commit": (table.test.git_commit or "none")[:12],
        "settings": run_fingerprint(table.run)[:12],
        "teacher": "" if table.run.teacher is None else table.run.teacher.relative_to(out).as_posix(),
        "train": splits.get("train", "")[:12],
        "test": splits.get("test", "")[:12],
        "epochs": None if table.state.training is None else table.state.training.epochs,
    }
