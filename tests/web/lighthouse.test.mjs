// Lighthouse: performance, accessibility and best practices, 95 or more.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import lighthouse from 'lighthouse';
import { site, start } from './harness.mjs';

const port = 20_000 + process.pid % 20_000;
let web;
let server;
before(async () => {
  web = await start({ flags: [`--remote-debugging-port=${port}`] });
  // As any host of static files does: compressed.
  const types = { '.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript', '.wasm': 'application/wasm', '.svg': 'image/svg+xml' };
  server = createServer(async ({ url }, response) => {
    const file = new URL(url, 'http://a').pathname.slice(1) || 'index.html';
    const bytes = await readFile(join(site, file)).catch(() => null);
    if (!bytes) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Encoding': 'gzip' });
    response.end(gzipSync(bytes));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
});
after(async () => {
  server.close();
  await web.end();
});

for (const fragment of ['', '#sample=parameters']) {
  test(`the page ${fragment ? 'with a sample' : 'as it opens'}`, async () => {
    const url = `http://127.0.0.1:${server.address().port}/${fragment}`;
    const { lhr } = await lighthouse(url, {
      port, logLevel: 'error', onlyCategories: ['performance', 'accessibility', 'best-practices'],
      formFactor: 'desktop', screenEmulation: { disabled: true }, throttlingMethod: 'simulate',
      throttling: { rttMs: 40, throughputKbps: 10_240, cpuSlowdownMultiplier: 1 },
    });
    const scores = Object.fromEntries(Object.values(lhr.categories).map(({ id, score }) => [id, Math.round(score * 100)]));
    console.log(fragment || 'empty', scores);
    const poor = Object.values(lhr.audits).filter(({ score, scoreDisplayMode }) => score !== null && score < 0.9 && scoreDisplayMode !== 'informative');
    for (const [id, score] of Object.entries(scores)) {
      assert.ok(score >= 95, `${id}: ${score}; ${poor.map(({ id }) => id).join(', ')}`);
    }
  });
}
