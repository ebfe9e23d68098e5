// The picture of memory: letters with the colours, and a part of it closer.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './harness.mjs';

let web;
let page;
before(async () => {
  web = await start();
  page = web.page;
});
after(() => web.end());

const zoom = (name) => page.locator('.zoom a', { hasText: name }).click();
const marks = () => page.locator('.picture .map a').count();

test('marks with room have the letter of the legend', async () => {
  await web.visit('#sample=parameters&pane=memory');
  const letters = await page.locator('.picture .letter').allTextContents();
  const legend = await page.locator('.legend .chip').allTextContents();
  assert.ok(letters.length >= 20);
  for (const letter of letters) assert.ok(legend.includes(letter), letter);
});

test('closer, aside, wider and all again, by links and by keyboard', async () => {
  await web.visit('#sample=parameters&pane=memory');
  const all = await marks();
  await page.locator('.zoom a', { hasText: 'closer' }).focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(/zoom=0x[0-9a-f]+-0x[0-9a-f]+/);
  await page.waitForFunction((all) => document.querySelectorAll('.picture .map a').length < all, all);
  const here = page.url();
  await zoom('higher');
  await page.waitForFunction((here) => location.href !== here, here);
  await web.screenshot('memory-zoom');
  await page.goBack();
  await page.waitForURL(here);
  await zoom('all');
  await page.waitForFunction((all) => document.querySelectorAll('.picture .map a').length === all, all);
  await web.visit('#sample=overlap&pane=memory&zoom=0x20000-0x22000');
  assert.ok(await page.locator('.picture .k-overlap').count() > 0);
});
