// One selection in every pane; Back, deep links, the keyboard; dropped files.
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

test('a register leads to its header, and Back comes back', async () => {
  await web.visit('#v=1&sample=hello-long64&pane=processors');
  await page.locator('[data-register="rip"]').click();
  await page.waitForURL(/register=0\.rip/);
  assert.match(await web.text('.inspector'), /rip of processor 0/);
  await page.locator('.chain a', { hasText: 'header 7' }).click();
  await page.waitForURL(/pane=headers.*header=7/);
  await page.waitForSelector('#header-7[aria-expanded="true"]');
  assert.match(await web.text('.detail'), /vp_index/);
  await page.goBack();
  await page.waitForSelector('[data-register="rip"][aria-current]');
});

test('the keyboard alone is enough', async () => {
  await web.visit('#sample=hello-long64');
  await page.keyboard.press('2');
  await page.waitForSelector('.rows.headers');
  await page.keyboard.press('/');
  await page.keyboard.type('vp_context');
  await page.waitForFunction(() => document.querySelectorAll('.rows.headers > li').length === 1);
  await page.keyboard.press('Escape');
  await page.keyboard.press('3');
  await page.waitForSelector('.rows.memory .line');
});

test('a file is dropped, and what is none leaves it open', async () => {
  await page.goto(web.home);
  await web.drop('mine.igvm', await web.sample('parameters'));
  await page.waitForFunction(() => document.querySelector('.file-name')?.textContent === 'mine.igvm');
  await web.drop('photo.png', Buffer.from('\x89PNG....', 'latin1'));
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /photo\.png cannot be shown: not an IGVM file/);
  assert.equal(await web.text('.file-name'), 'mine.igvm');
});

test('on a narrow screen the pane in use is among the tabs that are seen', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await web.visit('#sample=hello-long64&pane=export');
  const seen = async (name) => {
    const box = await page.locator('.tabs a', { hasText: name }).boundingBox();
    return box.x >= 0 && box.x + box.width <= 360;
  };
  assert.ok(await seen('Export'));
  assert.ok(!(await seen('Overview')));
  await page.keyboard.press('1');
  await page.waitForSelector('body[data-pane="overview"]');
  assert.ok(await seen('Overview'));
});
