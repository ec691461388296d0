"use strict";
/* A scatter plot of both arms by region, and a plot of mean IoU against the share of the area, drawn with uPlot. */
const makePlots = (study, scores, model, selection, painting, actions) => {
  const { view } = model, { css, number, percent } = Dom;
  const soft = () => css("--soft"), grid = () => css("--line");
  const FONT = '12px system-ui, "Liberation Sans", sans-serif', REACH = 12, LASTS = 1e-9;

  const axis = (label, size, values) => ({ label, size, labelSize: 20, stroke: soft, font: FONT, labelFont: FONT, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, values });
  const reading = (value) => (Math.abs(value) < LASTS ? "0" : value.toFixed(2));

  /* ----- scatter ----- */
  const scatter = Dom.$("scatter");
  let points = { x: [], y: [], to: 1 }, plot = null;

  const measure = () => {
    const n = model.unit().n, x = new Float32Array(n), y = new Float32Array(n);
    let high = 0.05;
    for (let i = 0; i < n; i++) {
      x[i] = model.iou(view.reference, i);
      y[i] = model.iou(view.arm, i);
      high = Math.max(high, x[i] || 0, y[i] || 0);
    }
    return { x, y, to: high * 1.05 };
  };

  const circles = (u, items, radius) => {
    const path = new Path2D(), r = radius * devicePixelRatio;
    for (const i of items) {
      if (Number.isNaN(points.x[i]) || Number.isNaN(points.y[i])) continue;
      const px = u.valToPos(points.x[i], "x", true), py = u.valToPos(points.y[i], "y", true);
      path.moveTo(px + r, py);
      path.arc(px, py, r, 0, 7);
    }
    return path;
  };

  const drawPoints = (u) => {
    const { ctx } = u, ratio = devicePixelRatio, listed = new Set(selection.found.items);
    const place = (value, scale) => u.valToPos(value, scale, true);
    ctx.save();
    ctx.lineWidth = ratio;
    ctx.strokeStyle = soft();
    ctx.stroke(new Path2D(`M${place(0, "x")} ${place(0, "y")}L${place(points.to, "x")} ${place(points.to, "y")}`));
    ctx.fillStyle = grid();
    ctx.fill(circles(u, [...points.x.keys()].filter((i) => !listed.has(i)), 1.3));
    const byColor = new Map();
    for (const i of listed) {
      const color = view.unit === "image" ? css("--accent") : painting.colorOf(model.unit().findingOf(i));
      byColor.set(color, [...(byColor.get(color) ?? []), i]);
    }
    ctx.globalAlpha = 0.8;
    ctx.lineWidth = 0.5 * ratio;
    for (const [color, items] of byColor) {
      const path = circles(u, items, 2.8);
      ctx.fillStyle = color;
      ctx.fill(path);
      ctx.stroke(path);
    }
    ctx.globalAlpha = 1;
    ctx.strokeStyle = css("--ink");
    ctx.lineWidth = 2 * ratio;
    ctx.stroke(circles(u, [view.item], 6));
    if (view.selection) {
      const { x, y } = view.selection;
      ctx.setLineDash([4 * ratio, 3 * ratio]);
      ctx.strokeRect(place(x[0], "x"), place(y[1], "y"), place(x[1], "x") - place(x[0], "x"), place(y[0], "y") - place(y[1], "y"));
    }
    ctx.restore();
  };

  const nearest = (u, left, top) => {
    let best = -1, least = REACH ** 2;
    for (const i of selection.found.items) {
      const distance = (u.valToPos(points.x[i], "x") - left) ** 2 + (u.valToPos(points.y[i], "y") - top) ** 2;
      if (distance < least) [best, least] = [i, distance];
    }
    return best;
  };

  const onSelect = (u) => {
    const { left, top, width, height } = u.select;
    if (width < 4 || height < 4) return;
    const x = [u.posToVal(left, "x"), u.posToVal(left + width, "x")], y = [u.posToVal(top + height, "y"), u.posToVal(top, "y")];
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    actions.select({ x, y });
  };

  const makeScatter = () => {
    const options = {
      width: 300, height: 250, legend: { show: false },
      scales: { x: { time: false, range: () => [0, points.to] }, y: { range: () => [0, points.to] } },
      cursor: { drag: { x: true, y: true, setScale: false }, points: { show: false } },
      axes: [axis(" ", 28, (u, ticks) => ticks.map(reading)), axis(" ", 44, (u, ticks) => ticks.map(reading))],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [drawPoints], setSelect: [onSelect], setCursor: [(u) => hover(nearest(u, u.cursor.left, u.cursor.top))] },
    };
    plot = new uPlot(options, [[0, 1], [null, null]], scatter);
    let from = null;
    plot.over.addEventListener("mousedown", (event) => (from = [event.offsetX, event.offsetY]));
    plot.over.addEventListener("mouseup", (event) => {
      const isClick = from !== null && Math.hypot(event.offsetX - from[0], event.offsetY - from[1]) < 4;
      const found = isClick ? nearest(plot, event.offsetX, event.offsetY) : -1;
      if (found >= 0) actions.open(found);
    });
  };
  const hover = (i) => {
    Dom.$("hover").textContent = i < 0 ? "\u00a0" : `${model.title(i)}, ${percent(model.area(i))} of the image: ${number(points.x[i])} → ${number(points.y[i])}`;
  };

  const drawScatter = () => {
    points = measure();
    const { items } = selection.found, above = items.filter((i) => points.y[i] > points.x[i]).length;
    const [x, y] = plot.axes;
    x.label = `IoU, ${view.reference}`;
    y.label = `IoU, ${view.arm}`;
    plot.setData([[0, 1], [null, null]]);
    scatter.setAttribute("aria-label", `Scatter plot of ${items.length}: IoU of ${view.reference} against ${view.arm}; ${above} lie above the diagonal. The gallery lists the same.`);
  };

  /* ----- curve ----- */
  const curve = Dom.$("curve");
  let lines = null;
  const upright = (u, area, color, dash) => {
    const { ctx } = u, x = u.valToPos(scores.areas[area], "x", true);
    ctx.save();
    ctx.strokeStyle = color;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
    ctx.stroke(new Path2D(`M${x} ${u.bbox.top}V${u.bbox.top + u.bbox.height}`));
    ctx.restore();
  };
  const makeCurve = () => {
    const line = (label, stroke, dash) => ({ label, stroke, dash, width: 2, points: { show: false }, value: (u, value) => (value === null ? "–" : number(value)) });
    const options = {
      width: 300, height: 200,
      scales: { x: { time: false }, y: { range: (u, low, high) => [0, Math.max(0.01, high * 1.1)] } },
      cursor: { drag: { x: false, y: false }, y: false, points: { show: false } },
      axes: [axis("share of the area", 28, (u, ticks) => ticks.map(percent)), axis("mean IoU", 44, (u, ticks) => ticks.map(reading))],
      series: [{ label: "top", value: (u, value) => (value === null ? "–" : percent(value)) }, line("", () => css("--reference"), [6, 3]), line("", () => css("--arm")), line("", soft, [2, 3])],
      hooks: { draw: [(u) => upright(u, model.declaredArea(), soft(), [3, 3]), (u) => upright(u, view.area, css("--ink"), [])] },
    };
    lines = new uPlot(options, [[0, 0.5], [null, null], [null, null], [null, null]], curve);
    lines.over.addEventListener("click", () => actions.setArea(lines.posToIdx(lines.cursor.left)));
  };
  /* means: mean IoU of each arm and of the baseline map at every share of the area, null where it is still unknown */
  const drawCurve = (means) => {
    const names = [view.reference, view.arm, view.baseline ? study.method(view.baseline).title : "–"];
    const labels = curve.querySelectorAll(".u-legend .u-label");
    names.forEach((name, k) => {
      lines.series[k + 1].label = name;
      labels[k + 1].textContent = name;
    });
    lines.setData([scores.areas, ...means]);
    const now = means.slice(0, 2).map((values) => number(values[view.area] ?? NaN));
    curve.setAttribute("aria-label", `Mean IoU against the share of the area. At ${percent(scores.areas[view.area])}: ${view.reference} ${now[0]}, ${view.arm} ${now[1]}.`);
  };

  const resize = () => {
    const side = (box) => Math.max(200, Math.floor(box.clientWidth));
    plot.setSize({ width: side(scatter), height: Math.round(side(scatter) * 0.8) });
    lines.setSize({ width: side(curve), height: Math.round(side(curve) * 0.5) });
  };

  makeScatter();
  makeCurve();
  return { drawScatter, drawCurve, resize, redraw: () => [plot, lines].forEach((own) => own.redraw(false)), place: (i) => {
    const box = plot.over.getBoundingClientRect();
    return [box.left + plot.valToPos(points.x[i], "x"), box.top + plot.valToPos(points.y[i], "y")];
  } };
};
