// A browser with the built page in it, for the tests beside this file. They
// are run by `node --test`; `cargo xtask test --only page` builds everything and
// does that.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
export const site = process.env.IGVM_SITE ?? join(target, 'site');
export const shots = process.env.IGVM_SHOTS ?? join(target, 'web-shots');
const runner = process.env.IGVM_RUNNER ?? join(target, 'debug/kvm-runner');

const types = {
  html: 'text/html', css: 'text/css', js: 'text/javascript', wasm: 'application/wasm', svg: 'image/svg+xml',
};

/** The flags that let Chromium run in a container, and keep it from calling home. */
export const flags = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
export const chromiumPath = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** What `kvm-runner` prints, or an object of it where `--json` is among the arguments. */
export async function kvmRunner(...args) {
  const { stdout } = await promisify(execFile)(runner, args, { maxBuffer: 1 << 28 });
  return args.includes('--json') ? JSON.parse(stdout) : stdout;
}

/** A host of static files, under any path. */
async function serve() {
  const server = createServer(async ({ url }, response) => {
    const path = normalize(new URL(url, 'http://a').pathname.replace(/^\/under\/a\/path\//, ''));
    const file = path === '.' || path === '/' ? 'index.html' : path;
    try {
      const bytes = await readFile(join(site, file));
      response.setHeader('Content-Type', types[file.split('.').pop()] ?? 'application/octet-stream');
      response.end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

/**
 * Opens a browser on the page. `troubles` collects what must not happen:
 * requests that leave the origin, errors on the console.
 */
export async function start(options = {}) {
  await mkdir(shots, { recursive: true });
  const server = await serve();
  const origin = `http://127.0.0.1:${server.address().port}`;
  const home = `${origin}/under/a/path/`;
  const browser = await chromium.launch({ executablePath: chromiumPath, args: [...flags, ...options.flags ?? []] });
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 }, permissions: ['clipboard-read', 'clipboard-write'], ...options.context,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const troubles = [];
  context.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith('blob:') && !url.startsWith('about:')) troubles.push(`a request to ${url}`);
  });
  page.on('console', (said) => said.type() === 'error' && troubles.push(`console: ${said.text()}`));
  page.on('pageerror', (error) => troubles.push(`page: ${error.message}`));

  /** Goes to a focus, from nothing. */
  const visit = async (fragment) => {
    await page.goto('about:blank');
    await page.goto(home + fragment);
    await page.waitForSelector('body[data-state="open"]');
  };
  /** Goes to a focus as Back and links do, without a reload. */
  const go = async (fragment) => {
    await page.evaluate((fragment) => { location.hash = fragment; }, fragment);
  };
  /** The words that a person reads there. */
  const text = async (selector) => (await page.locator(selector).first().innerText()).replace(/\s+/g, ' ').trim();
  /** Drops a file onto the page. */
  const drop = async (name, bytes) => {
    const data = await page.evaluateHandle(([name, base64]) => {
      const transfer = new DataTransfer();
      const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([bytes], name));
      return transfer;
    }, [name, Buffer.from(bytes).toString('base64')]);
    await page.dispatchEvent('body', 'drop', { dataTransfer: data });
  };
  const screenshot = (name) => page.screenshot({ path: join(shots, `${name}.png`) });
  const sample = (name) => readFile(join(site, `samples/${name}.igvm`));
  /** Nothing may have gone wrong unseen. */
  const end = async () => {
    await browser.close();
    server.close();
    assert.deepEqual(troubles, []);
  };
  return { browser, context, page, home, origin, troubles, visit, go, text, drop, screenshot, sample, end, server };
}
