"use strict";
(async () => {
  const { $, number, count } = Dom;
  const meta = JSON.parse($("meta").textContent);
  const study = await Payload.read(meta, $("columns").textContent, $("images").textContent);
  for (const id of ["meta", "columns", "images"]) $(id).remove();
  const scores = makeScores(study), model = makeModel(study, scores), { view } = model;
  const selection = makeSelection(study, model), painting = makePainting(study, scores, model), link = makeLink(study, scores, model, selection);
  const LARGEST = 100, PAUSE_MS = 200;
  let settling = 0, frame = 0, written = "";

  /* ----- updates ----- */
  const remember = () => {
    written = `#${link.write()}`;
    history.replaceState(null, "", written);
  };
  const showSet = () => {
    summary.update();
    plots.drawCurve(summary.curves());
  };
  const everything = () => {
    selection.filter();
    if (selection.found.position < 0 && selection.found.items.length) {
      view.item = selection.found.items[0];
      selection.found.position = 0;
    }
    gallery.turnTo(selection.found.position);
    controls.show();
    region.show();
    region.draw();
    showSet();
    plots.drawScatter();
    gallery.show();
    remember();
  };
  const needed = async () => {
    const tables = model.needed(), left = () => tables.reduce((sum, table) => sum + table.unit.n - table.done, 0);
    for (const table of tables) await scores.fill(table, () => ($("busy").textContent = `scoring, ${count(left())} left`));
    $("busy").textContent = "";
  };

  const open = (i) => {
    view.item = i;
    selection.found.position = selection.found.items.indexOf(i);
    gallery.turnTo(selection.found.position);
    region.show();
    region.draw();
    summary.show();
    plots.redraw();
    gallery.show();
    remember();
    $("live").textContent = `${model.title(i)}, ${selection.found.position + 1} of ${selection.found.items.length}: IoU ${view.reference} ${number(model.iou(view.reference, i))}, ${view.arm} ${number(model.iou(view.arm, i))}`;
  };
  const step = (by) => {
    const { items, position } = selection.found;
    if (items.length) open(items[position < 0 ? 0 : (position + by + items.length) % items.length]);
  };
  const setArea = (area) => {
    if (!model.isReady()) return;
    view.area = Math.min(Math.max(0, area), scores.areas.length - 1);
    controls.showArea();
    region.show();
    region.draw();
    summary.show();
    plots.drawCurve(summary.curves());
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(plots.drawScatter);
    // reorder the list only when the slider comes to rest
    clearTimeout(settling);
    settling = setTimeout(() => {
      selection.sort();
      gallery.turnTo(selection.found.position);
      region.show();
      gallery.show();
      remember();
    }, PAUSE_MS);
  };
  /* another share of the area may have to be scored first; until then, the recorded share is shown */
  const rescore = async () => {
    model.settle();
    if (!model.isReady()) view.area = model.declaredArea();
    everything();
    if (model.isReady()) return;
    await needed();
    everything();
  };
  const changeUnit = () => {
    Object.assign(view, { selection: null, item: 0, area: model.declaredArea(), baseline: "" });
    return rescore();
  };
  const repaint = () => {
    controls.show();
    region.show();
    region.draw();
    gallery.show();
    showSet();
    remember();
  };
  const drop = (changes) => {
    Object.assign(view, changes);
    everything();
  };
  const theme = () => {
    const root = document.documentElement;
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    plots.redraw();
  };
  const copyLink = async () => {
    remember();
    const isCopied = await navigator.clipboard.writeText(location.href).then(() => true, () => false);
    $("live").textContent = $("link").textContent = isCopied ? "Copied" : "In address bar";
    setTimeout(() => ($("link").textContent = "Copy link"), 1500);
  };
  const enlarge = () => {
    $("panels").classList.toggle("large");
    region.draw();
  };
  const actions = {
    open, step, setArea, rescore, changeUnit, repaint, theme, copyLink, enlarge, refresh: everything, resort: () => {
      view.page = 0;
      selection.sort();
      if (selection.found.items.length) open(selection.found.items[0]);
    },
    select: (box) => {
      selection.select(box);
      everything();
    },
    clear: () => drop({ findings: new Set(), filters: {}, selection: null }), unselect: () => drop({ selection: null }),
    turn: (by) => gallery.turn(by), png: () => files.png(), csv: () => files.saveCsv(),
  };

  document.documentElement.dataset.theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const summary = makeSummary(study, scores, model, selection), region = makeRegion(study, scores, model, selection, painting);
  const gallery = makeGallery(study, scores, model, selection, painting, actions), plots = makePlots(study, scores, model, selection, painting, actions);
  const files = makeFiles(study, scores, model, selection, painting, region, summary), controls = makeControls(study, scores, model, selection, painting, actions);

  /* ----- links ----- */
  const restore = async () => {
    const words = new URLSearchParams(location.hash.slice(1)), box = link.boxOf(words);
    link.readView(words);
    const { area } = view, asked = model.itemOf(words.get("item"));
    if (asked >= 0) view.item = asked;
    view.area = model.declaredArea();
    selection.filter();
    if (asked < 0 && selection.found.items.length) view.item = selection.found.items[0];
    everything();
    await needed();
    if (box) {
      for (const arm of model.shownArms()) for (const run of model.runsOf(arm, box.seed)) await scores.fill(model.table(run, box.method));
      selection.select(box);
    }
    view.area = area;
    if (asked >= 0) view.item = asked;
    everything();
    if (words.has("item") && asked < 0) $("live").textContent = "The image in this link is not on this page.";
  };
  addEventListener("hashchange", () => location.hash !== written && restore());

  /* ----- title and notices ----- */
  const introduce = () => {
    $("title").textContent = document.title = `Explore ${meta.study}`;
    $("question").textContent = meta.question;
    const isCredentialed = !["open", "synthetic"].includes(meta.license);
    const names = { identifiers: "their identifiers", hashes: "keyed hashes of their identifiers", numbers: "no identifiers" }[meta.names];
    $("banner").hidden = !isCredentialed;
    $("banner").textContent = `This page holds ${count(meta.samples.length)} images of patients under a data use agreement, with regions, labels, predictions and ${names}. Keep it only where the data may be kept, and share it only with people who have signed the agreement.`;
    $("left-out").hidden = !meta.left_out.length;
    $("left-out").textContent = meta.left_out.join(" ");
    document.querySelectorAll(".panels figure canvas").forEach((canvas) => (canvas.style.aspectRatio = `${study.W} / ${study.H}`));
    $("unit-field").hidden = model.unitNames.length < 2;
    $("seed-field").hidden = model.seeds.length < 2;
    $("filter-box").open = matchMedia("(min-width: 981px)").matches;
  };
  const showCheck = (report) => {
    const isEqual = report.same === report.pairs, badge = $("check"), differ = count(report.pairs - report.same);
    badge.className = `badge ${isEqual ? "good" : "bad"}`;
    badge.textContent = isEqual ? `✓ ${count(report.pairs)} recorded scores recomputed in this page, all equal` : `✗ ${differ} of ${count(report.pairs)} recorded scores differ here, by ${report.largest.toPrecision(2)} at most`;
    $("checks-text").textContent = `${count(report.pairs)} scores in the tables of the runs; ${count(report.same)} recomputed from the maps within 1e-6, ${count(report.bits)} of them bit by bit.`;
    const runName = (run) => (run === Payload.BASELINES ? "baseline map" : `${meta.runs[run].arm}, seed ${meta.runs[run].seed}`);
    const lines = report.differences.slice(0, LARGEST).map(({ unit, run, method, i, score, now, was }) =>
      Dom.row([meta.samples[study.units[unit].imageOf(i)], unit, runName(run), Dom.word(method), Dom.word(score), String(was), String(now)]));
    Dom.fillTable($("differences"), ["image", "unit", "run", "attribution", "score", "recorded", "recomputed"], lines);
    $("differences").hidden = isEqual;
  };

  introduce();
  plots.resize();
  await restore();
  let resizing = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(resizing);
    resizing = requestAnimationFrame(() => {
      region.draw();
      plots.resize();
    });
  });
  window.explorer = { study, scores, model, view, selection, summary, files, plots, link, actions };
  const report = await scores.verify((done) => ($("check").textContent = `checking recorded scores: ${count(done)}`));
  showCheck(report);
  window.explorer.report = report;
})().catch((error) => {
  document.getElementById("check").textContent = `This page cannot be shown: ${error.message}`;
  throw error;
});
