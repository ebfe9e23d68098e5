// Going to a place that is typed.
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

async function type(entry) {
  await page.locator('#pane').focus();
  await page.keyboard.press('g');
  await page.waitForSelector('#go-to[open]');
  await page.keyboard.type(entry);
  await page.keyboard.press('Enter');
}

test('every form leads there, by keyboard alone', async () => {
  await web.visit('#sample=hello-long64');
  for (const [entry, url] of [
    ['0x1000', /pane=hex.*guest=0x1000/],
    ['guest 2010', /pane=hex.*guest=0x2010/],
    ['file 0x118', /pane=hex.*file-offset=0x118/],
    ['linear 0x1000', /pane=(paging|hex).*linear=0x1000/],
    ['header 2', /header=2/],
    ['#3', /header=3/],
    ['rip', /pane=processors.*register=0\.rip/],
    ['0.cr3', /pane=processors.*register=0\.cr3/],
  ]) {
    await type(entry);
    await page.waitForURL(url);
    assert.equal(await page.locator('#go-to[open]').count(), 0);
  }
  await page.goBack();
  await page.waitForURL(/register=0\.rip/);
});

test('the dialog lists the forms, and what is no place gets a sentence', async () => {
  await web.go('#sample=hello-long64&pane=overview');
  await page.waitForSelector('[data-pane="overview"]');
  await page.keyboard.press('g');
  assert.match(await web.text('#go-to dl'), /file 0x118.*header 12.*rip/);
  await web.screenshot('goto');
  await page.setViewportSize({ width: 360, height: 720 });
  await web.screenshot('goto-360');
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.keyboard.press('Escape');
  await page.waitForSelector('#go-to:not([open])', { state: 'attached' });
  const before = page.url();
  for (const [entry, sentence] of [
    ['nowhere', /“nowhere” is not a place/],
    ['header 99', /There is no header 99: this file has 0 to 7/],
    ['file 0xffffff', /The file ends at/],
    ['7.rip', /There is no processor 7/],
    ['1000', /several things/],
  ]) {
    await type(entry);
    await page.waitForFunction((words) => new RegExp(words).test(document.querySelector('#message').textContent), sentence.source);
  }
  assert.equal(page.url(), before);
});
