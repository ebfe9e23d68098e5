// The built page in a real browser: every sample, every pane, and the numbers
// that `kvm-runner state --json` has.
//
// usage: node run.mjs SITE KVM_RUNNER SCREENSHOTS
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const [site, runner, shots] = process.argv.slice(2);
const run = promisify(execFile);
const types = { html: 'text/html', css: 'text/css', js: 'text/javascript', wasm: 'application/wasm', svg: 'image/svg+xml' };

// Any host of static files will do, under any path.
const server = createServer(async ({ url }, response) => {
  const path = normalize(new URL(url, 'http://a').pathname.replace(/^\/under\/a\/path\//, ''));
  try {
    const bytes = await readFile(join(site, path === '.' || path === '/' ? 'index.html' : path));
    response.setHeader('Content-Type', types[path.split('.').pop()] ?? (path === '.' ? 'text/html' : 'application/octet-stream'));
    response.end(bytes);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const origin = `http://127.0.0.1:${server.address().port}`;
const home = `${origin}/under/a/path/`;

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
page.setDefaultTimeout(15000);

// Nothing may leave the origin, and nothing may go wrong unseen.
const troubles = [];
context.on('request', (request) => {
  if (!request.url().startsWith(origin)) troubles.push(`a request to ${request.url()}`);
});
page.on('console', (said) => said.type() === 'error' && troubles.push(`console: ${said.text()}`));
page.on('pageerror', (error) => troubles.push(`page: ${error.message}`));

const visit = async (fragment) => {
  await page.goto('about:blank');
  await page.goto(home + fragment);
  await page.waitForSelector('body[data-state="open"]');
};
const text = async (selector) => (await page.locator(selector).innerText()).replace(/\s+/g, ' ');
const screenshot = (name) => page.screenshot({ path: join(shots, `${name}.png`) });
const panes = ['overview', 'headers', 'memory', 'processors'];

await mkdir(shots, { recursive: true });
await page.goto(home);
await page.waitForSelector('.cards a');
const samples = await page.$$eval('.cards strong', (names) => names.map((name) => name.textContent));
const broken = await page.$$eval('.broken a', (names) => names.map((name) => name.textContent));
assert.ok(samples.length >= 10 && broken.length >= 50);

// The numbers of the page are those of the command line.
for (const name of samples) {
  const file = join(site, 'samples', `${name}.igvm`);
  await visit(`#sample=${name}&pane=processors`);
  const platform = await page.locator('.switch a[aria-current]').innerText();
  const { stdout } = await run(runner, ['state', '--json', '--platform', platform, file], { maxBuffer: 1 << 26 });
  const state = JSON.parse(stdout);
  const [processor] = state.processors;
  for (const [register, value] of Object.entries(processor.registers)) {
    const shown = page.locator(`[data-register="${register}"]`).first();
    const numbers = (await shown.locator('.num').allTextContents()).map((number) => BigInt(number));
    const expected = typeof value === 'string' ? [value]
      : [value.selector, value.base, value.limit, value.attributes].filter((part) => part !== undefined);
    assert.deepEqual(numbers.slice(0, expected.length), expected.map(BigInt), `${name}: ${register}`);
  }
  assert.ok((await text('.processor .lead')).toLowerCase().startsWith(processor.mode_because.toLowerCase()), name);

  await visit(`#sample=${name}&pane=memory`);
  const rows = await page.$$eval('.rows.memory > .line .range', (ranges) =>
    ranges.map((range) => [...range.querySelectorAll('.num')].map((number) => number.textContent)));
  for (const [at, extent] of state.memory.entries()) {
    const end = BigInt(extent.gpa) + BigInt(extent.length) - 1n;
    assert.deepEqual(rows[at].map(BigInt), [BigInt(extent.gpa), end], `${name}: memory ${at}`);
  }
}

// Every broken file is shown, or refused in a sentence.
for (const name of broken) {
  await page.goto('about:blank');
  await page.goto(`${home}#sample=${name}`);
  await page.waitForSelector('body[data-state="open"] .prose, #message:not(:empty)');
}

// One selection in every pane, and Back.
await visit('#v=1&sample=hello-long64&pane=processors');
await page.locator('[data-register="rip"]').click();
await page.waitForURL(/register=0\.rip/);
assert.match(await text('.inspector'), /rip of processor 0/);
await page.locator('.chain a', { hasText: 'header 7' }).click();
await page.waitForURL(/pane=headers.*header=7/);
await page.waitForSelector('#header-7[aria-expanded="true"]');
assert.match(await text('.detail'), /vp_index/);
await page.goBack();
await page.waitForSelector('[data-register="rip"][aria-current]');

// By keyboard alone.
await page.keyboard.press('2');
await page.waitForSelector('.rows.headers');
await page.keyboard.press('/');
await page.keyboard.type('vp_context');
await page.waitForFunction(() => document.querySelectorAll('.rows.headers > li').length === 1);
await page.keyboard.press('Escape');
await page.keyboard.press('3');
await page.waitForSelector('.rows.memory .line');

// A dropped file, and one that is none.
const drop = async (name, bytes) => {
  const data = await page.evaluateHandle(([name, bytes]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], name));
    return transfer;
  }, [name, [...bytes]]);
  await page.dispatchEvent('body', 'drop', { dataTransfer: data });
};
await drop('mine.igvm', await readFile(join(site, 'samples/parameters.igvm')));
await page.waitForFunction(() => document.querySelector('.file-name')?.textContent === 'mine.igvm');
await drop('photo.png', Buffer.from('\x89PNG....', 'latin1'));
await page.waitForSelector('#message:not(:empty)');
assert.match(await text('#message'), /photo\.png cannot be shown: not an IGVM file/);
assert.equal(await text('.file-name'), 'mine.igvm');

// Pictures to look at.
for (const colorScheme of ['light', 'dark']) {
  await page.emulateMedia({ colorScheme });
  for (const [size, viewport] of Object.entries({ wide: { width: 1280, height: 800 }, narrow: { width: 360, height: 740 } })) {
    await page.setViewportSize(viewport);
    await page.goto('about:blank');
    await page.goto(home);
    await page.waitForSelector('.cards a');
    await screenshot(`empty-${size}-${colorScheme}`);
    for (const pane of panes) {
      const selected = { headers: '&header=7', memory: '&guest=0x2000', processors: '&register=0.cr0' }[pane] ?? '';
      await visit(`#sample=parameters&pane=${pane}${selected}`);
      await page.waitForSelector('[data-region="pane"] > *');
      await page.waitForTimeout(100);
      await screenshot(`${pane}-${size}-${colorScheme}`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${pane} is ${overflow} px too wide at ${viewport.width} px`);
    }
  }
}

assert.deepEqual(troubles, []);
const pictures = (await readdir(shots)).length;
console.log(`${samples.length} samples, ${broken.length} broken files, ${pictures} screenshots`);
await browser.close();
server.close();
