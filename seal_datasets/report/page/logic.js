// @ts-check
// What the page computes: decoding, filters, order, differing words, and the report's numbers once more. Nothing here touches
// the document, so that node can test it.

/**
 * @typedef {{kind: string, data: string, missing?: number, words?: string[]}} Block
 * @typedef {{values: ArrayLike<number>, words?: string[]}} Column
 * @typedef {Record<string, Column>} Columns
 * @typedef {Record<string, string>} State
 */

/** @param {string} text base64 of gzip @returns {Promise<ArrayBuffer>} */
async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

/** @param {string} text @returns {Promise<any>} */
async function unpackJson(text) {
  return JSON.parse(new TextDecoder().decode(await unpack(text)));
}

/** @param {Block} block @returns {Promise<Column>} */
async function decode(block) {
  const buffer = await unpack(block.data);
  const kinds = { i1: Int8Array, u1: Uint8Array, i4: Int32Array, f4: Float32Array, f8: Float64Array };
  const found = new kinds[/** @type {keyof typeof kinds} */ (block.kind)](buffer);
  if (block.missing === undefined) return { values: found, words: block.words };
  return { values: Float32Array.from(found, (value) => (value === block.missing ? NaN : value)), words: block.words };
}

/** @param {string} hash @returns {State} */
function readState(hash) {
  const text = hash.replace(/^#/, '');
  return text.includes('=') ? Object.fromEntries(new URLSearchParams(text)) : {};
}

/** @param {State} state @returns {string} */
function writeState(state) {
  const kept = Object.entries(state).filter(([, value]) => value !== '');
  return `#${new URLSearchParams(kept)}`;
}

/** Margins of a model. @param {Columns} columns @param {string} model @returns {Float64Array} */
function margins(columns, model) {
  const chosen = columns[`reward_${model}_chosen`].values;
  const rejected = columns[`reward_${model}_rejected`].values;
  return Float64Array.from(chosen, (value, row) => value - rejected[row]);
}

/** What a filter keeps. @param {Columns} columns @param {State} state @param {string} model @param {number} tieBand
 * @param {string[]} [models] of a page that compares @param {Record<string, number>} [bands] the tie band of each
 * @returns {((row: number) => boolean)[]} */
function tests(columns, state, model, tieBand, models = [], bands = {}) {
  /** @type {((row: number) => boolean)[]} */
  const kept = [];
  const margin = margins(columns, model);
  const code = (/** @type {string} */ name, /** @type {string} */ word) => {
    const column = columns[name];
    const wanted = column ? (column.words || []).indexOf(word) : -1;
    return (/** @type {number} */ row) => wanted > 0 && column.values[row] === wanted;
  };
  const more = (/** @type {string} */ name) => {
    const chosen = columns[`feature_${name}_chosen`];
    const rejected = columns[`feature_${name}_rejected`];
    return (/** @type {number} */ row) => (chosen && rejected ? chosen.values[row] - rejected.values[row] : NaN);
  };
  for (const [name, value] of Object.entries(state)) {
    if (name === 'aligned') kept.push((row) => margin[row] > tieBand === (value === 'yes'));
    else if (name === 'regime') kept.push(code(`regime_${model}`, value));
    else if (name === 'split') kept.push(splits(columns, value, models, bands, tieBand));
    else if (name === 'partition') kept.push(code('partition', value));
    else if (name === 'labeler') kept.push(code('labeler_preference', value));
    else if (name === 'more_chosen') {
      const d = more(value);
      kept.push((row) => d(row) > 0);
    } else if (name === 'more_rejected') {
      const d = more(value);
      kept.push((row) => d(row) < 0);
    } else if (name === 'differs') {
      const d = more(value);
      kept.push((row) => d(row) !== 0 && !Number.isNaN(d(row)));
    } else if (name === 'stated') {
      const [low, high] = value.split('..').map(Number);
      kept.push((row) => {
        const p = 1 / (1 + Math.exp(-Math.abs(margin[row])));
        return p >= low - 5e-5 && p <= high + 5e-5;
      });
    }
  }
  return kept;
}

/** Whether models disagree on a row. @param {Columns} columns @param {string} value `any`, or the places of a model that
 * prefers the chosen response and of one that does not: `0.1` @param {string[]} models @param {Record<string, number>} bands
 * @param {number} tieBand @returns {(row: number) => boolean} */
function splits(columns, value, models, bands, tieBand) {
  const prefers = models.map((name) => {
    const [margin, band] = [margins(columns, name), bands[name] ?? tieBand];
    return (/** @type {number} */ row) => margin[row] > band;
  });
  if (value === 'any') return (row) => new Set(prefers.map((test) => test(row))).size > 1;
  const [one, other] = value.split('.').map((place) => prefers[Number(place)]);
  return (row) => Boolean(one && other && one(row) && !other(row));
}

/** Rows that pass all tests, in an order. @param {number} n @param {((row: number) => boolean)[]} kept
 * @param {Float64Array} margin @param {string} order @returns {number[]} */
function select(n, kept, margin, order) {
  const rows = [];
  for (let row = 0; row < n; row += 1) if (kept.every((test) => test(row))) rows.push(row);
  const by = {
    worst: (/** @type {number} */ a, /** @type {number} */ b) => margin[a] - margin[b],
    best: (/** @type {number} */ a, /** @type {number} */ b) => margin[b] - margin[a],
    close: (/** @type {number} */ a, /** @type {number} */ b) => Math.abs(margin[a]) - Math.abs(margin[b]),
  }[order];
  return by ? rows.sort((a, b) => by(a, b) || a - b) : rows;
}

/** Words of two texts, each with whether the other lacks it, by the longest common subsequence.
 * @param {string} one @param {string} other @returns {[{text: string, differs: boolean}[], {text: string, differs: boolean}[]]} */
function differingWords(one, other) {
  const split = (/** @type {string} */ text) => text.match(/\s+|[^\s]+/g) || [];
  const a = split(one);
  const b = split(other);
  if (a.length * b.length > 4e6) {
    const [inA, inB] = [new Set(a), new Set(b)];
    const marked = (/** @type {string[]} */ texts, /** @type {Set<string>} */ others) =>
      texts.map((text) => ({ text, differs: text.trim() !== '' && !others.has(text) }));
    return [marked(a, inB), marked(b, inA)];
  }
  const width = b.length + 1;
  const best = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      best[i * width + j] =
        a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
  }
  const left = [];
  const right = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      left.push({ text: a[i], differs: false });
      right.push({ text: b[j], differs: false });
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && best[(i + 1) * width + j] >= best[i * width + j + 1])) {
      left.push({ text: a[i], differs: a[i].trim() !== '' });
      i += 1;
    } else {
      right.push({ text: b[j], differs: b[j].trim() !== '' });
      j += 1;
    }
  }
  return [left, right];
}

/** Words to mark in two texts: those that differ, and none where hardly a word is shared.
 * @param {string} one @param {string} other @returns {ReturnType<typeof differingWords>} */
function markedWords(one, other) {
  const found = differingWords(one, other);
  const words = found.flat().filter((word) => word.text.trim() !== '');
  const shared = words.filter((word) => !word.differs).length;
  if (shared >= 0.3 * words.length) return found;
  return /** @type {any} */ (found.map((side) => side.map((word) => ({ ...word, differs: false }))));
}

/** Coefficients of rewards on features within prompts (Eq. 1), over the texts of some pairs.
 * @param {Columns} columns @param {string} model @param {string[]} features @param {number[]} rows @returns {number[]} */
function imprint(columns, model, features, rows) {
  const k = features.length;
  const sides = ['chosen', 'rejected'];
  const complete = rows.filter((row) =>
    features.every((name) => sides.every((side) => !Number.isNaN(columns[`feature_${name}_${side}`].values[row]))),
  );
  const groups = new Map();
  for (const row of complete) {
    const prompt = columns.prompt_id.values[row];
    if (!groups.has(prompt)) groups.set(prompt, []);
    for (const side of sides) {
      groups
        .get(prompt)
        .push([
          columns[`reward_${model}_${side}`].values[row],
          ...features.map((name) => columns[`feature_${name}_${side}`].values[row]),
        ]);
    }
  }
  const gram = Array.from({ length: k }, () => new Array(k + 1).fill(0));
  for (const texts of groups.values()) {
    const means = texts[0].map(
      (/** @type {number} */ _, /** @type {number} */ c) =>
        texts.reduce((/** @type {number} */ sum, /** @type {number[]} */ text) => sum + text[c], 0) / texts.length,
    );
    for (const text of texts) {
      for (let i = 0; i < k; i += 1) {
        const own = text[i + 1] - means[i + 1];
        for (let j = 0; j < k; j += 1) gram[i][j] += own * (text[j + 1] - means[j + 1]);
        gram[i][k] += own * (text[0] - means[0]);
      }
    }
  }
  return solve(gram);
}

/** Solve normal equations. A column that others make up is left out, which changes no coefficient that is identified.
 * @param {number[][]} system k rows of k + 1 @returns {number[]} nan for columns that are left out */
function solve(system) {
  const k = system.length;
  const sizes = system.map((row, place) => Math.sqrt(row[place]) || 1);
  const scaled = system.map((row, i) => row.map((value, j) => value / sizes[i] / (j < k ? sizes[j] : 1)));
  const left = new Set(scaled.keys());
  const found = new Array(k).fill(NaN);
  const used = [];
  while (left.size) {
    const pivot = [...left].reduce((a, b) => (scaled[a][a] >= scaled[b][b] ? a : b));
    if (scaled[pivot][pivot] < 1e-9) break;
    left.delete(pivot);
    used.push(pivot);
    for (let row = 0; row < k; row += 1) {
      if (row === pivot) continue;
      const factor = scaled[row][pivot] / scaled[pivot][pivot];
      for (let place = 0; place <= k; place += 1) scaled[row][place] -= factor * scaled[pivot][place];
    }
  }
  for (const place of used) found[place] = scaled[place][k] / scaled[place][place] / sizes[place];
  return found;
}

/** Compare the report's headline with what the page's own columns give.
 * @param {Columns} columns @param {number} n @param {any} expected @param {number} tieBand @returns {string[]} what differs */
function check(columns, n, expected, tieBand) {
  const wrong = [];
  const close = (/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ size) =>
    Math.abs(a - b) <= size * Math.max(1, Math.abs(b));
  const heldout = expected.where === 'heldout' ? columns.partition.words?.indexOf('heldout') : -1;
  const rows = [];
  for (let row = 0; row < n; row += 1) if (heldout === -1 || columns.partition.values[row] === heldout) rows.push(row);
  for (const [model, share] of Object.entries(expected.resistance)) {
    const margin = margins(columns, model);
    const found = rows.filter((row) => !(margin[row] > (expected.tie_bands?.[model] ?? tieBand))).length / rows.length;
    if (!close(found, Number(share), 1e-9)) wrong.push(`resistance of ${model}: ${found} and ${share}`);
  }
  for (const [model, counts] of Object.entries(expected.regimes)) {
    const column = columns[`regime_${model}`];
    for (const [regime, count] of Object.entries(/** @type {Record<string, number>} */ (counts))) {
      const found = rows.filter((row) => column.words?.[column.values[row]] === regime).length;
      if (found !== count) wrong.push(`${regime} of ${model}: ${found} and ${count}`);
    }
  }
  const { model, design, coefficients } = expected.imprint;
  if (design.length) {
    const found = imprint(columns, model, design, rows);
    design.forEach((/** @type {string} */ name, /** @type {number} */ place) => {
      if (name in coefficients && !close(found[place], coefficients[name], 1e-4))
        wrong.push(`imprint of ${name}: ${found[place]} and ${coefficients[name]}`);
    });
  }
  return wrong;
}

if (typeof module !== 'undefined')
  Object.assign(module.exports, {
    unpack,
    unpackJson,
    decode,
    readState,
    writeState,
    margins,
    tests,
    select,
    differingWords,
    markedWords,
    imprint,
    solve,
    check,
  });
