// What goes wrong is said in a sentence, and the page stays usable.
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

const named = (name) => page.waitForFunction((name) => document.querySelector('.file-name')?.textContent === name, name);

test('a truncated file says how much is there, and shows it', async () => {
  await page.goto(web.home);
  const whole = await web.sample('hello-long64');
  await web.drop('half.igvm', whole.subarray(0, whole.length - 0x800));
  await named('half.igvm');
  assert.match(await web.text('[data-region="pane"]'), /truncated: 22\.2 KiB of 24\.2 KiB/);
  await page.keyboard.press('3');
  await page.waitForSelector('.rows.memory .line');
  assert.match(await web.text('.rows.memory'), /0x10000/);
});

test('files that are none are refused by name', async () => {
  await page.goto(web.home);
  for (const [name, bytes, reason] of [
    ['empty.bin', Buffer.alloc(0), /empty\.bin cannot be shown: the file is empty/],
    ['kernel.elf', Buffer.from('\x7fELF\x02\x01\x01', 'latin1'), /kernel\.elf cannot be shown: not an IGVM file/],
    ['cut.igvm', Buffer.from('IGVM\x01', 'latin1'), /cut\.igvm cannot be shown/],
  ]) {
    await web.drop(name, bytes);
    await page.waitForFunction((name) => document.querySelector('#message').textContent.startsWith(name), name);
    assert.match(await web.text('#message'), reason);
  }
  assert.equal(await page.locator('.drop').isVisible(), true);
});

test('a link that cannot be followed says why', async () => {
  await page.goto('about:blank');
  await page.goto(`${web.home}#v=99&sample=hello-long64`);
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /version 99/);
  await page.goto('about:blank');
  await page.goto(`${web.home}#sample=nowhere`);
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /nowhere cannot be shown: there is no sample of this name/);
  // The browser may say on the console that this one is not there.
  const missing = web.troubles.findIndex((trouble) => trouble.includes('404'));
  if (missing >= 0) web.troubles.splice(missing, 1);
  await page.goto('about:blank');
  await page.goto(`${web.home}#v=1&file=mine.igvm&pane=headers`);
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /mine\.igvm, which is on somebody's own disk: drop it here/);
  await web.drop('mine.igvm', await web.sample('hello-long64'));
  await named('mine.igvm');
  assert.match(page.url(), /pane=headers/);
});

test('should the engine stop, the page goes on', async () => {
  await web.visit('#sample=hello-long64');
  await page.evaluate(() => restart('a test wants it so'));
  await page.waitForSelector('body[data-state="empty"]');
  assert.match(await web.text('#message'), /The engine stopped: a test wants it so\. Open the file again/);
  await web.drop('again.igvm', await web.sample('hello-long64'));
  await named('again.igvm');
});

test('a hostile name stays a name', async () => {
  await page.goto(web.home);
  const name = '<img src=x onerror=alert(1)>&"\'.igvm';
  await web.drop(name, await web.sample('hello-long64'));
  await named(name);
  assert.equal(await page.locator('img').count(), 0);
  await page.reload();
  await page.waitForSelector('#message:not(:empty)');
});
