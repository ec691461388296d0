"use strict";
/* Download of the open image as PNG, and of the listed items as CSV. */
const makeFiles = (study, scores, model, selection, painting, region, summary) => {
  const { meta } = study, { view } = model, { number, percent, word } = Dom;
  const SIDE = 400, GAP = 16, TOP = 76, FOOT = 132;

  const save = (blob, name) => {
    const anchor = Dom.element("a", { href: URL.createObjectURL(blob), download: name });
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(anchor.href), 1000);
  };
  const safe = (text) => text.replace(/[^\w.-]+/g, "_");

  const panelTitle = (panel, i) => {
    if (panel.id === "image") return "image";
    const [iou, point] = panel.id === "baseline" ? [model.baselineIou(view.baseline, i), model.baselinePointing(view.baseline, i)] : [model.iou(panel.name, i), model.pointing(panel.name, i)];
    return `${panel.name}: IoU ${number(iou)}, pointing ${number(point)}`;
  };
  const seeds = () => {
    const run = model.shownRun(view.arm);
    return view.seed === "all" && run !== undefined ? `scores: mean over seeds, maps: seed ${meta.runs[run].seed}` : `seed ${view.seed}`;
  };
  const footer = (i) => {
    const shown = scores.areas[view.area], declaredArea = view.area === model.declaredArea() ? "as recorded" : `recorded: ${percent(model.unit().top_area)}`;
    const { reference, arm } = summary.current(), mean = (own) => number(own.iou[view.area] ?? NaN);
    return [
      `${meta.study}, ${seeds()}; top ${percent(shown)} of the area (${declaredArea}); region ${percent(model.area(i))} of the image; image ${model.nameOf(i)}`,
      `${selection.found.items.length} listed: mean IoU ${mean(reference)} (${view.reference}), ${mean(arm)} (${view.arm}); pointing game ${number(reference.pointing)}, ${number(arm.pointing)}`,
      summary.note(),
    ];
  };
  const png = async () => {
    const i = view.item, panels = region.panels(), height = Math.round((SIDE * study.H) / study.W);
    await painting.pictureOf(model.unit().imageOf(i)).ready;
    const canvas = new OffscreenCanvas(panels.length * (SIDE + GAP) + GAP, TOP + height + FOOT), context = canvas.getContext("2d");
    const write = (text, x, y, font = "15px system-ui, sans-serif") => Object.assign(context, { font, fillStyle: "#1b2330" }).fillText(text, x, y, canvas.width - x - GAP);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    write(`${model.title(i)}, ${word(view.method)}`, GAP, 32, "600 21px system-ui, sans-serif");
    panels.forEach((panel, k) => {
      const x = GAP + k * (SIDE + GAP);
      write(panelTitle(panel, i), x, TOP - 10);
      context.save();
      context.translate(x, TOP);
      painting.paint(context, SIDE, i, region.optionsOf(panel, i));
      context.restore();
    });
    footer(i).forEach((line, k) => write(line, GAP, TOP + height + 34 + 28 * k));
    save(await canvas.convertToBlob({ type: "image/png" }), safe(`${meta.study}_${model.idOf(i)}_${view.method}`) + ".png");
  };

  const csv = () => {
    const quote = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value));
    const plain = (value) => (Number.isNaN(value) ? "" : value), known = (value) => (value === null ? "" : Number(value));
    const own = ["iou", "pointing_game", "probability", "recognised", "recorded_iou_top_area"];
    const roles = [["reference", view.reference], ["arm", view.arm]];
    const head = [
      "image", "patient", "unit", "finding", ...Object.keys(meta.strata), "area", "area_third", "num_regions", "attribution", "seed", "top_area",
      ...roles.flatMap(([role]) => [role, ...own.map((name) => `${role}_${name}`)]), "iou_difference", "baseline_map", "baseline_iou",
    ];
    const lines = selection.found.items.map((i) => {
      const image = model.unit().imageOf(i), ofArm = (arm) => [arm, plain(model.iou(arm, i)), plain(model.pointing(arm, i)), model.probability(arm, i), known(model.isRecognised(arm, i)), plain(model.recordedIou(arm, i))];
      return [
        model.nameOf(i), meta.patients[study.patient[image]], view.unit, view.unit === "image" ? "any" : model.title(i),
        ...Object.entries(meta.strata).map(([name, levels]) => levels[study.strata[name][image]]), model.area(i), selection.THIRDS[model.unit().third[i]], selection.partsOf(i),
        view.method, view.seed, scores.areas[view.area], ...roles.flatMap(([, arm]) => ofArm(arm)), plain(model.gain(i)), view.baseline, view.baseline ? plain(model.baselineIou(view.baseline, i)) : "",
      ];
    });
    return [head, ...lines].map((line) => line.map(quote).join(",")).join("\r\n");
  };
  const saveCsv = () => save(new Blob([csv()], { type: "text/csv" }), safe(`${meta.study}_${selection.found.items.length}_listed`) + ".csv");

  return { png, csv, saveCsv };
};
