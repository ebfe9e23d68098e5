// Compare: two files, or one file under two platforms.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kvmRunner, start } from './harness.mjs';

let web;
let page;
before(async () => {
  web = await start();
  page = web.page;
});
after(() => web.end());

const lead = () => web.text('.compare .lead');
const done = () => page.waitForFunction(() => {
  const lead = document.querySelector('.compare .lead');
  return lead && !lead.textContent.includes('Comparing');
});

test('one byte of yesterday’s firmware', async (t) => {
  const firmware = ['/usr/share/seabios/bios-256k.bin', '/usr/share/OVMF/OVMF_CODE_4M.fd'].find((path) => existsSync(path));
  if (!firmware) return t.skip('no firmware on this machine');
  const folder = await mkdtemp(join(tmpdir(), 'compare-'));
  const path = join(folder, 'today.igvm');
  await kvmRunner('wrap', '--firmware', firmware, '--out', path);
  const today = await readFile(path);
  const yesterday = Buffer.from(today);
  const at = yesterday.length - 0x1234;
  yesterday[at] ^= 0xff;
  await page.goto(web.home);
  await web.drop('today.igvm', today);
  await page.waitForSelector('body[data-state="open"]');
  await page.locator('.compare-link').click();
  await page.waitForSelector('.choose');
  await web.drop('yesterday.igvm', yesterday);
  await done();
  assert.match(await lead(), /They differ: 1 header changed.*1 memory range/);
  const change = page.locator('a.difference', { hasText: '1 byte differs' });
  await change.first().click();
  await page.waitForSelector('.dumps mark');
  const marked = await page.$$eval('.dumps figure', (sides) => sides.map((side) => side.querySelector('mark').textContent));
  const hex = (byte) => byte.toString(16).padStart(2, '0');
  assert.deepEqual(marked, [hex(yesterday[at]), hex(today[at])]);
  await web.screenshot('compare-firmware');
  await page.locator('.swap').click();
  await page.waitForURL(/file=yesterday/);
  await done();
  await page.goBack();
  await page.waitForURL(/file=today\.igvm&pane=compare/);
});

test('two samples: headers with their fields, registers, memory', async () => {
  await web.visit('#sample=hello-long64&pane=compare&with-sample=hello-long64-4k');
  await done();
  const text = await web.text('.compare');
  assert.match(text, /They differ/);
  assert.match(text, /before hello-long64-4k after hello-long64 /);
  assert.match(text, /Headers \d+, and \d+ the same/);
  await web.screenshot('compare-samples');
  await page.locator('a.difference', { hasText: 'PAGE_DATA' }).first().click();
  await page.waitForURL(/header=/);
});

test('a file under another platform', async () => {
  await web.visit('#sample=platforms&pane=compare');
  await page.locator('.choose a', { hasText: 'this file for sev-snp' }).click();
  await done();
  const text = await web.text('.compare');
  assert.match(text, /VP_CONTEXT/);
  assert.match(text, /before sev-snp after native/);
  assert.match(text, /SNP_ID_BLOCK/);
  await web.screenshot('compare-platforms');
});

test('other bytes, the same machine', async () => {
  const one = await web.sample('hello-long64');
  const other = Buffer.concat([one, Buffer.alloc(4096, 1)]);
  await page.goto(web.home);
  await web.drop('one.igvm', one);
  await page.waitForSelector('.file-name');
  await page.keyboard.press('9');
  await page.waitForSelector('.choose');
  await web.drop('other.igvm', other);
  await done();
  assert.match(await lead(), /Both make the identical machine.*no header says anything else/);
  await web.drop('again.igvm', one);
  await page.waitForURL(/with-file=again/);
  await done();
  assert.match(await lead(), /the same, byte for byte, and make the same machine/);
});

test('at 360 px and in the dark', async () => {
  await page.setViewportSize({ width: 360, height: 800 });
  await page.emulateMedia({ colorScheme: 'dark' });
  await web.visit('#sample=hello-long64&pane=compare&with-sample=hello-long64-4k');
  await done();
  await page.locator('a.difference', { hasText: 'differ' }).first().click();
  await page.waitForSelector('.dumps');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `${wide} px`);
  await page.locator('.dumps').scrollIntoViewIfNeeded();
  await web.screenshot('compare-360-dark');
});
