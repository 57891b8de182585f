// Texts read from a Parquet file, by node's own runner. tests/report/page/test_logic.py writes the files and names their folder.
const test = require('node:test');
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const parquet = require('../../../seal_datasets/report/page/vendor/hyparquet.js');
const { openPairs } = require('../../../seal_datasets/report/page/pair_file.js');

const folder = process.env.SEAL_PAIR_FILES;
const skip = folder ? false : 'SEAL_PAIR_FILES names no folder; tests/report/page/test_logic.py makes one';
const held = () => {
  const { n_rows, ids, rows, rewards } = JSON.parse(fs.readFileSync(path.join(folder, 'held.json'), 'utf8'));
  const numbers = Object.entries(rewards).map(([name, values]) => [name, Float64Array.from(values, (value) => value ?? NaN)]);
  return { n_rows, ids, rows: Int32Array.from(rows), rewards: Object.fromEntries(numbers) };
};
const opened = (name) => {
  const content = fs.readFileSync(path.join(folder, name));
  const file = { name, size: content.length, read: 0 };
  file.slice = (start, end) => ({
    arrayBuffer: async () => {
      file.read += end - start;
      return Uint8Array.from(content.subarray(start, end)).buffer;
    },
  });
  return file;
};
const open = (file, told = () => {}) => openPairs(parquet, file, held(), told);
const textsOf = (row) => ({ prompt: `Prompt ${row}`, chosen: row % 7 ? `chosen é ${row}` : '', rejected: `rejected ${row}` });

for (const name of ['pairs.parquet', 'plain.parquet']) {
  test(`texts of any pair of ${name} are those of its row`, { skip }, async () => {
    const shares = [];
    const file = await open(opened(name), (share) => shares.push(share));
    assert.deepStrictEqual([shares.at(-1), shares.every((share) => share > 0)], [1, true]);
    const { rows } = held();
    for (const pair of [0, 1, 70, rows.length - 1]) {
      const found = await file.texts(pair);
      for (const [side, text] of Object.entries(textsOf(rows[pair]))) assert.strictEqual(found[side].split(' |')[0], text);
    }
  });
}

test('one pair is read without the rest of the file, and a very long text is cut', { skip }, async () => {
  const source = opened('pairs.parquet');
  const file = await open(source);
  source.read = 0;
  const { rejected } = await file.texts(200);
  assert.ok(source.read < source.size / 2, `${source.read} of ${source.size} bytes`);
  assert.ok(!rejected.includes('cut here'));
  assert.match((await file.texts(held().rows.length - 2)).prompt, /\n\[cut here: 10,011 more characters\]$/);
});

test('a search finds every pair, and stops when nobody waits', { skip }, async () => {
  const file = await open(opened('pairs.parquet'));
  const { rows } = held();
  const found = await file.search(
    'chosen é 1',
    () => {},
    () => false,
  );
  const wanted = [...rows].map((row) => Number(textsOf(row).chosen.startsWith('chosen é 1')));
  assert.deepStrictEqual([...found], wanted);
  assert.ok(wanted.includes(1));
  assert.strictEqual(
    (
      await file.search(
        'chosen',
        () => {},
        () => true,
      )
    ).includes(1),
    false,
  );
});

for (const [name, message] of [
  ['pairs.csv', /^“pairs.csv” is not a Parquet file. Needed is pairs.parquet of this report’s own folder.$/],
  ['empty.parquet', /is not a Parquet file/],
  ['short.parquet', /is not whole: its end is missing/],
  ['broken.parquet', /cannot be read; it is damaged, or was moved/],
  ['something.parquet', /holds no column pair_id, so it is of something else/],
  ['numbers.parquet', /holds no text in column prompt/],
  ['zstd.parquet', /is compressed by ZSTD; the page reads SNAPPY/],
  ['fewer.parquet', /holds 2,999 pairs, and this report’s file 3,000: it is of another audit/],
  ['ids.parquet', /where this report has the pair “p1”, it has “q1”/],
  ['rewards.parquet', /the pair “p2999” has another reward_rm_rejected there \(5\)/],
]) {
  test(`${name} is refused in plain words`, { skip }, async () => {
    await assert.rejects(open(opened(name)), { message });
  });
}
