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

test('a link to a file that is not open says so', async () => {
  await page.goto('about:blank');
  await page.goto(`${web.home}#file=mine.igvm&pane=processors`);
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /about the file mine\.igvm, which is on somebody's own disk: drop it here/);
  await web.drop('mine.igvm', await web.sample('hello-long64'));
  await page.waitForSelector('[data-register="rip"]');
});
