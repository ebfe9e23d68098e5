// What is taken away is what kvm-runner prints and what the page shows.
import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { kvmRunner, site, start } from './harness.mjs';

let web;
let page;
let folder;
before(async () => {
  web = await start();
  page = web.page;
  folder = await mkdtemp(join(tmpdir(), 'igvm-export-'));
});
after(() => web.end());

const file = (name) => join(site, 'samples', `${name}.igvm`);

/** What a click makes the browser save. */
async function saved(click) {
  const [download] = await Promise.all([page.waitForEvent('download'), click()]);
  const path = join(folder, download.suggestedFilename());
  await download.saveAs(path);
  return { path, name: download.suggestedFilename() };
}
const save = (value) => saved(() => page.locator(`[data-act="export"][data-value="${value}"]`).click());

test('the JSON is that of kvm-runner', async () => {
  for (const name of ['hello-long64', 'parameters', 'platforms', 'overlap']) {
    await web.visit(`#sample=${name}&pane=export&cpus=2&memory=0x20000000`);
    const platform = await web.page.locator('.switch a[aria-current]').first().innerText();
    const { path, name: as } = await save('json');
    assert.equal(as, `${name}.json`);
    const ours = JSON.parse(await readFile(path));
    const host = ['--cpus', '2', '--memory', '512M'];
    assert.equal(ours.file, name);
    assert.deepEqual(ours.inspect, await kvmRunner('inspect', '--json', file(name)));
    assert.deepEqual(ours.state, await kvmRunner('state', '--json', '--platform', platform, ...host, file(name)));
    assert.deepEqual(ours.check, await kvmRunner('check', '--json', ...host, file(name)));
  }
});

test('a range of guest memory is what kvm-runner reads, also where nothing is written', async () => {
  for (const [name, address, length] of [
    ['hello-long64', '0x0', '0x8000'], ['parameters', '0x1ff0', '64K'], ['overlap', '0x0', '2M'],
  ]) {
    await web.visit(`#sample=${name}&pane=export`);
    await page.fill('#export-from', address);
    await page.fill('#export-bytes', length);
    const { path } = await saved(() => page.press('#export-bytes', 'Enter'));
    const out = join(folder, 'expected');
    await kvmRunner('state', file(name), '--read', `${address}:${length}`, '--out', out);
    assert.ok((await readFile(path)).equals(await readFile(out)), name);
  }
});

test('a gigabyte costs nothing, too much is refused in a sentence', async () => {
  await web.visit('#sample=hello-long64&pane=export');
  await page.fill('#export-bytes', '5G');
  await page.press('#export-bytes', 'Enter');
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /At most 4 GiB/);
  await page.fill('#export-bytes', '512M');
  const begun = Date.now();
  const { path } = await saved(() => page.press('#export-bytes', 'Enter'));
  const bytes = await readFile(path);
  assert.equal(bytes.length, 512 << 20);
  console.log(`512 MiB of guest memory saved in ${Date.now() - begun} ms`);
});

test('the file itself is saved as it is', async () => {
  await web.visit('#sample=hello-long64&pane=export');
  const { path, name } = await save('file');
  assert.equal(name, 'hello-long64.igvm');
  assert.ok((await readFile(path)).equals(await web.sample('hello-long64')));
});

test('the report shows the same numbers, offline and under its own policy', async () => {
  for (const name of ['hello-long64', 'parameters', 'relocatable', 'overlap']) {
    await web.visit(`#sample=${name}&pane=processors`).catch(() => null);
    await web.go(`#sample=${name}&pane=export`);
    await page.waitForSelector('[data-value="report"]');
    const { path } = await save('report');
    const context = await web.browser.newContext({ offline: true, javaScriptEnabled: true });
    const reader = await context.newPage();
    const said = [];
    reader.on('console', (line) => said.push(line.text()));
    reader.on('request', (request) => request.url().startsWith('file:') || said.push(request.url()));
    await reader.goto(pathToFileURL(path).href);
    assert.equal(await reader.locator('a, script, link, img').count(), 0);
    const platform = /Loaded for the platform ([\w-]+)/.exec(await reader.innerText('body'))[1];
    const state = await kvmRunner('state', '--json', '--platform', platform, file(name));
    const { headers } = await kvmRunner('inspect', '--json', file(name));
    for (const [register, value] of Object.entries(state.processors[0].registers)) {
      const shown = await reader.locator(`[data-register="${register}"]`).first().locator('.num').allTextContents();
      const expected = typeof value === 'string' ? [value]
        : [value.selector, value.base, value.limit, value.attributes].filter((part) => part !== undefined);
      assert.deepEqual(shown.map(BigInt), expected.map(BigInt), `${name}: ${register}`);
    }
    const memory = await reader.$$eval('table.memory tbody tr', (rows) =>
      rows.map((row) => row.querySelector('.num').textContent));
    assert.deepEqual(memory.map(BigInt), state.memory.map((extent) => BigInt(extent.gpa)), name);
    const summaries = await reader.$$eval('table.headers tbody tr', (rows) => rows.map((row) => row.cells[3].textContent));
    assert.deepEqual(summaries, headers.map((header) => header.summary), name);
    if (name === 'parameters') {
      await reader.setViewportSize({ width: 1280, height: 900 });
      await reader.screenshot({ path: join(process.env.IGVM_SHOTS ?? folder, 'report.png'), fullPage: true });
      await reader.emulateMedia({ colorScheme: 'dark' });
      await reader.screenshot({ path: join(process.env.IGVM_SHOTS ?? folder, 'report-dark.png') });
    }
    await context.close();
    assert.deepEqual(said, []);
  }
});

test('the command lines are for the described host, and can be copied', async () => {
  await web.visit('#sample=hello-long64&pane=export&cpus=4&memory=0x100000000&append=it%27s');
  assert.equal(await page.innerText('#kvm-line'),
    String.raw`kvm-runner boot --cpus 4 --memory 4G --append='it'\''s' hello-long64.igvm`);
  await page.locator('.command button').first().click();
  await page.waitForSelector('[data-copied="copied"]');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await page.innerText('#kvm-line'));
  assert.match(await page.innerText('#qemu-line'), /-object igvm-cfg,id=igvm0,file=hello-long64\.igvm -machine q35,igvm-cfg=igvm0/);
  await web.go('#sample=parameters&pane=export');
  await page.waitForSelector('.notes-list .refuses');
});

for (const scheme of ['light', 'dark']) {
  test(`pictures, ${scheme}`, async () => {
    await page.emulateMedia({ colorScheme: scheme });
    await web.visit('#sample=parameters&pane=export&append=console%3DttyS0%20quiet');
    await web.screenshot(`export-${scheme}`);
    await page.setViewportSize({ width: 360, height: 720 });
    await web.screenshot(`export-${scheme}-360`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    await page.setViewportSize({ width: 1280, height: 800 });
  });
}
