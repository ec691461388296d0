"use strict";
/* The data of the page: columns by name, as Python wrote them, and values derived from them. */
const Payload = (() => {
  const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
  const BASELINES = "b";

  const bytesOf = (text) => {
    const raw = atob(text), bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
    return bytes;
  };

  const gunzip = async (bytes) => {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  /* read an array; the bytes of wider types are stored by significance, the lowest first */
  const arrayOf = (block, place) => {
    const kind = TYPES[place.type], width = kind.BYTES_PER_ELEMENT, part = block.subarray(place.at, place.at + place.bytes);
    const n = place.bytes / width, bytes = new Uint8Array(place.bytes);
    for (let k = 0; k < width; k++) for (let i = 0; i < n; i++) bytes[i * width + k] = part[k * n + i];
    return new kind(bytes.buffer);
  };

  /* decode a mask from the lengths of its runs of 0, 1, 0, ... in row order, as LEB128 numbers */
  const decodeRuns = (bytes, start, end, size) => {
    const mask = new Uint8Array(size);
    let at = 0, isInside = false, position = start;
    while (position < end) {
      let length = 0, shift = 0, byte;
      do {
        byte = bytes[position++];
        length |= (byte & 127) << shift;
        shift += 7;
      } while (byte & 128);
      if (isInside) mask.fill(1, at, at + length);
      at += length;
      isInside = !isInside;
    }
    return mask;
  };

  /* a unit of localization: the region of one finding, or the union of an image's regions */
  const unitOf = (study, entry, get) => {
    const ofFinding = entry.name === "finding", { finding } = study, image = get(`item/${entry.name}`), n = image.length;
    const regionsOf = (i) => (ofFinding ? [i] : study.regionsOf[image[i]]);
    const mask = (i) => {
      if (ofFinding) return study.regionMask(i);
      const union = new Uint8Array(study.size);
      for (const r of regionsOf(i)) study.regionMask(r).forEach((value, k) => value && (union[k] = 1));
      return union;
    };
    const count = (i) => mask(i).reduce((sum, value) => sum + value, 0);
    const maps = new Map();
    const known = (run, method) => {
      const key = `${run}/${method}`;
      if (!maps.has(key)) maps.set(key, { values: get(`map/${key}`), row: get(`row/${key}`), grid: study.method(method).grid });
      return maps.get(key);
    };
    const rowOf = (run, method, i) => known(run, method).row[regionsOf(i)[0]];
    return {
      ...entry, n, mask, rowOf,
      regionsOf,
      imageOf: (i) => image[i],
      findingOf: (i) => (ofFinding ? finding[i] : null),
      pixels: Uint32Array.from({ length: n }, (_, i) => count(i)),
      third: get(`third/${entry.name}`),
      ceiling: study.has(`ceiling/${entry.name}`) ? get(`ceiling/${entry.name}`) : null,
      parts: study.has(`parts/${entry.name}`) ? get(`parts/${entry.name}`) : null,
      probability: study.meta.runs.map((_, k) => get(`probability/${k}/${entry.name}`)),
      recognised: study.meta.runs.map((_, k) => get(`recognised/${k}/${entry.name}`)),
      recorded: (run, method, score) => get(`recorded/${run}/${method}/${entry.name}/${score}`),
      map: (run, method, i) => {
        const { values, row, grid } = known(run, method), cells = grid[0] * grid[1], at = row[regionsOf(i)[0]] * cells;
        return { values: values.subarray(at, at + cells), h: grid[0], w: grid[1] };
      },
    };
  };

  const read = async (meta, columnsText, imagesText) => {
    const block = await gunzip(bytesOf(columnsText)), read = new Map();
    const has = (name) => name in meta.arrays;
    const get = (name) => {
      if (!has(name)) throw new Error(`Expected '${name}' in the data of this page but it has none.`);
      if (!read.has(name)) read.set(name, arrayOf(block, meta.arrays[name]));
      return read.get(name);
    };
    const [H, W] = meta.frame, runs = get("region/runs"), at = get("region/at");
    const study = {
      meta, H, W, size: H * W, has,
      image: get("region/image"), finding: get("region/finding"), patient: get("image/patient"), label: get("image/label"),
      imageAt: get("image/at"), imageBytes: bytesOf(imagesText),
      strata: Object.fromEntries(Object.keys(meta.strata).map((name) => [name, get(`stratum/${name}`)])),
      regionsOf: meta.samples.map(() => []),
      regionMask: (r) => decodeRuns(runs, at[r], at[r + 1], H * W),
      method: (name) => meta.methods.find((method) => method.name === name),
    };
    study.image.forEach((image, r) => study.regionsOf[image].push(r));
    study.units = Object.fromEntries(meta.units.map((entry) => [entry.name, unitOf(study, entry, get)]));
    return study;
  };

  return { read, bytesOf, decodeRuns, BASELINES };
})();
