"use strict";
/* The listed items and their order. */
const makeSelection = (study, model) => {
  const { meta } = study, { view } = model;
  const THIRDS = ["smallest third", "middle third", "largest third"];
  const yesNo = (test) => ({ "": () => true, yes: (i) => test(i) === true, no: (i) => test(i) === false });
  const found = { items: [], position: -1 };

  const ofResult = (name, arm, test, names) => ({
    title: () => `${view[arm]}: ${name}`, names: { "": "all", ...names }, tests: yesNo((i) => test(view[arm], i)), isResult: true,
  });
  const hits = { yes: "hit", no: "miss" }, answers = { yes: "yes", no: "no" };
  const FILTERS = {
    hitr: ofResult("pointing game", "reference", model.isHit, hits),
    hita: ofResult("pointing game", "arm", model.isHit, hits),
    recr: ofResult("recognised", "reference", model.isRecognised, answers),
    reca: ofResult("recognised", "arm", model.isRecognised, answers),
    size: {
      title: () => "region size", names: { "": "all", t0: THIRDS[0], t1: THIRDS[1], t2: THIRDS[2] },
      tests: { "": () => true, ...Object.fromEntries([0, 1, 2].map((k) => [`t${k}`, (i) => model.unit().third[i] === k])) },
    },
    parts: {
      title: () => "number of regions", names: { "": "all", n1: "1", n2: "2", n3: "3 or more" },
      tests: { "": () => true, ...Object.fromEntries([1, 2, 3].map((k) => [`n${k}`, (i) => Math.min(3, partsOf(i)) === k])) },
    },
  };
  const partsOf = (i) => (model.unit().parts ? model.unit().parts[i] : model.unit().regionsOf(i).length);
  for (const [name, levels] of Object.entries(meta.strata)) {
    const tests = levels.map((_, k) => [`v${k}`, (i) => study.strata[name][model.unit().imageOf(i)] === k]);
    FILTERS[`s.${name}`] = {
      title: () => Dom.word(name), names: { "": "all", ...Object.fromEntries(levels.map((level, k) => [`v${k}`, level || "unknown"])) },
      tests: { "": () => true, ...Object.fromEntries(tests) },
    };
  }

  const ORDERS = {
    gain: [() => "largest gain", (i) => -model.gain(i)],
    loss: [() => "largest loss", (i) => model.gain(i)],
    rhigh: [() => `${view.reference}, best first`, (i) => -model.iou(view.reference, i)],
    rlow: [() => `${view.reference}, worst first`, (i) => model.iou(view.reference, i)],
    ahigh: [() => `${view.arm}, best first`, (i) => -model.iou(view.arm, i)],
    alow: [() => `${view.arm}, worst first`, (i) => model.iou(view.arm, i)],
    small: [() => "smallest region", (i) => model.unit().pixels[i]],
    large: [() => "largest region", (i) => -model.unit().pixels[i]],
    data: [() => "by name", (i) => i],
  };

  /* a box in the scatter plot; it keeps its items when the share of the area or the seed changes */
  const select = ({ x, y, area = view.area, method = view.method, seed = view.seed }) => {
    const chosen = new Set(), at = { area, method, seed };
    for (let i = 0; i < model.unit().n; i++) {
      const u = model.iou(view.reference, i, at), v = model.iou(view.arm, i, at);
      if (u >= x[0] && u <= x[1] && v >= y[0] && v <= y[1]) chosen.add(i);
    }
    view.selection = chosen.size ? { x, y, ...at, chosen } : null;
  };

  const sort = () => {
    const value = new Map(found.items.map((i) => [i, ORDERS[view.sort][1](i)]));
    const rank = (i) => (Number.isNaN(value.get(i)) ? Infinity : value.get(i));
    found.items.sort((a, b) => rank(a) - rank(b) || a - b);
    found.position = found.items.indexOf(view.item);
  };

  const filter = () => {
    const tests = Object.entries(view.filters).map(([name, value]) => FILTERS[name].tests[value]);
    const isListed = (i) =>
      (!view.findings.size || model.findingsOf(i).some((finding) => view.findings.has(finding))) &&
      (!view.selection || view.selection.chosen.has(i)) && tests.every((test) => test(i));
    found.items = Array.from({ length: model.unit().n }, (_, i) => i).filter(isListed);
    sort();
  };

  /* whether the listed items were chosen by a result */
  const isChosenByResult = () => view.selection !== null || Object.keys(view.filters).some((name) => FILTERS[name].isResult);

  return { FILTERS, ORDERS, THIRDS, found, select, sort, filter, partsOf, isChosenByResult };
};
