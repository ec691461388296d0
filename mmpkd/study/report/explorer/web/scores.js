"use strict";
/* Scores at every share of the area, computed in the background, and a check that they equal the recorded ones. */
const makeScores = (study) => {
  const { H, W, size } = study, SLICE_MS = 12, STEPS = 100;
  const grid = Array.from({ length: STEPS }, (_, i) => (i + 1) / (2 * STEPS));
  const areas = [...new Set([...grid, ...Object.values(study.units).map((unit) => unit.top_area)])].sort((a, b) => a - b);
  const nums = areas.map((area) => Scoring.numSelected(area, size)), A = areas.length;
  const spare = new Uint32Array(size), masks = new Map(), tables = new Map(), jobs = new Map();
  const MASK_BYTES = 64e6;

  const maskOf = (unit, i) => {
    const key = `${unit.name} ${i}`;
    if (!masks.has(key)) {
      if (masks.size * size > MASK_BYTES) masks.delete(masks.keys().next().value);
      masks.set(key, unit.mask(i));
    }
    return masks.get(key);
  };

  const declaredOf = (unit) => areas.indexOf(unit.top_area);
  const recorded = (unit, run, method, score) => (unit.scores.includes(score) ? unit.recorded(run, method, score) : null);

  /* until an item is scored here, use the score that was recorded for the declared share */
  const tableOf = (unit, run, method) => {
    const key = `${unit.name} ${run} ${method}`;
    if (!tables.has(key)) {
      const iou = new Float32Array(unit.n * A).fill(NaN), known = recorded(unit, run, method, "iou_top_area");
      const pointing = recorded(unit, run, method, "pointing_game");
      if (known) known.forEach((value, i) => (iou[i * A + declaredOf(unit)] = value));
      tables.set(key, { unit, run, method, iou, pointing: pointing ? pointing.slice() : new Float32Array(unit.n).fill(NaN), done: 0 });
    }
    return tables.get(key);
  };

  /* score one item; several items of an image may share a map */
  const scoreInto = (unit, run, method, i, atNums, out, cache) => {
    const row = unit.rowOf(run, method, i), { values, h, w } = unit.map(run, method, i);
    if (cache.row !== row) {
      cache.row = row;
      cache.seen = Scoring.levelsOf(values, h, w, H, W);
      cache.order = Scoring.orderOf(cache.seen.levels, cache.order, spare);
    }
    const mask = maskOf(unit, i);
    Scoring.iouCurve(cache.seen, cache.order, mask, unit.pixels[i], atNums, out);
    return Scoring.pointingGame(values, h, w, H, W, mask, unit.pixels[i]);
  };

  const pause = () =>
    new Promise((resolve) => {
      const channel = new MessageChannel();
      channel.port1.onmessage = resolve;
      channel.port2.postMessage(0);
    });

  /* run a step for every item in slices, so that the page stays responsive */
  const slowly = async (n, step, progress) => {
    let until = performance.now() + SLICE_MS;
    for (let i = 0; i < n; i++) {
      step(i);
      if (performance.now() < until) continue;
      progress(i + 1);
      await pause();
      until = performance.now() + SLICE_MS;
    }
  };

  const fill = (table, progress = () => {}) => {
    if (!jobs.has(table)) {
      const { unit, run, method } = table, cache = { row: -1 };
      const step = (i) => {
        table.pointing[i] = scoreInto(unit, run, method, i, nums, table.iou.subarray(i * A, (i + 1) * A), cache);
        table.done = i + 1;
      };
      jobs.set(table, slowly(unit.n, step, progress));
    }
    return jobs.get(table);
  };
  const isReady = (table) => table.done === table.unit.n;

  /* compare all recorded scores with those computed here */
  const verify = async (progress) => {
    const report = { pairs: 0, same: 0, bits: 0, largest: 0, differences: [] };
    const compare = (unit, run, method, i, score, now, was) => {
      const both = Number.isNaN(now) && Number.isNaN(was), difference = both ? 0 : Math.abs(now - was);
      report.pairs++;
      if (difference === 0) report.bits++;
      if (difference <= 1e-6) return report.same++;
      report.largest = Math.max(report.largest, Number.isNaN(difference) ? Infinity : difference);
      return report.differences.push({ unit: unit.name, run, method, i, score, now, was });
    };
    for (const unit of Object.values(study.units)) {
      const one = new Float32Array(1), num = [nums[declaredOf(unit)]];
      for (const { name, is_baseline: isBaseline } of study.meta.methods.filter((method) => unit.methods.includes(method.name))) {
        for (const run of isBaseline ? [Payload.BASELINES] : study.meta.runs.keys()) {
          const cache = { row: -1 }, was = Object.fromEntries(unit.scores.map((score) => [score, recorded(unit, run, name, score)]));
          const step = (i) => {
            const now = { pointing_game: scoreInto(unit, run, name, i, num, one, cache), iou_top_area: one[0] };
            for (const score of unit.scores) compare(unit, run, name, i, score, now[score], was[score][i]);
          };
          await slowly(unit.n, step, () => progress(report.pairs));
        }
      }
    }
    return report;
  };

  return { areas, nums, A, tableOf, fill, isReady, verify, maskOf, declaredOf };
};
