"use strict";
/* Choices, sliders, filters and keys. */
const makeControls = (study, scores, model, selection, painting, actions) => {
  const { meta } = study, { view } = model, { $, element, percent, word } = Dom;
  const CHOICES = ["unit", "reference", "arm", "method", "baseline", "seed", "colormap", "scale", "sort"];

  const entries = {
    unit: () => meta.units.map((own) => [own.name, { finding: "a finding's region", image: "an image's regions" }[own.name]]),
    reference: () => meta.arms.map((name) => [name, name]),
    arm: () => meta.arms.map((name) => [name, name]),
    method: () => model.methods(false).map((own) => [own.name, own.title]),
    baseline: () => model.methods(true).map((own) => [own.name, own.title]),
    seed: () => [...(model.seeds.length > 1 ? [["all", "mean of all"]] : []), ...model.seeds.map((seed) => [seed, seed])],
    colormap: () => Object.keys(meta.colormaps).map((name) => [name, name]),
    scale: () => [["own", "each on its own"], ["shared", "both arms together"]],
    sort: () => Object.entries(selection.ORDERS).map(([name, [title]]) => [name, title()]),
  };
  const fill = (select, pairs, value) => {
    const options = pairs.map(([own, text]) => new Option(text, own));
    select.replaceChildren(...options);
    select.value = value;
  };

  const show = () => {
    for (const name of CHOICES) fill($(name), entries[name](), view[name]);
    for (const [name, { title, names }] of Object.entries(selection.FILTERS)) {
      $(`f-${name}`).parentElement.firstChild.textContent = title();
      fill($(`f-${name}`), Object.entries(names), view.filters[name] ?? "");
    }
    for (const input of document.querySelectorAll("#findings input")) input.checked = view.findings.has(Number(input.value));
    $("opacity").value = view.opacity;
    $("opacity-text").textContent = `${view.opacity} %`;
    $("overlay").checked = view.overlay;
    $("outline").checked = view.outline;
    $("unselect").hidden = !view.selection;
    $("unselect").textContent = view.selection ? `Drop selection (${view.selection.chosen.size})` : "";
    showArea();
    drawBar();
  };
  const showArea = () => {
    const isReady = model.isReady(), share = percent(scores.areas[view.area]);
    $("area").value = view.area;
    $("area").disabled = !isReady;
    $("area").setAttribute("aria-valuetext", share);
    $("area-text").textContent = isReady ? `${share}, ${Dom.count(scores.nums[view.area])} pixels` : `${share}; other shares are being scored`;
    $("recorded").disabled = view.area === model.declaredArea();
  };
  const drawBar = () => {
    const context = $("bar").getContext("2d"), colors = painting.colors[view.colormap];
    for (let i = 0; i < 256; i++) {
      context.fillStyle = `rgb(${colors[3 * i]},${colors[3 * i + 1]},${colors[3 * i + 2]})`;
      context.fillRect(i, 0, 1, 12);
    }
  };

  const makeFilters = () => {
    const outlined = new Set(study.finding);
    meta.findings.forEach((name, k) => {
      if (!outlined.has(k)) return; // its box would leave nothing
      const input = element("input", { type: "checkbox", value: String(k) }), swatch = element("i", { className: "swatch" });
      swatch.style.background = painting.colorOf(k);
      input.addEventListener("change", () => {
        if (input.checked) view.findings.add(k);
        else view.findings.delete(k);
        actions.refresh();
      });
      $("findings").append(element("label", {}, input, element("span", {}, swatch, name)));
    });
    for (const name of Object.keys(selection.FILTERS)) {
      const select = element("select", { id: `f-${name}` });
      select.addEventListener("change", () => {
        if (select.value) view.filters[name] = select.value;
        else delete view.filters[name];
        actions.refresh();
      });
      $("filters").append(element("label", {}, element("span"), select));
    }
  };

  const changes = {
    unit: actions.changeUnit, reference: actions.rescore, arm: actions.rescore, method: actions.rescore, seed: actions.rescore,
    baseline: actions.repaint, colormap: actions.repaint, scale: actions.repaint, sort: actions.resort,
  };
  const listen = () => {
    for (const name of CHOICES) {
      $(name).addEventListener("change", () => {
        view[name] = $(name).value;
        changes[name]();
      });
    }
    $("area").max = scores.areas.length - 1;
    $("area").addEventListener("input", () => actions.setArea(Number($("area").value)));
    $("opacity").addEventListener("input", () => {
      view.opacity = Number($("opacity").value);
      actions.repaint();
    });
    for (const id of ["overlay", "outline"]) {
      $(id).addEventListener("change", () => {
        view[id] = $(id).checked;
        actions.repaint();
      });
    }
    const clicks = {
      recorded: () => actions.setArea(model.declaredArea()), previous: () => actions.step(-1), next: () => actions.step(1),
      "page-back": () => actions.turn(-1), "page-on": () => actions.turn(1), clear: actions.clear, unselect: actions.unselect,
      help: () => $("dialog").showModal(), theme: actions.theme, png: actions.png, csv: actions.csv, link: actions.copyLink, check: () => $("checks").showModal(),
    };
    for (const [id, action] of Object.entries(clicks)) $(id).addEventListener("click", action);
    document.querySelectorAll(".panels figure canvas").forEach((canvas) => canvas.addEventListener("click", actions.enlarge));
    addEventListener("keydown", onKey);
  };

  const keys = {
    ArrowRight: () => actions.step(1), ArrowLeft: () => actions.step(-1),
    ArrowUp: () => actions.setArea(view.area + 1), ArrowDown: () => actions.setArea(view.area - 1),
    " ": () => $("overlay").click(), o: () => $("outline").click(), d: () => actions.setArea(model.declaredArea()),
    m: () => cycle("method"), b: () => cycle("baseline"), s: () => cycle("seed"), z: actions.enlarge, t: actions.theme,
    "?": () => $("dialog").showModal(), Escape: () => view.selection && actions.unselect(),
  };
  const cycle = (name) => {
    const values = entries[name]().map(([value]) => value);
    view[name] = values[(values.indexOf(view[name]) + 1) % values.length];
    changes[name]();
  };
  /* a focused control keeps the keys that it uses itself */
  const onKey = (event) => {
    const { tagName, type } = event.target, isArrow = event.key.startsWith("Arrow");
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") || !(event.key in keys)) return;
    if (tagName === "SELECT" || (tagName === "INPUT" && type === "range" && isArrow)) return;
    if (event.key === " " && ["BUTTON", "INPUT", "SUMMARY"].includes(tagName)) return;
    event.preventDefault();
    keys[event.key]();
  };

  makeFilters();
  listen();
  return { show, showArea };
};
