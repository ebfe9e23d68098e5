// Several files are open at once.
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

const names = () => page.$$eval('.files li', (files) => files.map((file) => file.firstElementChild.textContent));
const opened = (number) => page.waitForFunction((number) => document.querySelectorAll('.files li').length === number, number);

test('files are opened, switched and closed', async () => {
  const bytes = await web.sample('hello-long64');
  await page.goto(web.home);
  await web.drop('build.igvm', bytes);
  await opened(1);
  await web.drop('build.igvm', await web.sample('parameters'));
  await opened(2);
  await web.drop('a-very-long-name-of-some-firmware-of-today-with-its-commit.igvm', bytes);
  await opened(3);
  assert.deepEqual((await names()).slice(0, 2), ['build.igvm', 'build.igvm (2)']);
  await web.screenshot('files');
  await page.locator('.files a', { hasText: 'build.igvm (2)' }).click();
  await page.waitForFunction(() => document.querySelector('.file-name').textContent === 'build.igvm (2)');
  await page.setViewportSize({ width: 360, height: 800 });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360);
  await web.screenshot('files-360');
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.locator('.files li[aria-current] .close-file').click();
  await opened(2);
  assert.deepEqual(await names(), ['build.igvm', 'a-very-long-name-of-some-firmware-of-today-with-its-commit.igvm']);
  // From the start page the way back to them is still there.
  await page.locator('.brand').click();
  await page.waitForSelector('body[data-state="empty"]');
  await web.screenshot('files-start-page');
  await page.locator('.files a', { hasText: 'build.igvm' }).click();
  await page.waitForSelector('body[data-state="open"]');
  for (const left of [1, 0]) {
    await page.locator('.close-file').first().click();
    await opened(left);
  }
  await page.waitForSelector('body[data-state="empty"]');
});

/** Whether all of the first element of a kind is on the screen. */
const isSeen = (selector) => page.locator(selector).first().evaluate((element) => {
  const { left, right, top, bottom, width } = element.getBoundingClientRect();
  return width >= 24 && left >= 0 && right <= innerWidth && top >= 0 && bottom <= innerHeight;
});

test('eight open files leave room for everything else', async () => {
  const bytes = await web.sample('platforms');
  await page.goto('about:blank');
  await page.goto(web.home);
  const all = [...'abcdefgh'].map((letter) => `${letter}-firmware-of-today-with-its-commit.igvm`);
  for (const [at, name] of all.entries()) {
    await web.drop(name, bytes);
    await opened(at + 1);
  }
  assert.deepEqual(await names(), all);
  const shown = (name) => page.waitForFunction((name) => document.querySelector('.file-name')?.textContent === name, name);
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    for (const name of [all[0], all[4], all[7]]) {
      // By the browser, which scrolls the list and clicks where something is to be clicked.
      await page.locator('.files a', { hasText: name }).click();
      await shown(name);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= width, `${name} at ${width}`);
      for (const selector of ['.file-name', '.files li[aria-current] .close-file', '.bar .switch', '.verdict', '#search']) {
        assert.ok(await isSeen(selector), `${selector} of ${name} at ${width}`);
      }
    }
    for (const pane of ['headers', 'export', 'overview']) {
      await page.locator('.tabs a', { hasText: new RegExp(pane, 'i') }).click();
      await page.waitForSelector(`body[data-pane="${pane}"]`);
      assert.ok(await isSeen('.tabs [aria-current]'), `${pane} at ${width}`);
    }
    await page.locator('.bar .switch a', { hasText: 'sev-snp' }).click();
    await page.waitForSelector('.bar .switch a[aria-current]:has-text("sev-snp")');
    await web.screenshot(`files-eight-${width}`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('a link to a file that is not open says so', async () => {
  await page.goto('about:blank');
  await page.goto(`${web.home}#file=mine.igvm&pane=processors`);
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /about the file mine\.igvm, which is on somebody's own disk: drop it here/);
  await web.drop('mine.igvm', await web.sample('hello-long64'));
  await page.waitForSelector('[data-register="rip"]');
});
