"use strict";
/* The open image: panels, facts and scores. */
const makeRegion = (study, scores, model, selection, painting) => {
  const { meta } = study, { view } = model, { $, element, row, fillTable, percent, number, signed, change, word } = Dom;

  const panels = () => {
    const arm = (name, id) => ({ id, name, run: model.shownRun(name) ?? null, method: view.method });
    const baseline = { id: "baseline", name: view.baseline ? study.method(view.baseline).title : "no baseline map", run: view.baseline ? Payload.BASELINES : null, method: view.baseline };
    return [{ id: "image", name: "image", run: null }, arm(view.reference, "reference"), arm(view.arm, "arm"), baseline];
  };
  const sharedScale = (i) => {
    if (view.scale !== "shared") return null;
    const both = model.shownArms().map(model.shownRun).filter((run) => run !== undefined).map((run) => painting.seen(run, view.method, i));
    return both.length ? { low: Math.min(...both.map((own) => own.low)), high: Math.max(...both.map((own) => own.high)) } : null;
  };
  /* options for painting a panel; a baseline map always has its own scale */
  const optionsOf = (panel, i) => ({ ...panel, shared: panel.id === "baseline" ? null : sharedScale(i) });

  const draw = () => {
    const i = view.item, entry = painting.pictureOf(model.unit().imageOf(i));
    for (const panel of panels()) {
      const { context, side } = painting.sized($(`panel-${panel.id}`));
      painting.paint(context, side, i, optionsOf(panel, i));
    }
    if (!entry.bitmap) entry.ready.then(draw);
  };

  const rangeOf = (panel, i) => {
    if (panel.run === null) return "no map";
    const own = painting.seen(panel.run, panel.method, i);
    if (!own.finite) return "not finite: no score";
    return own.constant ? "one value everywhere" : `${own.low.toPrecision(2)} to ${own.high.toPrecision(2)}`;
  };
  const caption = (panel, i) => {
    if (panel.id === "baseline") {
      const more = view.baseline && model.knowsMore(view.baseline) ? ", knows the finding" : "";
      return [element("b", { textContent: panel.name }), ` baseline map${more}`];
    }
    const seed = panel.run === null ? "" : `, seed ${meta.runs[panel.run].seed}`;
    const whose = study.method(view.method).is_of_finding ? " of the finding" : "";
    return [element("b", { textContent: panel.name }), ` ${word(view.method)}${whose}${seed}, ${rangeOf(panel, i)}`];
  };
  /* a lesion can have a region though its label is absent, as a benign mass where the label is "malignant" */
  const isAbsent = (image, r) => study.label[image * meta.findings.length + study.finding[r]] === 0;
  const legend = (i) =>
    study.regionsOf[model.unit().imageOf(i)].map((r) => {
      const swatch = element("i", { className: "swatch" });
      swatch.style.background = painting.colorOf(study.finding[r]);
      return element("span", {}, swatch, `${meta.findings[study.finding[r]]}${isAbsent(model.unit().imageOf(i), r) ? " (absent)" : ""}`);
    });

  const showCaptions = (i) => {
    const [image, ...others] = panels();
    $("caption-image").replaceChildren(element("b", { textContent: image.name }), ...legend(i));
    $("panel-image").setAttribute("aria-label", `Image with outlined regions of ${[...new Set(study.regionsOf[model.unit().imageOf(i)].map((r) => meta.findings[study.finding[r]]))].join(", ")}`);
    for (const panel of others) {
      $(`caption-${panel.id}`).replaceChildren(...caption(panel, i));
      const [iou, point] = panel.id === "baseline" ? baselineScores(i) : [model.iou(panel.name, i), model.pointing(panel.name, i)];
      $(`panel-${panel.id}`).setAttribute("aria-label", `Map of ${panel.name} over the image: IoU ${number(iou)} at the top ${percent(scores.areas[view.area])}, pointing game ${number(point)}`);
    }
  };

  const baselineScores = (i) => (view.baseline ? [model.baselineIou(view.baseline, i), model.baselinePointing(view.baseline, i)] : [NaN, NaN]);
  const ofSeed = (arm, i) => {
    const run = model.shownRun(arm);
    return run === undefined ? NaN : model.iou(arm, i, { seed: String(meta.runs[run].seed) });
  };

  const showFacts = (i) => {
    const image = model.unit().imageOf(i), strata = Object.entries(meta.strata).map(([name, levels]) => `${word(name)} ${levels[study.strata[name][image]] || "unknown"}`);
    const label = view.unit === "image" ? null : study.label[image * meta.findings.length + model.unit().findingOf(i)];
    const parts = selection.partsOf(i);
    $("facts").textContent = [
      ...(label === null ? [] : [`label ${["absent", "present"][label] ?? "unknown"}`]),
      `${percent(model.area(i))} of the image, ${selection.THIRDS[model.unit().third[i]]}`, `${parts} ${parts === 1 ? "region" : "regions"}`,
      ...strata, `image ${model.nameOf(i)}`, `patient ${meta.patients[study.patient[image]]}`,
    ].join(" · ");
  };

  const showScores = (i) => {
    const { reference, arm } = view, [a, b] = [model.iou(reference, i), model.iou(arm, i)], [p, q] = [model.pointing(reference, i), model.pointing(arm, i)];
    const [iou, point] = baselineScores(i), was = [reference, arm].map((name) => model.recordedIou(name, i));
    const several = model.runsOf(arm).length > 1 ? ", mean over seeds" : "", known = (name) => ({ true: "yes", false: "no", null: "–" })[model.isRecognised(name, i)];
    const rows = [
      row([`IoU, top ${percent(scores.areas[view.area])}${several}`, number(a), number(b), change(b - a), number(iou)]),
      row([`Pointing game${several}`, number(p), number(q), change(q - p), number(point)]),
      row([`Recorded IoU, top ${percent(model.unit().top_area)}`, number(was[0]), number(was[1]), change(was[1] - was[0]), ""], "faint"),
      row(["Probability", number(model.probability(reference, i)), number(model.probability(arm, i)), signed(model.probability(arm, i) - model.probability(reference, i)), ""], "faint"),
      row(["Predicted correctly", known(reference), known(arm), "", ""], "faint"),
    ];
    if (several) rows.splice(1, 0, row(["IoU of the maps shown", number(ofSeed(reference, i)), number(ofSeed(arm, i)), change(ofSeed(arm, i) - ofSeed(reference, i)), ""]));
    if (model.unit().ceiling) rows.push(row(["Best IoU of whole patches", number(model.unit().ceiling[i]), number(model.unit().ceiling[i]), "", ""], "faint"));
    fillTable($("scores"), ["score", [reference, "reference"], [arm, "arm"], "diff.", view.baseline ? study.method(view.baseline).title : ""], rows);
  };

  const showTies = (i) => {
    const tied = panels().filter((panel) => panel.run !== null).map((panel) => [panel.name, painting.seen(panel.run, panel.method, i)]);
    const parts = tied.filter(([, own]) => own.finite && !own.constant).map(([name, own]) => [name, painting.topArea(own)]).filter(([, own]) => own.tied > 1 && own.share < 1);
    $("ties").textContent = parts.length ? `At the border of the top area, ${parts.map(([name, own]) => `${own.tied} tied pixels of ${name} count as ${percent(own.share)} each`).join("; ")}.` : "No pixels tie at the border of the top area.";
  };

  const show = () => {
    const i = view.item, { items, position } = selection.found, shared = sharedScale(i);
    $("region-name").textContent = model.title(i);
    $("position").textContent = position >= 0 ? `${position + 1} of ${items.length}` : `not listed (${items.length})`;
    showFacts(i);
    showCaptions(i);
    showScores(i);
    showTies(i);
    $("bar-low").textContent = shared ? shared.low.toPrecision(2) : "0";
    $("bar-high").textContent = shared ? shared.high.toPrecision(2) : "1";
    $("bar-unit").textContent = shared ? "relevance, both arms on one scale" : "relevance, each map on its own scale";
  };

  return { panels, optionsOf, sharedScale, draw, show };
};
