// What the page shows is what `kvm-runner state --json` says.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kvmRunner, site, start } from './harness.mjs';

let web;
before(async () => { web = await start(); });
after(() => web.end());

const samples = async () => {
  await web.page.goto(web.home);
  return web.page.$$eval('.cards strong', (names) => names.map((name) => name.textContent));
};

test('every register and every range of every sample', async () => {
  const names = await samples();
  assert.ok(names.length >= 10);
  for (const name of names) {
    await web.visit(`#sample=${name}&pane=processors`);
    const platform = await web.page.locator('.switch a[aria-current]').innerText();
    const file = join(site, 'samples', `${name}.igvm`);
    const state = await kvmRunner('state', '--json', '--platform', platform, file);
    await compareRegisters(name, state.processors[0]);
    await web.go(`#sample=${name}&pane=memory`);
    await web.page.waitForSelector('.rows.memory > .line');
    await compareMemory(name, state.memory);
  }
});

async function compareRegisters(name, processor) {
  for (const [register, value] of Object.entries(processor.registers)) {
    const shown = web.page.locator(`[data-register="${register}"]`).first();
    const numbers = (await shown.locator('.num').allTextContents()).map((number) => BigInt(number));
    const expected = typeof value === 'string' ? [value]
      : [value.selector, value.base, value.limit, value.attributes].filter((part) => part !== undefined);
    assert.deepEqual(numbers.slice(0, expected.length), expected.map(BigInt), `${name}: ${register}`);
  }
  const because = (await web.text('.processor .lead')).toLowerCase();
  assert.ok(because.startsWith(processor.mode_because.toLowerCase()), name);
}

async function compareMemory(name, memory) {
  const rows = await web.page.$$eval('.rows.memory > .line .range', (ranges) =>
    ranges.map((range) => [...range.querySelectorAll('.num')].map((number) => number.textContent)));
  for (const [at, extent] of memory.slice(0, rows.length).entries()) {
    const end = BigInt(extent.gpa) + BigInt(extent.length) - 1n;
    assert.deepEqual(rows[at].map(BigInt), [BigInt(extent.gpa), end], `${name}: memory ${at}`);
  }
}

test('every broken file is shown, or refused in a sentence', async () => {
  await web.page.goto(web.home);
  const broken = await web.page.$$eval('.broken a', (names) => names.map((name) => name.textContent));
  assert.ok(broken.length >= 150);
  for (const name of broken) {
    await web.page.evaluate(() => { document.title = ''; document.querySelector('#message').textContent = ''; });
    await web.go(`#sample=${name}`);
    await web.page.waitForFunction((name) => document.title.startsWith(`${name} `)
      || document.querySelector('#message').textContent.startsWith(`${name} cannot be shown`), name);
  }
});
