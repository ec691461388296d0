"use strict";
/* The current view and its scores. */
const UNKNOWN = 255;

const makeModel = (study, scores) => {
  const { meta } = study, { declared } = meta, { A } = scores;
  const seeds = [...new Set(meta.runs.map((run) => run.seed))].map(String);
  const unitNames = Object.keys(study.units);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  const defaults = () => ({
    unit: unitNames.includes(declared.unit) ? declared.unit : unitNames[0],
    reference: declared.reference, arm: declared.arm, method: declared.attribution, baseline: "", seed: seeds.length > 1 ? "all" : seeds[0],
    area: 0, item: 0, opacity: 60, colormap: "inferno", scale: "own", overlay: true, outline: true, sort: "gain",
    findings: new Set(), filters: {}, selection: null, page: 0,
  });
  const view = defaults();

  const unit = () => study.units[view.unit];
  const declaredArea = () => scores.declaredOf(unit());
  const methods = (isBaseline) => meta.methods.filter((own) => own.is_baseline === isBaseline && unit().methods.includes(own.name));
  /* whether a baseline map knows the finding while the attribution does not, which would be unfair */
  const knowsMore = (baseline) => study.method(baseline).is_of_finding && !study.method(view.method).is_of_finding;
  const matchedBaseline = () => {
    const names = methods(true).map((own) => own.name), fair = names.filter((name) => !knowsMore(name));
    return ["mean_roi_all", "mean_roi", "center_gaussian"].find((name) => fair.includes(name)) ?? fair[fair.length - 1] ?? names[0] ?? "";
  };

  /* replace choices that are no longer available after a change of unit or attribution */
  const settle = () => {
    const students = methods(false).map((own) => own.name);
    if (!students.includes(view.method)) view.method = students.includes(declared.attribution) ? declared.attribution : students[0];
    if (!methods(true).some((own) => own.name === view.baseline)) view.baseline = matchedBaseline();
    view.item = Math.min(view.item, unit().n - 1);
  };

  const runsOf = (arm, seed = view.seed) =>
    [...meta.runs.keys()].filter((k) => meta.runs[k].arm === arm && (seed === "all" || String(meta.runs[k].seed) === seed));
  const shownRun = (arm) => runsOf(arm)[0];
  const shownArms = () => [view.reference, view.arm];
  const table = (run, method = view.method) => scores.tableOf(unit(), run, method);
  const baselineTable = (name) => scores.tableOf(unit(), Payload.BASELINES, name);
  const tables = (arm, method, seed) => runsOf(arm, seed).map((run) => table(run, method));

  const iou = (arm, i, { area = view.area, method = view.method, seed = view.seed } = {}) =>
    mean(tables(arm, method, seed).map((own) => own.iou[i * A + area]));
  const pointing = (arm, i) => mean(tables(arm, view.method, view.seed).map((own) => own.pointing[i]));
  const gain = (i) => iou(view.arm, i) - iou(view.reference, i);
  const baselineIou = (name, i, area = view.area) => baselineTable(name).iou[i * A + area];
  const baselinePointing = (name, i) => baselineTable(name).pointing[i];
  const recordedIou = (arm, i) =>
    unit().scores.includes("iou_top_area") ? mean(runsOf(arm).map((run) => unit().recorded(run, view.method, "iou_top_area")[i])) : NaN;
  const probability = (arm, i) => mean(runsOf(arm).map((run) => unit().probability[run][i]));
  /* whether at least half of the seeds recognise it; null if the label is unknown */
  const isRecognised = (arm, i) => {
    const known = runsOf(arm).map((run) => unit().recognised[run][i]).filter((value) => value !== UNKNOWN);
    return known.length ? mean(known) >= 0.5 : null;
  };
  const isHit = (arm, i) => (Number.isNaN(pointing(arm, i)) ? null : pointing(arm, i) >= 0.5);

  /* whether everything on show is scored at every share of the area */
  const needed = () => [
    ...shownArms().flatMap((arm) => tables(arm)), ...methods(true).map((own) => baselineTable(own.name)),
  ];
  const isReady = () => needed().every(scores.isReady);

  const findingsOf = (i) => unit().regionsOf(i).map((r) => study.finding[r]);
  const title = (i) => (view.unit === "image" ? "All regions" : meta.findings[unit().findingOf(i)]);
  const area = (i) => unit().pixels[i] / study.size;
  const nameOf = (i) => meta.samples[unit().imageOf(i)];
  const idOf = (i) => `${nameOf(i)}${view.unit === "image" ? "" : `~${unit().findingOf(i)}`}`;
  const itemOf = (id) => {
    const found = Array.from({ length: unit().n }, (_, i) => i).find((i) => idOf(i) === id);
    return found ?? -1;
  };
  const patients = (items) => new Set(items.map((i) => study.patient[unit().imageOf(i)])).size;

  view.area = declaredArea();
  settle();
  return {
    view, defaults, seeds, unitNames, unit, declaredArea, methods, knowsMore, matchedBaseline, settle, runsOf, shownRun, shownArms, table,
    baselineTable, iou, pointing, gain, baselineIou, baselinePointing, recordedIou, probability, isRecognised, isHit, needed, isReady,
    findingsOf, title, area, nameOf, idOf, itemOf, patients, mean,
  };
};
