// The page is kept: it opens and works without its host.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { site, start } from './harness.mjs';

let web;
before(async () => { web = await start(); });
after(() => web.end());

test('a second visit needs no network', async () => {
  await web.visit('#sample=hello-long64');
  await web.page.evaluate(() => navigator.serviceWorker.ready);
  await web.page.waitForFunction(async () => {
    const names = await caches.keys();
    const cache = names.length === 1 && await caches.open(names[0]);
    return cache && (await cache.keys()).some(({ url }) => url.endsWith('igvm_web_bg.wasm'));
  });
  await web.page.reload();
  await web.page.waitForSelector('body[data-state="open"]');
  await new Promise((done) => {
    web.server.close(done);
    web.server.closeAllConnections();
  });
  await web.page.goto('about:blank');
  await web.page.goto(web.home);
  await web.drop('mine.igvm', await web.sample('parameters'));
  await web.page.waitForFunction(() => document.querySelector('.file-name')?.textContent === 'mine.igvm');
  // And so do links to samples that were looked at.
  await web.go('#sample=hello-long64&pane=processors');
  await web.page.waitForSelector('[data-register="rip"]');
});

test('the first load is small', async () => {
  let total = 0;
  for (const entry of await readdir(site, { withFileTypes: true })) {
    if (entry.isFile()) total += gzipSync(await readFile(join(site, entry.name)), { level: 9 }).length;
  }
  assert.ok(total < 350_000, `${total} bytes gzipped`);
  console.log(`first load: ${total} bytes gzipped`);
});
