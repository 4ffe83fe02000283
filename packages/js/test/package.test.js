// The package as it is published. Needs the development packages.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const PACKAGE = fileURLToPath(new URL('..', import.meta.url));
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
const run = (command, args, cwd) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));

let folder;
let app;
let packed;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'js-package-'));
  app = join(folder, 'app');
  // Only what git holds, beside the compiler.
  const source = join(folder, 'source');
  for (const name of [...manifest.files.filter((file) => file !== 'types'), 'package.json', 'tsconfig.json', 'README.md', 'LICENSE']) {
    cpSync(join(PACKAGE, name), join(source, name), { recursive: true });
  }
  cpSync(join(PACKAGE, 'node_modules'), join(source, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  [packed] = JSON.parse(run(npm, ['pack', '--json', '--pack-destination', folder], source).replace(/^[^[]*/, ''));
  cpSync(join(PACKAGE, 'test/kit/consumer'), app, { recursive: true });
  run(npm, ['install', '--no-audit', '--no-fund', '--offline', join(folder, packed.filename)], app);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('it contains sources, types and documents, and nothing else', () => {
  const files = packed.files.map(({ path }) => path);
  const modules = readdirSync(join(PACKAGE, 'src')).map((name) => name.replace(/\.js$/, ''));
  const wanted = [...modules.flatMap((name) => [`src/${name}.js`, `types/${name}.d.ts`]), 'package.json', 'README.md', 'CHANGELOG.md', 'LICENSE'];
  assert.deepEqual(files.sort(), wanted.sort());
  assert.equal(manifest.dependencies, undefined);
});

test('installed into an empty project, every entry but React’s runs without another package', () => {
  const entries = Object.keys(manifest.exports).filter((entry) => !/react|json/.test(entry));
  for (const entry of entries) {
    const name = entry.replace('.', manifest.name);
    assert.match(run(process.execPath, ['--input-type=module', '-e', `import * as all from '${name}'; console.log(Object.keys(all).join())`], app), /\w/);
  }
  const core = run(process.execPath, ['--input-type=module', '-e', `import * as all from '${manifest.name}'; console.log(Object.keys(all).sort().join())`], app);
  assert.equal(core.trim(), 'Gap,Refused,emptyConversation,openStream,reduceConversation,verifyWebhook');
  assert.deepEqual(readdirSync(join(app, 'node_modules')).filter((name) => !name.startsWith('.')), [manifest.name]);
});

test('its types serve a strict TypeScript program, and catch mistakes', () => {
  for (const name of ['typescript', '@types']) {
    cpSync(join(PACKAGE, 'node_modules', name), join(app, 'node_modules', name), { recursive: true });
  }
  for (const name of readdirSync(join(PACKAGE, 'node_modules')).filter((name) => /^(@typescript|csstype)$/.test(name))) {
    cpSync(join(PACKAGE, 'node_modules', name), join(app, 'node_modules', name), { recursive: true });
  }
  const tsc = join(PACKAGE, 'node_modules/typescript/bin/tsc');
  const options = ['--strict', '--noEmit', '--target', 'es2022', '--lib', 'es2022,dom', '--types', ''];
  for (const kind of [['--module', 'nodenext'], ['--module', 'esnext', '--moduleResolution', 'bundler']]) {
    run(process.execPath, [tsc, ...options, ...kind, 'uses.ts'], app);
    const wrong = "import { openStream } from 'livekit-streaming-hub';\nopenStream({ rooms: 'a' });\nopenStream({ replay: 'many' });\n";
    writeFileSync(join(app, 'wrong.ts'), wrong);
    assert.throws(
      () => run(process.execPath, [tsc, ...options, ...kind, 'wrong.ts'], app),
      ({ stdout }) => /wrong\.ts\(2/.test(stdout) && /wrong\.ts\(3/.test(stdout),
    );
  }
});

test('the sources pass the type checker', () => {
  run(process.execPath, [join(PACKAGE, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--noEmit'], PACKAGE);
});

const all = (...entries) => entries.map((entry) => `export * from './src/${entry}.js';`).join('\n');

/** Of what a page loads at once; modules that are imported on demand are chunks of their own. */
async function sizeOf(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: PACKAGE },
    bundle: true,
    splitting: true,
    outdir: 'out',
    minify: true,
    format: 'esm',
    target: 'es2022',
    external: ['react'],
    write: false,
    // Reads like Terser's default, so that numbers compare.
    legalComments: 'none',
  });
  const { contents: loaded } = outputFiles.find(({ path }) => path.endsWith('stdin.js'));
  return gzipSync(loaded, { level: 9 }).length;
}

test('the core stays within 8 KiB minified and gzipped, and the hooks add at most 2', async (context) => {
  const core = await sizeOf(all('index'));
  const hooks = (await sizeOf(all('index', 'react'))) - core;
  context.diagnostic(`core ${core} bytes, hooks ${hooks} more`);
  assert.ok(core <= 8 * 1024, `core: ${core} bytes`);
  assert.ok(hooks <= 2 * 1024, `hooks: ${hooks} bytes`);
});

test('the README has the current sizes', async () => {
  const core = await sizeOf(all('index'));
  const sizes = {
    'all of the core': core,
    '`openStream` alone': await sizeOf("export { openStream } from './src/index.js';"),
    '`./react` besides': (await sizeOf(all('index', 'react'))) - core,
    '`./next`': await sizeOf(all('next')),
    '`./figures`': await sizeOf(all('figures')),
    '`./webhook`': await sizeOf(all('webhook')),
  };
  const readme = readFileSync(join(PACKAGE, 'README.md'), 'utf8');
  const shown = [...readme.matchAll(/^\| (.+) \| (\d+\.\d) KiB \|$/gm)].map(([, name, size]) => [name, size]);
  assert.deepEqual(shown, Object.entries(sizes).map(([name, bytes]) => [name, (bytes / 1024).toFixed(1)]));
});
