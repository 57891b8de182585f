// Bundle the library that a report's page holds, with its licence, and record what was bundled: npm run vendor
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const out = process.argv[2] ?? `${root}seal_datasets/report/page/vendor`;
// Of hyparquet only what reads some rows of some columns; filters, bloom filters and writers of queries stay out.
const ENTRY = `
export { parquetMetadataAsync } from 'hyparquet/src/metadata.js';
export { parquetPlanGroup } from 'hyparquet/src/plan.js';
export { readRowGroup } from 'hyparquet/src/rowgroup.js';
`;

const read = (name) => readFileSync(`${root}${name}`, 'utf8');
const locked = JSON.parse(read('package-lock.json')).packages;
const { version, integrity, license } = locked['node_modules/hyparquet'];
const licence = read('node_modules/hyparquet/LICENSE');
const { outputFiles } = await build({
  stdin: { contents: ENTRY, resolveDir: root },
  bundle: true,
  minify: true,
  format: 'iife',
  globalName: 'hyparquet',
  platform: 'browser',
  target: 'es2022',
  charset: 'ascii',
  banner: { js: `/*! hyparquet ${version}\n\n${licence.trim()} */` },
  footer: { js: "if (typeof module !== 'undefined') module.exports = hyparquet;" },
  write: false,
});
const [{ contents }] = outputFiles;
const record = {
  hyparquet: {
    version,
    license,
    integrity,
    bundled_by: `esbuild ${locked['node_modules/esbuild'].version}`,
    bytes: contents.length,
    sha256: createHash('sha256').update(contents).digest('hex'),
  },
};
mkdirSync(out, { recursive: true });
writeFileSync(`${out}/hyparquet.js`, contents);
writeFileSync(`${out}/hyparquet.LICENSE`, licence);
writeFileSync(`${out}/libraries.json`, `${JSON.stringify(record, null, 2)}\n`);
