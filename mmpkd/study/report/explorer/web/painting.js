"use strict";
/* Images, maps and outlines on canvases. */
const makePainting = (study, scores, model) => {
  const { meta, H, W } = study, { view } = model;
  const OUTLINES = ["#56b4e9", "#009e73", "#f0e442", "#cc79a7", "#0072b2", "#e69f00"];
  const MOST_PICTURES = 120, MOST_MAPS = 24;
  const colors = Object.fromEntries(Object.entries(meta.colormaps).map(([name, text]) => [name, Payload.bytesOf(text)]));
  const colorOf = (finding) => OUTLINES[finding % OUTLINES.length];

  const remember = (kept, most, key, make) => {
    if (!kept.has(key)) {
      if (kept.size >= most) kept.delete(kept.keys().next().value);
      kept.set(key, make());
    }
    return kept.get(key);
  };
  const pictures = new Map(), maps = new Map();
  /* an image, decoded on first use */
  const pictureOf = (image) =>
    remember(pictures, MOST_PICTURES, image, () => {
      const bytes = study.imageBytes.subarray(study.imageAt[image], study.imageAt[image + 1]), entry = { bitmap: null };
      entry.ready = createImageBitmap(new Blob([bytes], { type: meta.image_type })).then((bitmap) => (entry.bitmap = bitmap));
      return entry;
    });
  const seen = (run, method, i) =>
    remember(maps, MOST_MAPS, `${view.unit} ${run} ${method} ${model.unit().rowOf(run, method, i)}`, () => {
      const { values, h, w } = model.unit().map(run, method, i), found = Scoring.levelsOf(values, h, w, H, W);
      return { ...found, values, h, w, order: Scoring.orderOf(found.levels), peaks: Scoring.peaksOf(values) };
    });

  const layer = new OffscreenCanvas(W, H);
  /* draw a map over an image, more opaque where its values are larger, on its own scale or on a shared one */
  const paintMap = (context, side, own, shared) => {
    if (own.constant) return;
    const data = new ImageData(W, H), lut = colors[view.colormap], span = own.high - own.low;
    const low = shared ? (own.low - shared.low) / (shared.high - shared.low) : 0;
    const stretch = shared ? span / (shared.high - shared.low) : 1;
    for (let i = 0; i < own.levels.length; i++) {
      const value = Math.min(1, low + (own.levels[i] / 65535) * stretch), k = 3 * Math.round(255 * value);
      data.data.set([lut[k], lut[k + 1], lut[k + 2], 2.55 * view.opacity * value], 4 * i);
    }
    layer.getContext("2d").putImageData(data, 0, 0);
    context.drawImage(layer, 0, 0, side, (side * H) / W);
  };

  /* trace the border of a set of pixels along pixel edges */
  const borderOf = (isInside, step) => {
    const path = new Path2D();
    const edges = (lines, length, differs, draw) => {
      for (let line = 0; line <= lines; line++) {
        for (let at = 0, start = -1; at <= length; at++) {
          const isEdge = at < length && differs(line, at);
          if (isEdge && start < 0) start = at;
          if (isEdge || start < 0) continue;
          draw(line, start, at);
          start = -1;
        }
      }
    };
    const inside = (r, c) => r >= 0 && c >= 0 && r < H && c < W && isInside(r * W + c);
    const rowEdge = (r, c) => inside(r - 1, c) !== inside(r, c), columnEdge = (c, r) => inside(r, c - 1) !== inside(r, c);
    const line = (x0, y0, x1, y1) => {
      path.moveTo(x0 * step, y0 * step);
      path.lineTo(x1 * step, y1 * step);
    };
    edges(H, W, rowEdge, (r, from, to) => line(from, r, to, r));
    edges(W, H, columnEdge, (c, from, to) => line(c, from, c, to));
    return path;
  };

  /* a dark line below a light one is visible on any grey */
  const stroke = (context, path, color, width, dash = []) => {
    for (const [style, own, pattern] of [["#000", width + 2, []], [color, width, dash]]) {
      context.lineCap = pattern.length ? "butt" : "square";
      context.setLineDash(pattern);
      context.strokeStyle = style;
      context.lineWidth = own;
      context.stroke(path);
    }
    context.setLineDash([]);
  };

  const topArea = (own) => {
    const num = scores.nums[view.area], { level, above, withTies } = Scoring.borderOf(own, own.order, num);
    const share = (num - above) / (withTies - above), from = share >= 0.5 ? level : level + 1;
    return { isInside: (i) => own.levels[i] >= from, tied: withTies - above, share };
  };

  const paintPoints = (context, own, step, unit) => {
    for (const patch of own.peaks.length > 8 ? [] : own.peaks) {
      const x = (Scoring.centerOf(patch % own.w, own.w, W) + 0.5) * step, y = (Scoring.centerOf(Math.floor(patch / own.w), own.h, H) + 0.5) * step;
      const cross = new Path2D(`M${x - 5 * unit} ${y}H${x + 5 * unit}M${x} ${y - 5 * unit}V${y + 5 * unit}`);
      stroke(context, cross, "#fff", Math.max(1.5, 1.5 * unit));
    }
  };

  const paintRegions = (context, i, step, unit, isOverview) => {
    const mine = new Set(model.unit().regionsOf(i)), image = model.unit().imageOf(i);
    for (const r of study.regionsOf[image]) {
      if (!isOverview && !mine.has(r)) continue;
      const mask = scores.maskOf(study.units.finding, r);
      stroke(context, borderOf((k) => mask[k] === 1, step), colorOf(study.finding[r]), (mine.has(r) ? 2 : 1) * Math.max(1, unit));
    }
  };

  /* paint one panel: the image, the map of a run if there is one, and outlines */
  const paint = (context, side, i, { run = null, method = view.method, shared = null, isSmall = false } = {}) => {
    const { bitmap } = pictureOf(model.unit().imageOf(i)), step = side / W, unit = side / 256;
    context.fillStyle = "#000";
    context.fillRect(0, 0, side, (side * H) / W);
    if (bitmap) context.drawImage(bitmap, 0, 0, side, (side * H) / W);
    const own = run === null ? null : seen(run, method, i);
    if (own && view.overlay) paintMap(context, side, own, shared);
    if (!view.outline) return;
    paintRegions(context, i, step, unit, run === null);
    if (!own || !view.overlay || isSmall) return;
    if (!own.constant) stroke(context, borderOf(topArea(own).isInside, step), "#fff", Math.max(1, unit), [4 * unit, 3 * unit]);
    paintPoints(context, own, step, unit);
  };

  /* give a canvas as many pixels as it has on the screen */
  const sized = (canvas) => {
    const ratio = Math.min(window.devicePixelRatio || 1, 3), width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.round((width * H) / W);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    return { context: canvas.getContext("2d"), side: width };
  };

  return { pictureOf, seen, paint, sized, topArea, colors, colorOf };
};
