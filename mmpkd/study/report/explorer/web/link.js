"use strict";
/* Writes the view into the address after #, and reads it back. Anything a link leaves out is as in the declared comparison. */
const makeLink = (study, scores, model, selection) => {
  const { view } = model, { meta } = study;
  const SIMPLE = ["reference", "arm", "method", "baseline", "seed", "colormap", "scale", "sort"];

  const usual = () => {
    const own = model.defaults();
    return { ...own, baseline: model.matchedBaseline() };
  };

  const boxText = ({ x, y, area, method, seed }) =>
    [[...x, ...y].map((value) => value.toFixed(4)).join("_"), scores.areas[area], method, seed].join("|");

  const write = () => {
    const words = new URLSearchParams(), known = usual();
    words.set("item", model.idOf(view.item));
    const put = (key, value, other) => value !== other && words.set(key, String(value));
    put("unit", view.unit, known.unit);
    for (const name of SIMPLE) put(name, view[name], known[name]);
    put("area", scores.areas[view.area], scores.areas[model.declaredArea()]);
    put("opacity", view.opacity, known.opacity);
    put("maps", view.overlay ? 1 : 0, 1);
    put("outlines", view.outline ? 1 : 0, 1);
    if (view.findings.size) words.set("findings", [...view.findings].sort((a, b) => a - b).join("."));
    for (const [name, value] of Object.entries(view.filters)) words.set(`f.${name}`, value);
    if (view.selection) words.set("box", boxText(view.selection));
    return words.toString();
  };

  const nearest = (text) => {
    const wanted = Number(text), { areas } = scores;
    return areas.reduce((best, area, k) => (Math.abs(area - wanted) < Math.abs(areas[best] - wanted) ? k : best), 0);
  };
  const among = (value, allowed, other) => (allowed.includes(value) ? value : other);

  /* read the numbers and choices of a link; unknown values are ignored */
  const readView = (words) => {
    Object.assign(view, model.defaults());
    view.unit = among(words.get("unit"), model.unitNames, view.unit);
    const allowed = {
      reference: meta.arms, arm: meta.arms, seed: ["all", ...model.seeds], colormap: Object.keys(meta.colormaps), scale: ["own", "shared"],
      method: model.methods(false).map((own) => own.name), baseline: model.methods(true).map((own) => own.name), sort: Object.keys(selection.ORDERS),
    };
    for (const name of SIMPLE) view[name] = among(words.get(name), allowed[name], view[name]);
    model.settle();
    view.area = words.has("area") ? nearest(words.get("area")) : model.declaredArea();
    view.opacity = Math.min(100, Math.max(0, Math.round(Number(words.get("opacity") ?? view.opacity)) || 0));
    view.overlay = words.get("maps") !== "0";
    view.outline = words.get("outlines") !== "0";
    const findings = (words.get("findings") ?? "").split(".").filter(Boolean).map(Number);
    view.findings = new Set(findings.filter((k) => k in meta.findings));
    for (const [name, { tests }] of Object.entries(selection.FILTERS)) {
      const value = words.get(`f.${name}`);
      if (value && value in tests) view.filters[name] = value;
    }
  };

  const boxOf = (words) => {
    const [corners, area, method, seed] = (words.get("box") ?? "").split("|");
    const values = (corners ?? "").split("_").map(Number);
    if (values.length !== 4 || !values.every(Number.isFinite)) return null;
    const known = model.methods(false).some((own) => own.name === method) && ["all", ...model.seeds].includes(seed);
    return known ? { x: values.slice(0, 2), y: values.slice(2), area: nearest(area), method, seed } : null;
  };

  return { write, readView, boxOf };
};
