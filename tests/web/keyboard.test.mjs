// What has the keyboard keeps it, and what is being typed is not lost, when an
// answer of the engine arrives.
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

const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);

test('the next field is typed in while the last one is answered', async () => {
  for (const pause of [0, 500]) {
    await web.visit('#sample=hello-long64&pane=host');
    await page.fill('#host-cpus', '4');
    await page.keyboard.press('Tab');
    await page.waitForTimeout(pause);
    await page.keyboard.type('8G');
    await page.waitForURL(/cpus=4/);
    await page.waitForSelector('[role="status"]:has-text("register")');
    assert.equal(await focused(), 'host-memory');
    assert.equal(await page.inputValue('#host-memory'), '8G');
    await page.keyboard.press('Tab');
    await page.waitForURL(/cpus=4&memory=0x200000000/);
  }
});

test('who closes something with the keyboard stays on the page', async () => {
  await web.visit('#sample=hello-long64');
  await web.drop('other.igvm', await web.sample('overlap'));
  await page.waitForFunction(() => document.querySelector('.file-name')?.textContent === 'other.igvm');
  await page.focus('[aria-label="Close hello-long64"]');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelectorAll('.close-file').length === 1);
  assert.equal(await focused(), 'pane');
});
