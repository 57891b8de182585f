// @ts-check
// Texts that the page does not hold, read from the audit's own pairs.parquet on the reader's disk: only those parts of the file
// that hold the wanted rows and columns. Nothing here touches the document, so that node can test it.

/**
 * @typedef {{prompt: string, chosen: string, rejected: string}} Texts
 * @typedef {{name: string, size: number, slice: (start: number, end: number) => {arrayBuffer: () => Promise<ArrayBuffer>}}} Opened
 * @typedef {{n_rows: number, ids: string[], rows: Int32Array, rewards: Record<string, ArrayLike<number>>}} Held what the page
 *   holds: the number of rows of its file, the ids of its pairs, the row of each, and some columns of rewards
 * @typedef {{parquet: any, metadata: any, bytes: {byteLength: number, slice: (start: number, end: number) => Promise<ArrayBuffer>}}} Table
 * @typedef {{name: string, texts: (pair: number) => Promise<Texts>,
 *   search: (words: string, told: (share: number) => void, stopped: () => boolean) => Promise<Uint8Array>}} PairFile
 */

const TEXTS = ['prompt', 'chosen', 'rejected'];
const PAIR_ID = 'pair_id';
const LONGEST_TEXT = 20_000;
const BLOCK = 1e6; // bytes that are decoded before the page may answer again
const NEEDED = 'Needed is pairs.parquet of this report’s own folder.';

/** What is wrong with a file, in words for the reader. */
class FileProblem extends Error {}

/** Open a file of pairs, and make sure that it is the one of this page: ids and rewards of every pair are compared.
 * @param {any} parquet the library @param {Opened} file @param {Held} held @param {(share: number) => void} told the share that is done
 * @returns {Promise<PairFile>} */
async function openPairs(parquet, file, held, told) {
  try {
    const bytes = {
      byteLength: file.size,
      slice: (/** @type {number} */ start, /** @type {number} */ end) => file.slice(start, end).arrayBuffer(),
    };
    await checkEnds(bytes);
    const metadata = await parquet.parquetMetadataAsync(bytes, { geoparquet: false });
    const table = { parquet, metadata, bytes };
    checkColumns(metadata, [PAIR_ID, ...TEXTS, ...Object.keys(held.rewards)]);
    await checkSame(table, held, told);
    return {
      name: file.name,
      texts: (pair) => textsOf(table, held.rows[pair]),
      search: (words, said, stopped) => searchTexts(table, held, words, said, stopped),
    };
  } catch (problem) {
    if (problem instanceof FileProblem) throw new FileProblem(`“${file.name}” ${problem.message}`);
    throw new FileProblem(
      `“${file.name}” cannot be read; it is damaged, or was moved (${problem instanceof Error ? problem.message : problem}). ${NEEDED}`,
    );
  }
}

/** @param {Table['bytes']} bytes */
async function checkEnds(bytes) {
  const magic = async (/** @type {number} */ at) =>
    at < 0 ? '' : String.fromCharCode(...new Uint8Array(await bytes.slice(at, Math.min(at + 4, bytes.byteLength))));
  if ((await magic(0)) !== 'PAR1') throw new FileProblem(`is not a Parquet file. ${NEEDED}`);
  if (bytes.byteLength < 12 || (await magic(bytes.byteLength - 4)) !== 'PAR1')
    throw new FileProblem('is not whole: its end is missing. Copy it again.');
}

/** @param {any} metadata @param {string[]} names */
function checkColumns(metadata, names) {
  const groups = metadata.row_groups;
  for (const name of names) {
    const top = metadata.schema.find((/** @type {any} */ each) => each.name === name);
    if (!top) throw new FileProblem(`holds no column ${name}, so it is of something else. ${NEEDED}`);
    const isText = name === PAIR_ID || TEXTS.includes(name);
    if (isText && top.type !== 'BYTE_ARRAY')
      throw new FileProblem(`holds no text in column ${name}, so it is of something else. ${NEEDED}`);
    for (const group of groups) {
      const codec = group.columns.find((/** @type {any} */ each) => each.meta_data?.path_in_schema[0] === name)?.meta_data
        .codec;
      if (codec !== 'SNAPPY' && codec !== 'UNCOMPRESSED')
        throw new FileProblem(`is compressed by ${codec}; the page reads SNAPPY, which an audit writes. ${NEEDED}`);
    }
  }
}

/** @param {Table} table @param {Held} held @param {(share: number) => void} told */
async function checkSame(table, held, told) {
  const n = Number(table.metadata.num_rows);
  const count = (/** @type {number} */ pairs) => pairs.toLocaleString('en');
  if (n !== held.n_rows)
    throw new FileProblem(
      `holds ${count(n)} pairs, and this report’s file ${count(held.n_rows)}: it is of another audit. ${NEEDED}`,
    );
  const names = Object.keys(held.rewards);
  let pair = 0;
  for await (const { from, to, columns } of blocks(table, [PAIR_ID, ...names])) {
    for (; pair < held.rows.length && held.rows[pair] < to; pair += 1) {
      const at = held.rows[pair] - from;
      const id = columns[PAIR_ID][at];
      if (id !== held.ids[pair])
        throw new FileProblem(
          `is of another audit: where this report has the pair “${held.ids[pair]}”, it has “${id}”. ${NEEDED}`,
        );
      for (const name of names) {
        const value = columns[name][at];
        const found = value === null || value === undefined ? NaN : Number(value);
        if (!Object.is(found + 0, held.rewards[name][pair] + 0))
          throw new FileProblem(`is of another audit: the pair “${id}” has another ${name} there (${found}). ${NEEDED}`);
      }
    }
    told(to / held.n_rows);
  }
}

/** All rows of some columns, some at a time, so that neither memory nor the page's answers suffer.
 * @param {Table} table @param {string[]} names
 * @returns {AsyncGenerator<{from: number, to: number, columns: Record<string, any[]>}>} */
async function* blocks(table, names) {
  const n = Number(table.metadata.num_rows);
  const size = Math.min(65_536, Math.max(16, Math.floor((BLOCK * n) / (bytesOf(table.metadata, names) + 1))));
  for (let from = 0; from < n; from += size) {
    const to = Math.min(n, from + size);
    yield { from, to, columns: await readRange(table, from, to, names) };
  }
}

/** Bytes of some columns before compression. @param {any} metadata @param {string[]} names @returns {number} */
function bytesOf(metadata, names) {
  let total = 0;
  for (const group of metadata.row_groups) {
    for (const { meta_data: column } of group.columns) {
      if (names.includes(column.path_in_schema[0])) total += Number(column.total_uncompressed_size);
    }
  }
  return total;
}

/** Some columns of a range of rows. @param {Table} table @param {number} from @param {number} to @param {string[]} names
 * @returns {Promise<Record<string, any[]>>} */
async function readRange(table, from, to, names) {
  /** @type {Record<string, any[]>} */
  const found = Object.fromEntries(names.map((name) => [name, []]));
  let groupStart = 0;
  for (const rowGroup of table.metadata.row_groups) {
    const groupRows = Number(rowGroup.num_rows);
    const [first, last] = [Math.max(from - groupStart, 0), Math.min(to - groupStart, groupRows)];
    if (first < last) {
      const wanted = { rowGroup, groupStart, groupRows, ranges: [[first, last]], columns: names, useOffsetIndex: true };
      const plan = table.parquet.parquetPlanGroup(wanted);
      const { asyncColumns } = table.parquet.readRowGroup(
        { file: table.bytes, metadata: table.metadata },
        { metadata: table.metadata },
        plan.groups[0],
      );
      const parts = await Promise.all(asyncColumns.map((/** @type {any} */ column) => column.data));
      asyncColumns.forEach((/** @type {any} */ column, /** @type {number} */ place) => {
        addRows(found[column.pathInSchema[0]], parts[place], first, last);
      });
    }
    groupStart += groupRows;
  }
  for (const name of names) if (found[name].length !== to - from) throw new Error(`column ${name} lacks rows`);
  return found;
}

/** @param {any[]} found @param {{data: ArrayLike<any>[], skipped: number}} parts pages of a column, the first of which begins at
 *   row `skipped` @param {number} first @param {number} last */
function addRows(found, { data, skipped }, first, last) {
  let start = skipped;
  for (const page of data) {
    for (let row = Math.max(first, start); row < Math.min(last, start + page.length); row += 1) found.push(page[row - start]);
    start += page.length;
  }
}

/** @param {Table} table @param {number} row @returns {Promise<Texts>} */
async function textsOf(table, row) {
  const found = await readRange(table, row, row + 1, TEXTS);
  const [prompt, chosen, rejected] = TEXTS.map((name) => shown(found[name][0] || ''));
  return { prompt, chosen, rejected };
}

/** A text as the page shows it: a very long one is cut. @param {string} text */
function shown(text) {
  if (text.length <= LONGEST_TEXT) return text;
  return `${text.slice(0, LONGEST_TEXT)}\n[cut here: ${(text.length - LONGEST_TEXT).toLocaleString('en')} more characters]`;
}

/** Which of the page's pairs hold some words. @param {Table} table @param {Held} held @param {string} words in lower case
 * @param {(share: number) => void} told the share that is done @param {() => boolean} stopped whether nobody waits any more
 * @returns {Promise<Uint8Array>} 1 for each pair that does */
async function searchTexts(table, held, words, told, stopped) {
  const found = new Uint8Array(held.rows.length);
  let pair = 0;
  for await (const { from, to, columns } of blocks(table, TEXTS)) {
    if (stopped()) break;
    for (; pair < held.rows.length && held.rows[pair] < to; pair += 1) {
      const at = held.rows[pair] - from;
      if (TEXTS.some((name) => (columns[name][at] || '').toLowerCase().includes(words))) found[pair] = 1;
    }
    told(to / held.n_rows);
  }
  return found;
}

/** A share as per cent in tens, which is not said anew for every block. @param {number} share */
function tens(share) {
  return `${10 * Math.floor(10 * share)} %`;
}

if (typeof module !== 'undefined') Object.assign(module.exports, { FileProblem, openPairs });
