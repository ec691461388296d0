"use strict";
/* IoU and pointing game of a map on the patch grid, as `mmpkd.metrics` computes them: in float32, operation by operation, so
 * that scores equal the recorded ones bit by bit. `Math.fround` rounds to float32. An operation on two float32 numbers in double,
 * rounded once, gives the same result as in float32. */
const Scoring = (() => {
  const f = Math.fround;
  const TOP_LEVEL = 65535;
  const SMALLEST_RANGE = f(1e-6);

  /* a * b + c with one rounding: the product of two float32 numbers is exact in double */
  const fused = (a, b, c) => f(a * b + c);

  /* as torch.lerp, which starts from the nearer end */
  const between = (a, b, weight) => (weight < 0.5 ? fused(weight, f(b - a), a) : fused(f(weight - 1), f(b - a), b));

  /* for each pixel along one side: the patches before and after its centre, and the weight of the second */
  const makeAxis = (patches, pixels) => {
    const before = new Int32Array(pixels), after = new Int32Array(pixels), weight = new Float32Array(pixels);
    const scale = f(patches / pixels);
    for (let i = 0; i < pixels; i++) {
      const place = Math.min(Math.max(f(f((i + 0.5) * scale) - 0.5), 0), patches - 1);
      before[i] = Math.trunc(place);
      after[i] = Math.min(before[i] + 1, patches - 1);
      weight[i] = f(place - before[i]);
    }
    return { before, after, weight };
  };

  const axes = new Map();
  const axisOf = (patches, pixels) => {
    const key = `${patches} ${pixels}`;
    if (!axes.has(key)) axes.set(key, makeAxis(patches, pixels));
    return axes.get(key);
  };

  /* interpolate rows of patches, then columns, with halved values, since the difference of two may overflow */
  const upsample = (map, h, w, H, W, out = new Float32Array(H * W)) => {
    const y = axisOf(h, H), x = axisOf(w, W), line = new Float32Array(w);
    for (let r = 0; r < H; r++) {
      const top = y.before[r] * w, bottom = y.after[r] * w;
      for (let c = 0; c < w; c++) line[c] = between(f(map[top + c] / 2), f(map[bottom + c] / 2), y.weight[r]);
      for (let c = 0, i = r * W; c < W; c++, i++) out[i] = f(2 * between(line[x.before[c]], line[x.after[c]], x.weight[c]));
    }
    return out;
  };

  const extremes = (values) => {
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < values.length; i++) {
      if (values[i] < low) low = values[i];
      if (values[i] > high) high = values[i];
    }
    return { low, high };
  };

  /* scale halved values to [0, 1] in place; return whether all are equal up to rounding, in which case they become 0 */
  const scale = (values) => {
    const { low, high } = extremes(values), half = f(low / 2), spread = f(f(high / 2) - half);
    const constant = spread <= f(SMALLEST_RANGE * Math.abs(f(high / 2)));
    if (constant) values.fill(0);
    else for (let i = 0; i < values.length; i++) values[i] = f(f(f(values[i] / 2) - half) / spread);
    return constant;
  };

  /* a map in the frame: 16-bit levels, whether it is constant, whether it is finite, and its own extremes */
  const levelsOf = (map, h, w, H, W) => {
    const finite = map.every(Number.isFinite), patches = finite ? Float32Array.from(map) : new Float32Array(h * w);
    const { low, high } = extremes(patches), isFlat = scale(patches);
    const pixels = upsample(patches, h, w, H, W), constant = scale(pixels) || isFlat;
    const levels = new Uint16Array(H * W);
    for (let i = 0; i < pixels.length; i++) levels[i] = Math.trunc(f(pixels[i] * TOP_LEVEL));
    return { levels, constant, finite, low, high };
  };

  /* sort pixels from the largest level to the smallest: radix sort by the lower byte, then by the upper one */
  const orderOf = (levels, out = new Uint32Array(levels.length), spare = new Uint32Array(levels.length)) => {
    const lower = new Uint32Array(257), upper = new Uint32Array(257), n = levels.length;
    for (let i = 0; i < n; i++) {
      lower[256 - (levels[i] & 255)]++;
      upper[256 - (levels[i] >> 8)]++;
    }
    for (let i = 1; i < 257; i++) {
      lower[i] += lower[i - 1];
      upper[i] += upper[i - 1];
    }
    for (let i = 0; i < n; i++) spare[lower[255 - (levels[i] & 255)]++] = i;
    for (let i = 0; i < n; i++) out[upper[255 - (levels[spare[i]] >> 8)]++] = spare[i];
    return out;
  };

  /* Python's round: half to even */
  const roundHalfEven = (value) => {
    const down = Math.floor(value), rest = value - down;
    return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
  };
  const numSelected = (area, pixels) => Math.max(1, roundHalfEven(area * pixels));

  /* IoU of the largest pixels and a region, for ascending numbers of pixels; pixels that tie at the border count partly */
  const iouCurve = (seen, order, inside, regionPixels, nums, out) => {
    const total = order.length, { levels } = seen;
    if (!seen.finite || regionPixels === 0) return out.fill(NaN);
    if (seen.constant) return out.fill(f(f(regionPixels) / total));
    let position = 0, hits = 0, above = 0, hitsAbove = 0;
    for (let k = 0; k < nums.length; k++) {
      while (position < nums[k]) {
        above = position;
        hitsAbove = hits;
        const level = levels[order[position]];
        while (position < total && levels[order[position]] === level) hits += inside[order[position++]];
      }
      const share = f((nums[k] - above) / (position - above));
      const expected = f(hitsAbove + f((hits - hitsAbove) * share));
      out[k] = f(expected / f(nums[k] + regionPixels - expected));
    }
    return out;
  };

  /* the level at the border of the largest pixels, how many are above it, and how many are not below it */
  const borderOf = (seen, order, num) => {
    const level = seen.levels[order[num - 1]];
    let above = num - 1, withTies = num;
    while (above > 0 && seen.levels[order[above - 1]] === level) above--;
    while (withTies < order.length && seen.levels[order[withTies]] === level) withTies++;
    return { level, above, withTies };
  };

  const peaksOf = (map) => {
    const { high } = extremes(map), found = [];
    for (let i = 0; i < map.length; i++) if (map[i] === high) found.push(i);
    return found;
  };

  /* the pixel at the centre of a patch along one side */
  const centerOf = (patch, patches, pixels) => Math.trunc(f(f((patch + 0.5) * pixels) / patches));

  /* the share of the patches with the largest value whose centres lie in the region */
  const pointingGame = (map, h, w, H, W, inside, regionPixels) => {
    if (regionPixels === 0 || !map.every(Number.isFinite)) return NaN;
    const tied = peaksOf(map);
    let hits = 0;
    for (const patch of tied) hits += inside[centerOf(Math.floor(patch / w), h, H) * W + centerOf(patch % w, w, W)];
    return f(hits / tied.length);
  };

  return { upsample, levelsOf, orderOf, iouCurve, borderOf, peaksOf, centerOf, pointingGame, numSelected };
})();
