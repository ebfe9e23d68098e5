// Bytes of the file and of guest memory: what is shown, both ends of a
// selection, searching.
import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kvmRunner, site, start } from './harness.mjs';

let web;
let page;
before(async () => {
  web = await start();
  page = web.page;
});
after(() => web.end());

/** The rows on the screen: address and bytes. */
const rows = () => page.$$eval('.rows.hex > .line', (lines) => lines.map((line) => [
  Number(line.querySelector('.at').textContent),
  [...line.querySelectorAll('.cells:not(.letters)')].map((half) => half.textContent).join('').trim().split(/\s+/)
    .map((byte) => byte === '··' ? 0 : parseInt(byte, 16)),
]));

/** Clicks on a byte that is on the screen. */
async function click(address) {
  const base = address - address % 8;
  const cells = page.locator(`.cells:not(.letters)[data-pick="0x${base.toString(16)}"]`);
  await cells.scrollIntoViewIfNeeded();
  const { x, y, width, height } = await cells.boundingBox();
  await page.mouse.click(x + width * (address - base + 0.3) / 8, y + height / 2);
}

test('the rows are the bytes of the file', async () => {
  const bytes = await web.sample('hello-long64');
  await web.visit('#sample=hello-long64&pane=hex');
  await page.waitForSelector('.rows.hex > .line');
  for (const offset of [0, 0x1000, bytes.length - 1]) {
    await web.go(`#sample=hello-long64&pane=hex&file-offset=0x${offset.toString(16)}`);
    await page.waitForSelector('.cells .chosen');
    const shown = await rows();
    assert.ok(shown.some(([at]) => at === offset - offset % 16));
    for (const [at, row] of shown) assert.deepEqual(row, [...bytes.subarray(at, at + 16)], `at ${at}`);
  }
});

test('the rows are the bytes that kvm-runner reads from guest memory', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'igvm-hex-'));
  for (const [name, gpa] of [['hello-long64', 0x1000], ['parameters', 0x2000], ['overlap', 0x1000]]) {
    await web.visit(`#sample=${name}&pane=hex&guest=0x${gpa.toString(16)}`);
    await page.waitForSelector('.rows.hex > .line');
    const out = join(folder, name);
    await kvmRunner('state', join(site, 'samples', `${name}.igvm`), '--read', '0:1M', '--out', out);
    const memory = await readFile(out);
    const shown = (await rows()).filter(([at]) => at < memory.length);
    assert.ok(shown.length > 20, name);
    for (const [at, row] of shown) assert.deepEqual(row, [...memory.subarray(at, at + 16)], `${name} at ${at}`);
  }
});

test('a byte is followed from the file to the guest and back', async () => {
  await web.visit('#sample=hello-long64&pane=hex&file-offset=0x118');
  await page.waitForSelector('.cells .chosen');
  await click(0x128 + 5);
  await page.waitForURL(/file-offset=0x12d/);
  assert.match((await web.text('.both-ends')), /file 0x12d ?= guest 0x1015 ?= linear 0x1015 written by header 1/);
  await page.locator('.hex-forms .switch a', { hasText: 'Guest' }).click();
  await page.waitForURL(/guest=0x1015/);
  await page.waitForSelector('.cells .chosen');
  await click(0x1020);
  await page.waitForURL(/guest=0x1020/);
  await page.locator('.both-ends a', { hasText: '0x138' }).click();
  await page.waitForURL(/file-offset=0x138/);
  await page.goBack();
  await page.waitForURL(/guest=0x1020/);
  await page.locator('.both-ends a', { hasText: 'header 1' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.cells:not(.letters) .chosen').length > 0);
});

test('bytes and text are found, one after the other', async () => {
  const bytes = await web.sample('hello-long64');
  await web.visit('#sample=hello-long64&pane=hex');
  await page.fill('#find', '49 47 56 4d');
  await page.press('#find', 'Enter');
  await page.waitForSelector('.hit-list a[aria-current]');
  assert.match(await web.text('.hits-head'), /1 place of 49 47 56 4d in the file/);
  // Behind what is selected.
  await page.fill('#find', 'Hello');
  await page.selectOption('#find-kind', 'text');
  const at = bytes.indexOf('Hello');
  assert.ok(at > 0);
  await page.press('#find', 'Enter');
  await page.waitForURL(new RegExp(`file-offset=0x${at.toString(16)}`));
  await page.fill('#find', 'zz');
  await page.selectOption('#find-kind', 'bytes');
  await page.press('#find', 'Enter');
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /“zz” is not bytes/);
  // In guest memory, with the keyboard.
  await web.go('#sample=hello-long64&pane=hex&guest=0x1000');
  await page.waitForSelector('.hex-forms [aria-current]:text("Guest memory")');
  await page.fill('#find', '00 00 00');
  await page.press('#find', 'Enter');
  await page.waitForSelector('.hit-list a[aria-current]');
  const count = await page.locator('.hit-list a').count();
  assert.ok(count > 10 && count <= 1000);
  const before = page.url();
  await page.locator('.hits-head [aria-label="Next place"]').click();
  await page.waitForFunction((before) => location.href !== before, before);
  await page.locator('.hits-head [aria-label="Close the search"]').click();
  await page.waitForFunction(() => !document.querySelector('.hits').textContent);
});

test('a large file is scrolled by the wheel and to its end', async () => {
  const { default: large } = await import('./large.mjs');
  await page.goto(web.home);
  const len = await large(page, 512 << 20);
  await page.waitForSelector('body[data-state="open"]');
  await page.evaluate(() => { location.hash += '&'; location.hash = location.hash.replace(/pane=\w+&?/, 'pane=hex'); });
  await page.waitForSelector('.rows.hex > .line');
  const first = async () => (await page.evaluate(() => {
    const top = document.querySelector('#scroller').getBoundingClientRect().top;
    const line = [...document.querySelectorAll('.rows.hex > .line')].find((line) => line.getBoundingClientRect().bottom > top + 1);
    return Number(line?.querySelector('.at').textContent);
  }));
  await page.locator('#scroller').hover();
  for (let turn = 0; turn < 10; turn += 1) {
    await page.mouse.wheel(0, 200);
    await page.waitForTimeout(60);
  }
  await page.waitForTimeout(300);
  const at = await first();
  // 2000 pixels are 100 rows of 16 bytes, wherever in the file.
  assert.ok(Math.abs(at - 1600) <= 32, `${at}`);
  await page.evaluate(() => { const list = document.querySelector('#scroller'); list.scrollTop = list.scrollHeight / 2; });
  await page.waitForTimeout(300);
  const middle = await first();
  assert.ok(Math.abs(middle - len / 2) < len / 100, `${middle} of ${len}`);
  await page.mouse.wheel(0, 200);
  await page.waitForTimeout(300);
  assert.equal(await first(), middle + 160);
  await page.evaluate(() => { const list = document.querySelector('#scroller'); list.scrollTop = list.scrollHeight; });
  await page.waitForTimeout(300);
  const shown = await rows();
  assert.equal(shown.at(-1)[0], len - 16);
  // A search through all of it, and its end.
  await page.fill('#find', 'fe ed fa ce ca fe');
  await page.press('#find', 'Enter');
  await page.waitForSelector('.hit-list a[aria-current]', { timeout: 60_000 });
  await page.waitForFunction(() => !document.querySelector('.hits-head').textContent.includes('so far'), null, { timeout: 60_000 });
  assert.match(await web.text('.hits-head'), /1 place/);
  assert.match(page.url(), new RegExp(`file-offset=0x${(len - 100).toString(16)}`));
});

for (const scheme of ['light', 'dark']) {
  test(`pictures, ${scheme}`, async () => {
    await page.emulateMedia({ colorScheme: scheme });
    for (const [name, link] of [
      ['file', '#sample=hello-long64&pane=hex&file-offset=0x34'],
      ['guest', '#sample=parameters&pane=hex&guest=0x2004'],
    ]) {
      await web.visit(link);
      await page.waitForSelector('.cells .chosen');
      await page.fill('#find', '00 00 00 01');
      await page.press('#find', 'Enter');
      await page.waitForSelector('.hits-head');
      await web.screenshot(`hex-${name}-${scheme}`);
      await page.setViewportSize({ width: 360, height: 720 });
      await page.waitForTimeout(100);
      await web.screenshot(`hex-${name}-${scheme}-360`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
      await page.setViewportSize({ width: 1280, height: 800 });
    }
  });
}
