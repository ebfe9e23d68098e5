// Large files stay quick. The limits are ten times what is aimed at: only a
// gross loss fails here, `bench.mjs` has the numbers.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { start } from './harness.mjs';
import { files, opening, scrolling } from './measure.mjs';

const [small, large, million, scattered] = files(process.env.IGVM_LARGE ?? '../../target/bench');
let web;
before(async () => { web = await start(); });
after(() => web.end());

test('64 MiB and 512 MiB open at once, and are not copied', async () => {
  for (const [path, limit] of [[small, 3000], [large, 20_000]]) {
    const { milliseconds, grown, size } = await opening(web, path);
    assert.ok(milliseconds < limit, `${path}: ${milliseconds} ms`);
    assert.ok(grown < size + 64, `${path}: ${grown} MiB`);
  }
});

test('a million ranges that do not touch are shown', async () => {
  const { milliseconds, grown } = await opening(web, scattered);
  assert.ok(milliseconds < 20_000, `${milliseconds} ms`);
  assert.ok(grown < 512, `${grown} MiB`);
});

test('a million headers are scrolled through', async () => {
  const { longest, atTheEnd } = await scrolling(web, million);
  assert.ok(longest < 500, `a frame of ${longest} ms`);
  assert.ok(atTheEnd, 'the last header is not there at the end');
});
