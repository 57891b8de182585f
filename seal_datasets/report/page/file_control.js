// @ts-check
// The place where a reader opens pairs.parquet: a file input, and the page itself for a file that is dropped on it.

/** @param {Held} held @param {(file: PairFile) => void} opened called with a file that is this page's */
function fileControl(held, opened) {
  const [box, input, said] = ['open', 'file', 'opened'].map((id) => /** @type {HTMLElement} */ (document.getElementById(id)));
  let last = 0;

  /** @param {File | null | undefined} file */
  async function use(file) {
    if (!file) return;
    last += 1;
    const mine = last;
    const tell = (/** @type {string} */ text, /** @type {string} */ state) => {
      if (mine !== last || said.textContent === text) return;
      said.textContent = text;
      box.dataset.state = state;
    };
    const comparing = (/** @type {number} */ share) =>
      tell(`Comparing “${file.name}” with this report: ${tens(share)} …`, 'busy');
    comparing(0);
    try {
      const found = await openPairs(hyparquet, file, held, comparing);
      if (mine !== last) return;
      tell(
        `✓ “${file.name}” is this report’s file: the texts of all ${held.rows.length.toLocaleString('en')} pairs are read from it.`,
        'open',
      );
      opened(found);
    } catch (problem) {
      tell(`✗ ${problem instanceof Error ? problem.message : problem}`, 'wrong');
    }
  }

  // The same file can be chosen again, after it was mended.
  input.addEventListener('click', () => {
    /** @type {HTMLInputElement} */ (input).value = '';
  });
  input.addEventListener('change', () => {
    const { files } = /** @type {HTMLInputElement} */ (input);
    use(files?.[0]);
  });
  const carriesFile = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes('Files');
  document.addEventListener('dragover', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    box.classList.add('over');
  });
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) box.classList.remove('over');
  });
  document.addEventListener('drop', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    box.classList.remove('over');
    const files = [...(event.dataTransfer?.files || [])];
    use(files.find((each) => each.name.endsWith('.parquet')) || files[0]);
  });
  box.hidden = false;
}
