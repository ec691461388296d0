"use strict";
/* Means over the listed items, and what they may be used for. */
const makeSummary = (study, scores, model, selection) => {
  const { meta } = study, { view } = model, { $, row, fillTable, percent, number, change, word } = Dom, { A } = scores;

  /* mean over items of the defined values of several tables, at the shares of the area from `from` to `to` */
  const means = (tables, items, from, to) => {
    const sums = new Float64Array(A), counts = new Uint32Array(A);
    for (const { iou } of tables) {
      for (const i of items) {
        for (let k = from, at = i * A + from; k < to; k++, at++) {
          if (Number.isNaN(iou[at])) continue;
          sums[k] += iou[at];
          counts[k]++;
        }
      }
    }
    return Array.from(sums, (sum, k) => (counts[k] ? sum / counts[k] : null));
  };
  const pointing = (tables, items) => {
    const values = tables.flatMap((table) => items.map((i) => table.pointing[i])).filter((value) => !Number.isNaN(value));
    return values.length ? model.mean(values) : NaN;
  };

  const compute = () => {
    const { items } = selection.found, from = model.isReady() ? 0 : model.declaredArea(), to = model.isReady() ? A : from + 1;
    const of = (tables) => ({ iou: means(tables, items, from, to), pointing: pointing(tables, items) });
    const baselines = model.methods(true).map((own) => ({ ...own, ...of([model.baselineTable(own.name)]) }));
    return { reference: of(model.runsOf(view.reference).map((run) => model.table(run))), arm: of(model.runsOf(view.arm).map((run) => model.table(run))), baselines };
  };

  const isDeclared = () => {
    const { declared } = meta, pairs = [["reference", declared.reference], ["arm", declared.arm], ["method", declared.attribution], ["unit", declared.unit]];
    const isWhole = selection.found.items.length === model.unit().n && !meta.left_out.length && (view.seed === "all" || model.seeds.length === 1);
    return declared.score === "iou_top_area" && !declared.exploratory && isWhole && view.area === model.declaredArea() && pairs.every(([name, value]) => view[name] === value);
  };
  const note = () => {
    const { declared } = meta;
    if (selection.isChosenByResult()) return ["Chosen by a result: the mean difference over these items does not tell which arm is better.", "note warn"];
    if (isDeclared()) {
      const over = view.unit === "image" ? "images" : "regions";
      return [`The declared comparison: this attribution, this share of the area, everything that was scored. Means on this page are over ${over}; the report has the declared average with its interval.`, "note"];
    }
    const what = `${declared.arm} minus ${declared.reference}, ${word(declared.score)} of ${word(declared.attribution)} by ${declared.unit}, everything that was scored`;
    return [declared.exploratory ? `Exploration: ${declared.exploratory}.` : `Exploration. Declared: ${what}.`, "note"];
  };

  let current = null;
  const curves = () => [current.reference.iou, current.arm.iou, current.baselines.find((own) => own.name === view.baseline)?.iou ?? current.arm.iou.map(() => null)];

  const show = () => {
    const at = view.area, value = (own) => own.iou[at] ?? NaN, { reference, arm, baselines } = current, { items } = selection.found;
    const [a, b] = [value(reference), value(arm)];
    const students = [
      row([`IoU, top ${percent(scores.areas[at])}`, number(a), number(b), change(b - a)]),
      row(["Pointing game", number(reference.pointing), number(arm.pointing), change(arm.pointing - reference.pointing)]),
    ];
    const sorted = [...baselines].sort((x, y) => (value(y) || -1) - (value(x) || -1));
    const baselineRows = sorted.map((own) => row([`${own.title}${model.knowsMore(own.name) ? " (knows the finding)" : ""}`, number(value(own)), number(own.pointing), ""], "faint"));
    fillTable($("means"), [`n = ${items.length}`, [view.reference, "reference"], [view.arm, "arm"], "diff."], [...students, row(["Baseline maps", "IoU", "pointing", ""], "faint"), ...baselineRows]);
    const [text, className] = note();
    Object.assign($("kind"), { textContent: text, className });
    $("count").textContent = `${Dom.count(items.length)} of ${Dom.count(model.unit().n)} ${view.unit === "image" ? "images" : "regions"}, ${Dom.count(model.patients(items))} patients`;
    $("brief").textContent = `IoU at the top ${percent(scores.areas[at])}, ${view.reference} → ${view.arm}: this one ${number(model.iou(view.reference, view.item))} → ${number(model.iou(view.arm, view.item))}; mean of ${items.length} ${number(a)} → ${number(b)}`;
  };

  const update = () => {
    current = compute();
    show();
  };
  return { update, show, curves, current: () => current, note: () => note()[0] };
};
