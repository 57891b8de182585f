// The page's arithmetic, by node's own runner: node --test tests/report/page
const test = require('node:test');
const assert = require('node:assert');
const { gzipSync } = require('node:zlib');
const logic = require('../../../seal_datasets/report/page/logic.js');

const pack = (array) => gzipSync(Buffer.from(array.buffer)).toString('base64');
const column = (values, words) => ({ values: Float64Array.from(values), words });

test('blocks of every kind are decoded, and a missing code is no number', async () => {
  for (const [kind, values] of [
    ['i4', new Int32Array([1, -70000])],
    ['f4', new Float32Array([0.5, NaN])],
    ['f8', new Float64Array([0.1, 2])],
    ['u1', new Uint8Array([0, 200])],
  ]) {
    assert.deepStrictEqual([...(await logic.decode({ kind, data: pack(values) })).values], [...values]);
  }
  const labels = await logic.decode({ kind: 'i1', data: pack(new Int8Array([0, 1, -128])), missing: -128 });
  assert.deepStrictEqual([...labels.values], [0, 1, NaN]);
  assert.strictEqual(await logic.unpackJson(gzipSync(JSON.stringify('\ud800<script>')).toString('base64')), '\ud800<script>');
});

test('a state goes into the address and back, and an anchor is no state', () => {
  const state = { regime: 'became_aligned', q: 'a & b = c #1', stated: '0.5..0.6' };
  assert.deepStrictEqual(logic.readState(logic.writeState(state)), state);
  assert.deepStrictEqual(logic.readState('#how'), {});
  assert.strictEqual(logic.writeState({ aligned: 'no', q: '' }), '#aligned=no');
});

const columns = {
  reward_rm_chosen: column([2, 1, 0, 1]),
  reward_rm_rejected: column([1, 2, 0, 3]),
  feature_polite_chosen: column([1, 0, 1, NaN]),
  feature_polite_rejected: column([0, 1, 1, 0]),
  partition: column([1, 1, 2, 2], ['', 'heldout', 'train']),
};

test('filters keep what they name, together', () => {
  const rows = (state, band = 0) =>
    logic.select(4, logic.tests(columns, state, 'rm', band), logic.margins(columns, 'rm'), 'worst');
  assert.deepStrictEqual(rows({}), [3, 1, 2, 0]);
  assert.deepStrictEqual(rows({ aligned: 'no' }), [3, 1, 2]);
  assert.deepStrictEqual(rows({ aligned: 'yes' }, 1), []);
  assert.deepStrictEqual(rows({ more_rejected: 'polite' }), [1]);
  assert.deepStrictEqual(rows({ differs: 'polite' }), [1, 0]);
  assert.deepStrictEqual(rows({ partition: 'train', aligned: 'no' }), [3, 2]);
  assert.deepStrictEqual(rows({ partition: 'nowhere' }), []);
  assert.deepStrictEqual(rows({ stated: '0.7311..0.7311' }), [1, 0]);
});

test('differing words are those outside the longest common part', () => {
  const [left, right] = logic.differingWords('boil the eggs now', 'boil eggs slowly now');
  assert.strictEqual(left.map((word) => word.text).join(''), 'boil the eggs now');
  assert.deepStrictEqual(
    left.filter((word) => word.differs).map((word) => word.text),
    ['the'],
  );
  assert.deepStrictEqual(
    right.filter((word) => word.differs).map((word) => word.text),
    ['slowly'],
  );
  const long = 'x '.repeat(3000);
  assert.strictEqual(logic.differingWords(long, `${long}y`)[1].filter((word) => word.differs).length, 1);
  assert.strictEqual(logic.differingWords(long, `${long}\n\ny`)[1].filter((word) => word.differs).length, 1);
  assert.strictEqual(
    logic
      .markedWords('all new words', 'nothing like it')
      .flat()
      .some((word) => word.differs),
    false,
  );
});

test('imprints are those of a regression within prompts, with a collinear column left out', () => {
  const made = { prompt_id: column([0, 1, 2, 3]) };
  const a = [
    [1, 0],
    [0, 1],
    [1, 1],
    [0, 0],
  ];
  const b = [
    [0, 1],
    [0, 0],
    [1, 0],
    [1, 0],
  ];
  ['chosen', 'rejected'].forEach((side, s) => {
    made[`feature_a_${side}`] = column(a.map((row) => row[s]));
    made[`feature_b_${side}`] = column(b.map((row) => row[s]));
    made[`feature_twice_${side}`] = column(b.map((row) => 2 * row[s]));
    made[`reward_rm_${side}`] = column(a.map((row, i) => 5 * i + 2 * row[s] - 3 * b[i][s]));
  });
  const found = logic.imprint(made, 'rm', ['a', 'b'], [0, 1, 2, 3]);
  assert.ok(Math.abs(found[0] - 2) < 1e-12 && Math.abs(found[1] + 3) < 1e-12);
  const three = logic.imprint(made, 'rm', ['a', 'b', 'twice'], [0, 1, 2, 3]);
  assert.ok(Math.abs(three[0] - 2) < 1e-12);
  assert.strictEqual(three.filter(Number.isNaN).length, 1);
});

test('the check finds what differs', () => {
  const expected = {
    where: 'heldout',
    resistance: { rm: 0.5 },
    regimes: {},
    imprint: { model: 'rm', design: [], coefficients: {} },
  };
  assert.deepStrictEqual(logic.check(columns, 4, expected, 0), []);
  assert.match(logic.check(columns, 4, { ...expected, resistance: { rm: 0.25 } }, 0)[0], /resistance of rm: 0.5 and 0.25/);
});

test('models split a pair where one is aligned and another is not, by the band of each', () => {
  const made = {
    reward_a_chosen: column([1, 1, 0, 0.5]),
    reward_a_rejected: column([0, 0, 1, 0]),
    reward_b_chosen: column([1, 0, 0, 1]),
    reward_b_rejected: column([0, 1, 1, 0]),
  };
  const rows = (value, bands = {}) =>
    [0, 1, 2, 3].filter((row) => logic.tests(made, { split: value }, 'a', 0, ['a', 'b'], bands).every((test) => test(row)));
  assert.deepStrictEqual(rows('any'), [1]);
  assert.deepStrictEqual(rows('0.1'), [1]);
  assert.deepStrictEqual(rows('1.0'), []);
  assert.deepStrictEqual(rows('1.0', { a: 0.7 }), [3]); // within its band a model prefers neither
  assert.deepStrictEqual(rows('0.7'), []); // a link to models that the page does not have
});
