// @ts-check
// The page's behaviour: a reader of pairs whose whole state stands in the address, hints on pictures, and the page's check of
// itself. Texts become text nodes and never markup.

(async () => {
  const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const make = (/** @type {string} */ tag, /** @type {string} */ className = '', /** @type {string} */ text = '') => {
    const found = document.createElement(tag);
    if (className) found.className = className;
    if (text) found.textContent = text;
    return found;
  };
  const data = JSON.parse($('data').textContent || '{}');
  hints();
  downloads();
  if (!data.n) return;

  const names = Object.keys(data.columns);
  const decoded = await Promise.all(names.map((name) => decode(data.columns[name])));
  /** @type {Columns} */
  const columns = Object.fromEntries(names.map((name, place) => [name, decoded[place]]));
  const ids = await unpackJson(data.ids);
  const texts = {
    prompt: await unpackJson(data.texts.prompt),
    chosen: await unpackJson(data.texts.chosen),
    rejected: await unpackJson(data.texts.rejected),
  };
  const placeOf = new Map(data.texts.rows.map((/** @type {number} */ row, /** @type {number} */ place) => [row, place]));
  /** @type {PairFile | null} the audit's pairs.parquet, once the reader has opened it */
  let file = null;
  /** @type {Map<number, Texts | null>} texts read from it lately; null where they could not be read */
  const fetched = new Map();
  const crude =
    data.crude && columns[`feature_${data.crude}_chosen`]
      ? ['chosen', 'rejected'].map((side) => columns[`feature_${data.crude}_${side}`].values)
      : null;

  const wrong = data.expected ? check(columns, data.n, data.expected, data.tie_band) : [];
  const again = ['resistance'];
  if (data.expected?.has_regimes) again.push('regimes');
  if (data.expected?.imprint.design.length) again.push('imprints');
  $('check').textContent = !data.expected
    ? `This page holds a sample of the pairs (${data.n.toLocaleString('en')}), so it cannot compute the report's numbers again.`
    : wrong.length
      ? `✗ This page's own columns give other numbers: ${wrong.join('; ')}.`
      : `✓ This page computed its ${again.join(', ').replace(/, (?=[^,]*$)/, ' and ')} again from its ${data.n.toLocaleString('en')} pairs: all equal.`;

  /** @type {State} */
  let state = {};
  /** @type {number[]} */
  let rows = [];
  let at = 0;
  const marked = new Set();
  let fetching = false;
  /** @type {{q: string, hits: Uint8Array | null}} the last search of the opened file */
  let looked = { q: '', hits: null };
  const MOST_FETCHED = 500;
  const FILTERS = ['aligned', 'regime', 'partition', 'labeler', 'more_chosen', 'more_rejected', 'differs', 'stated', 'split'];
  const title = (/** @type {string} */ name) => data.titles[name] || name;
  /** @type {Map<string, Float64Array>} */
  const known = new Map();
  const marginOf = (/** @type {string} */ name) => {
    if (!known.has(name)) known.set(name, margins(columns, name));
    return /** @type {Float64Array} */ (known.get(name));
  };
  const bandOf = (/** @type {string} */ name) => data.tie_bands?.[name] ?? data.tie_band;
  const model = () => (data.models.includes(state.model) ? state.model : data.models[data.models.length - 1]);

  setUp();
  if (data.start && !location.hash) history.replaceState(null, '', writeState(data.start));
  if (data.file) await offerFile();
  addEventListener('hashchange', () => apply(true));
  document.addEventListener('keydown', onKey);
  apply(false);

  /** Words of a filter. @param {string} name @param {string} value */
  function words(name, value) {
    if (name === 'aligned') return value === 'yes' ? 'aligned' : 'resistant';
    if (name === 'more_chosen') return `chosen has more: ${title(value)}`;
    if (name === 'more_rejected') return `rejected has more: ${title(value)}`;
    if (name === 'differs') return `differ in ${title(value)}`;
    if (name === 'stated')
      return `stated ${value
        .split('..')
        .map((each) => `${Math.round(100 * Number(each))} %`)
        .join(' to ')}`;
    if (name === 'split') {
      const [one, other] = value.split('.').map((place) => data.models[Number(place)]);
      return other ? `${one} prefers chosen, ${other} does not` : 'models disagree';
    }
    if (name === 'partition') return value === 'heldout' ? 'held out' : 'trained on';
    if (name === 'labeler') return `labeler: ${value}`;
    return value.replace(/_/g, ' ');
  }

  function setUp() {
    const pick = /** @type {HTMLSelectElement} */ ($('model'));
    for (const name of data.models) pick.append(new Option(name, name));
    pick.parentElement?.toggleAttribute('hidden', data.models.length < 2);
    pick.onchange = () => go({ ...state, model: pick.value });
    const order = /** @type {HTMLSelectElement} */ ($('order'));
    for (const [value, text] of [
      ['worst', 'most wrong first'],
      ['best', 'most right first'],
      ['close', 'closest first'],
      ['file', 'as in the data'],
    ])
      order.append(new Option(text, value));
    order.onchange = () => go({ ...state, order: order.value });
    const add = /** @type {HTMLSelectElement} */ ($('add'));
    const choices = [
      ['aligned', 'no'],
      ['aligned', 'yes'],
    ];
    if (data.compares) {
      choices.unshift(['split', 'any']);
      for (const one of data.models.keys())
        for (const other of data.models.keys()) if (one !== other) choices.push(['split', `${one}.${other}`]);
    }
    const last = columns[`regime_${data.models[data.models.length - 1]}`];
    if (last) for (const word of (last.words || []).slice(1)) choices.push(['regime', word]);
    if (columns.partition) choices.push(['partition', 'heldout'], ['partition', 'train']);
    if (columns.labeler_preference) for (const word of ['chosen', 'rejected', 'indifferent']) choices.push(['labeler', word]);
    for (const name of data.features) choices.push(['more_chosen', name], ['more_rejected', name]);
    for (const [name, value] of choices) add.append(new Option(words(name, value), `${name}=${value}`));
    add.onchange = () => {
      const [name, value] = add.value.split('=');
      add.value = '';
      if (name) go({ ...state, [name]: value, pair: '' });
    };
    const search = /** @type {HTMLInputElement} */ ($('search'));
    /** @type {any} */
    let wait;
    search.oninput = () => {
      clearTimeout(wait);
      wait = setTimeout(() => go({ ...state, q: search.value, pair: '' }, true), 250);
    };
    $('list').addEventListener('scroll', paint);
    $('list').addEventListener('keydown', (event) => {
      if (event.key === 'ArrowDown') step(1, event);
      if (event.key === 'ArrowUp') step(-1, event);
    });
    $('export').onclick = save;
    $('reader').hidden = false;
  }

  /** @param {State} next @param {boolean} [quietly] whether the address replaces the present one */
  function go(next, quietly = false) {
    const hash = writeState(next);
    if (quietly) {
      history.replaceState(null, '', hash);
      apply(false);
    } else location.hash = hash;
  }

  /** @param {boolean} scroll */
  function apply(scroll) {
    const hash = location.hash;
    if (hash && !hash.includes('=')) return;
    state = readState(hash);
    const margin = marginOf(model());
    const kept = tests(columns, state, model(), bandOf(model()), data.models, data.tie_bands);
    const q = (state.q || '').toLowerCase();
    const hits = file && q ? lookFor(q) : null;
    if (q) {
      kept.push((row) => {
        if (ids[row].toLowerCase() === q) return true;
        if (hits) return hits[row] === 1;
        const found = placeOf.has(row) ? textsOf(row) : null;
        return Boolean(found) && Object.values(/** @type {Texts} */ (found)).some((text) => text.toLowerCase().includes(q));
      });
    }
    const order = state.order || 'worst';
    rows = select(data.n, kept, margin, order);
    at = Math.max(0, state.pair ? rows.findIndex((row) => ids[row] === state.pair) : 0);
    /** @type {HTMLSelectElement} */ ($('model')).value = model();
    /** @type {HTMLSelectElement} */ ($('order')).value = order;
    const search = /** @type {HTMLInputElement} */ ($('search'));
    if (document.activeElement !== search) search.value = state.q || '';
    chips();
    const covers = hits
      ? `all ${data.n.toLocaleString('en')} pairs`
      : `the ${data.texts.rows.length.toLocaleString('en')} pairs that this page holds`;
    const partly = q && data.texts.rows.length < data.n ? ` Searched are the ids, and the texts of ${covers}.` : '';
    $('count').textContent = `${rows.length.toLocaleString('en')} of ${data.n.toLocaleString('en')} pairs.${partly}`;
    list();
    show();
    if (scroll && Object.keys(state).length) $('pairs').scrollIntoView();
  }

  /** Let the reader open the audit's pairs.parquet, for texts that the page does not hold. */
  async function offerFile() {
    const { values } = await decode(data.file.steps);
    let row = 0;
    const places = Int32Array.from(values, (step) => (row += step));
    const last = data.models[data.models.length - 1];
    const rewards = Object.fromEntries(
      ['chosen', 'rejected'].map((side) => [`reward_${last}_${side}`, columns[`reward_${last}_${side}`].values]),
    );
    fileControl({ n_rows: data.file.n_rows, ids, rows: places, rewards }, (opened) => {
      file = opened;
      looked = { q: '', hits: null };
      fetched.clear();
      apply(false);
    });
  }

  /** Texts of a pair: held by the page, or read from the file; null where they cannot be read, undefined where they are not yet.
   * @param {number} row @returns {Texts | null | undefined} */
  function textsOf(row) {
    const place = placeOf.get(row);
    if (place === undefined) return fetched.get(row);
    const [prompt, chosen, rejected] = [texts.prompt, texts.chosen, texts.rejected].map((each) => each[place] || '');
    return { prompt, chosen, rejected };
  }

  /** Read the texts of the present pair, then those of the rows in sight. */
  async function fetchTexts() {
    if (!file || fetching) return;
    fetching = true;
    for (let row = nextToFetch(); row !== undefined; row = nextToFetch()) {
      /** @type {PairFile} */
      const from = file;
      const found = await from.texts(row).catch(() => null);
      if (from !== file) continue;
      if (fetched.size >= MOST_FETCHED) fetched.delete(/** @type {number} */ (fetched.keys().next().value));
      fetched.set(row, found);
      if (row === rows[at]) show();
      const line = document.querySelector(`#list [data-row="${row}"]`);
      if (line) line.lastElementChild?.replaceWith(snippet(row));
    }
    fetching = false;
  }

  /** @returns {number | undefined} */
  function nextToFetch() {
    const [from, to] = inSight();
    return [rows[at], ...rows.slice(from, to)].find((row) => row !== undefined && textsOf(row) === undefined);
  }

  /** Which pairs hold some words in the opened file; null while that is being found out. @param {string} q */
  function lookFor(q) {
    if (looked.q === q) return looked.hits;
    const mine = { q, hits: /** @type {Uint8Array | null} */ (null) };
    looked = mine;
    const stopped = () => looked !== mine || (state.q || '').toLowerCase() !== q;
    const told = (/** @type {number} */ share) => {
      const text = `Searching the texts of all pairs: ${tens(share)} …`;
      if (!stopped() && $('count').textContent !== text) $('count').textContent = text;
    };
    /** @type {PairFile} */ (file).search(q, told, stopped).then(
      (hits) => {
        if (stopped()) {
          if (looked === mine) looked = { q: '', hits: null };
          return;
        }
        mine.hits = hits;
        apply(false);
      },
      () => {
        $('count').textContent = 'The opened file cannot be read any more: open it again.';
      },
    );
    return null;
  }

  function chips() {
    const box = $('chips');
    box.replaceChildren();
    for (const name of [...FILTERS, 'q']) {
      if (!state[name]) continue;
      const text = name === 'q' ? `“${state.q}”` : words(name, state[name]);
      const chip = make('button', 'chip on', `${text} ×`);
      chip.setAttribute('aria-label', `Remove the filter ${text}`);
      chip.onclick = () => go({ ...state, [name]: '', pair: '' });
      box.append(chip);
    }
  }

  function list() {
    const box = $('list');
    const inner = make('div', 'rows');
    inner.style.height = `${rows.length * 30}px`;
    box.replaceChildren(inner);
    keep();
    paint();
  }

  /** Scroll the list so that the present pair is in sight. */
  function keep() {
    const box = $('list');
    const top = at * 30;
    if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 30) box.scrollTop = Math.max(0, top - 90);
  }

  /** Places of the list's lines that are in sight, or nearly. @returns {[number, number]} */
  function inSight() {
    const box = $('list');
    const from = Math.max(0, Math.floor(box.scrollTop / 30) - 4);
    return [from, Math.min(rows.length, from + Math.ceil((box.clientHeight || 246) / 30) + 8)];
  }

  /** The beginning of a pair's chosen response. @param {number} row */
  function snippet(row) {
    return make('span', isCrude(row) ? 'blur' : '', (textsOf(row)?.chosen || '').slice(0, 160).replace(/\s+/g, ' '));
  }

  function paint() {
    const inner = /** @type {HTMLElement} */ ($('list').firstElementChild);
    const margin = marginOf(model());
    const [from, to] = inSight();
    inner.replaceChildren();
    for (let place = from; place < to; place += 1) {
      const row = rows[place];
      const line = make('div', `row${place === at ? ' on' : ''}${marked.has(row) ? ' marked' : ''}`);
      line.style.top = `${place * 30}px`;
      line.setAttribute('role', 'option');
      line.setAttribute('aria-selected', String(place === at));
      line.dataset.row = String(row);
      line.append(make('span', '', ids[row]), make('span', 'margin', margin[row].toFixed(2)), snippet(row));
      line.onclick = () => turn(place);
      inner.append(line);
    }
    fetchTexts();
  }

  /** @param {number} place */
  function turn(place) {
    if (place < 0 || place >= rows.length) return;
    at = place;
    state = { ...state, pair: ids[rows[at]] };
    history.replaceState(null, '', writeState(state));
    keep();
    paint();
    show();
  }

  /** @param {number} by @param {Event} event */
  function step(by, event) {
    event.preventDefault();
    turn(at + by);
  }

  /** @param {number} row */
  function isCrude(row) {
    return Boolean(crude && (crude[0][row] > 0 || crude[1][row] > 0));
  }

  function show() {
    const box = $('pair');
    box.replaceChildren();
    const row = rows[at];
    if (row === undefined) {
      box.append(make('p', 'empty', 'No pair passes these filters: remove one.'));
      return;
    }
    const found = textsOf(row);
    box.append(make('p', 'meta', why(row)));
    const pair = make('div', 'pair');
    const blur = isCrude(row) ? ' blur' : '';
    if (found) box.append(make('div', `text prompt${blur}`, found.prompt.trim()));
    const parts = found ? markedWords(found.chosen.trim(), found.rejected.trim()) : null;
    ['chosen', 'rejected'].forEach((side, which) => {
      const half = make('div', side[0]);
      const rewards = data.models.map(
        (/** @type {string} */ name) =>
          `${data.models.length > 1 ? `${name} ` : ''}${columns[`reward_${name}_${side}`].values[row].toFixed(2)}`,
      );
      half.append(make('div', 'meta', `${side} · reward ${rewards.join(', ')}`));
      const text = make('div', `text${blur}`);
      if (parts)
        for (const word of parts[which])
          text.append(word.differs ? make('mark', '', word.text) : document.createTextNode(word.text));
      else text.append(make('span', 'meta', missing(found)));
      half.append(text);
      pair.append(half);
    });
    box.append(pair, make('p', 'meta', labels(row)));
    const tools = make('p', 'meta');
    const mark = make('button', '', marked.has(row) ? 'unmark' : 'mark');
    mark.onclick = () => toggle(row);
    const copy = make('button', '', 'copy id');
    copy.onclick = () => copyId(row);
    tools.append(`pair ${ids[row]} `, mark, ' ', copy);
    box.append(tools);
  }

  /** Why no text is shown. @param {Texts | null | undefined} found */
  function missing(found) {
    if (found === null)
      return 'The texts of this pair cannot be read: the opened file is damaged, or was moved. Open it again.';
    if (file) return 'Reading …';
    if (data.file === null) return 'This audit’s pairs.parquet holds no texts.';
    return `This page does not hold the texts of this pair; pairs.parquet does${data.file ? ': open it above' : ''}.`;
  }

  /** Why a pair is here. @param {number} row */
  function why(row) {
    const said = (data.compares ? data.models : [model()]).map((/** @type {string} */ name) => {
      const [margin, band] = [marginOf(name)[row], bandOf(name)];
      return `${name} ${margin > band ? 'prefers the chosen response' : margin < -band ? 'prefers the rejected response' : 'prefers neither'}, by ${Math.abs(margin).toFixed(2)}`;
    });
    for (const name of ['partition', `regime_${model()}`, 'labeler_preference']) {
      const column = columns[name];
      const word = column?.words ? column.words[column.values[row]] : '';
      if (word) said.push(words(name === 'labeler_preference' ? 'labeler' : name.startsWith('regime') ? 'regime' : name, word));
    }
    return `${said.join(' · ')}.`;
  }

  /** Features in which the responses of a pair differ. @param {number} row */
  function labels(row) {
    const said = [];
    for (const name of data.features) {
      const [chosen, rejected] = ['chosen', 'rejected'].map((side) => columns[`feature_${name}_${side}`].values[row]);
      if (chosen !== rejected && !(Number.isNaN(chosen) && Number.isNaN(rejected))) {
        const shown = [chosen, rejected].map((value) =>
          Number.isNaN(value) ? 'no label' : Number.isInteger(value) ? String(value) : value.toFixed(2),
        );
        said.push(`${title(name)} ${shown[0]} against ${shown[1]}`);
      }
    }
    return said.length ? `Differ (chosen against rejected): ${said.join('; ')}.` : 'No labelled feature differs.';
  }

  /** @param {number} row */
  function toggle(row) {
    if (marked.has(row)) marked.delete(row);
    else marked.add(row);
    paint();
    show();
    $('export').textContent = marked.size ? `Export ${marked.size} marked pairs` : 'Export marked pairs';
  }

  /** @param {number} row */
  function copyId(row) {
    const done = () => {
      $('count').textContent = `Copied ${ids[row]}.`;
    };
    if (navigator.clipboard) navigator.clipboard.writeText(ids[row]).then(done, () => prompt('The id of the pair', ids[row]));
    else prompt('The id of the pair', ids[row]);
  }

  function save() {
    const lines = [...marked].sort((a, b) => a - b).map((row) => JSON.stringify({ pair_id: ids[row] }));
    if (lines.length) offer('marked_pairs.jsonl', 'application/x-ndjson', `${lines.join('\n')}\n`);
    else $('count').textContent = 'No pair is marked yet: press m.';
  }

  /** @param {KeyboardEvent} event */
  function onKey(event) {
    const typing = event.target instanceof HTMLElement && /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing) {
      if (event.key === 'Escape') /** @type {HTMLElement} */ (event.target).blur();
      return;
    }
    if (event.key === 'j') step(1, event);
    else if (event.key === 'k') step(-1, event);
    else if (event.key === 'm' && rows[at] !== undefined) toggle(rows[at]);
    else if (event.key === 'c' && rows[at] !== undefined) copyId(rows[at]);
    else if (event.key === 'b') for (const each of document.querySelectorAll('#pair .blur')) each.classList.remove('blur');
    else if (event.key === '/') {
      event.preventDefault();
      $('search').focus();
    }
  }

  document.addEventListener('click', (event) => {
    const target = event.target;
    if (target instanceof HTMLElement && target.closest('#pair .blur')) target.closest('.blur')?.classList.remove('blur');
  });

  /** Hints on marks of pictures, by pointer and by keyboard. */
  function hints() {
    const tip = $('tip');
    const told = (/** @type {EventTarget | null} */ target) =>
      target instanceof Element ? target.closest('.chart [data-told]') : null;
    const open = (/** @type {Element | null} */ mark) => {
      const text = mark?.getAttribute('data-told');
      tip.hidden = !text;
      if (!mark || !text) return;
      tip.textContent = text;
      const box = mark.getBoundingClientRect();
      tip.style.left = `${Math.max(8, Math.min(box.left + scrollX, scrollX + innerWidth - tip.offsetWidth - 8))}px`;
      tip.style.top = `${box.top + scrollY - tip.offsetHeight - 8}px`;
    };
    document.addEventListener('pointerover', (event) => open(told(event.target)));
    document.addEventListener('focusin', (event) =>
      open(
        event.target instanceof Element && event.target.closest('.chart') ? event.target.querySelector('[data-told]') : null,
      ),
    );
  }

  function downloads() {
    document.querySelectorAll('button[data-svg]').forEach((button) => {
      button.addEventListener('click', () => {
        const figure = $(button.getAttribute('data-svg') || '');
        const svg = figure.querySelector('.wide svg');
        if (svg) offer(`${figure.id}.svg`, 'image/svg+xml', svg.outerHTML);
      });
    });
  }

  /** @param {string} name @param {string} kind @param {string} content */
  function offer(name, kind, content) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([content], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
})();
