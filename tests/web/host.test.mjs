// Parameters and host: the form, what changes with it, what the guest is told.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { join } from 'node:path';
import { kvmRunner, site, start } from './harness.mjs';

let web;
let page;
before(async () => {
  web = await start();
  page = web.page;
});
after(() => web.end());

/** Types into a field and leaves it. */
const type = async (name, text) => {
  await page.fill(`#host-${name}`, text);
  await page.locator(`#host-${name}`).blur();
};

test('the guest is told what the host says', async () => {
  await web.visit('#sample=parameters&pane=host');
  const told = await web.text('.pane');
  assert.match(told, /VP_COUNT_PARAMETER.*?1 processor/);
  assert.match(told, /MEMORY_MAP.*?0x0–0xfff_?ffff, 256 MiB, memory/);
  assert.match(told, /ACPI table APIC.*?1 local APIC, checksum correct/);
  assert.match(told, /device tree of/);
  await web.screenshot('host');
  await page.locator('.area').first().scrollIntoViewIfNeeded();
  await page.locator('.area').last().scrollIntoViewIfNeeded();
  await web.screenshot('host-told');
});

test('four processors and eight gigabytes: what changes, in every pane', async () => {
  await web.visit('#sample=parameters&pane=host');
  await type('cpus', '4');
  await page.waitForURL(/cpus=4/);
  await type('memory', '8G');
  await page.waitForURL(/memory=0x200000000/);
  await type('append', 'console=ttyS0');
  await page.waitForURL(/append=console/);
  await page.waitForSelector('.differences');
  const text = await web.text('.pane');
  assert.match(text, /4 processors/);
  assert.match(text, /There are 4 processors instead of 1/);
  assert.match(text, /The guest has 8 GiB of memory instead of 256 MiB/);
  assert.match(text, /console=ttyS0, 13 letters/);
  assert.match(text, /ACPI table APIC.*?4 local APIC/);
  // The number of processors is the first byte that differs.
  await page.locator('a.difference', { hasText: '0x2_0000'.replace('_', '') }).first().click();
  await page.waitForSelector('.dumps mark');
  await web.screenshot('host-changed');
  // The same bytes as the command line says.
  const file = join(site, 'samples', 'parameters.igvm');
  const state = await kvmRunner('state', '--json', '--cpus', '4', '--memory', '8G', file);
  assert.equal(state.processors.length, 4);
  await web.go((await page.evaluate(() => location.hash)).replace('pane=host', 'pane=memory'));
  await page.waitForSelector('.rows.memory .by-host');
  assert.ok(await page.locator('.k-changed').count() > 0);
  await web.screenshot('memory-changed');
  await page.goBack();
  await page.goBack();
  await page.waitForSelector('.host-form');
});

test('what cannot be is said beside the field, and nothing breaks', async () => {
  await web.visit('#sample=parameters&pane=host');
  for (const [name, text, says] of [
    ['cpus', '0', /0 processors: give 1 to 4096\./], ['cpus', 'many', /Give a number/],
    ['memory', '1', /not a multiple of 4 KiB/], ['memory', '1e9', /Give a number of bytes/],
    ['append', 'grüße', /ASCII/],
  ]) {
    await type(name, text);
    await page.waitForSelector(`#host-${name}[aria-invalid]`);
    assert.match(await web.text(`#host-${name}-note`), says);
    assert.equal(await page.inputValue(`#host-${name}`), text);
    await type(name, { cpus: '1', memory: '256M', append: '' }[name]);
    await page.waitForSelector(`#host-${name}:not([aria-invalid])`);
  }
  await web.screenshot('host-plain');
});

test('a region is moved, and the registers follow', async () => {
  await web.visit('#sample=relocatable&pane=host');
  await type('relocate-0x200000', '0x40000000');
  await page.waitForURL(/relocate=0x200000-0x40000000/);
  await page.waitForSelector('table.values');
  assert.match(await web.text('table.values'), /rip 0x0000_?0000_?0020_?1000 0x0000_?0000_?4000_?1000/);
  await web.screenshot('host-relocated');
  await page.locator('table.values a', { hasText: 'rip' }).click();
  await page.waitForSelector('[data-register="rip"] .by-host');
  await page.goBack();
  await page.waitForSelector('#host-relocate-0x200000');
  await type('relocate-0x200000', '0x40001000');
  await page.waitForSelector('.row-of-form .bad');
});

test('at 360 px and in the dark', async () => {
  await page.setViewportSize({ width: 360, height: 800 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await web.visit('#sample=parameters&pane=host&cpus=4&memory=0x200000000');
  await page.waitForSelector('.differences');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `${wide} px`);
  await web.screenshot('host-360-dark');
  await page.setViewportSize({ width: 1280, height: 800 });
  await web.screenshot('host-dark');
  await page.emulateMedia({ colorScheme: 'light' });
});
