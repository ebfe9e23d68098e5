// The page tables: every step as `kvm-runner walk --json` has it.
import assert from 'node:assert/strict';
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

const numbers = (row) => row.locator('.num').allTextContents();

async function translate(linear) {
  await page.fill('#translate', linear);
  await page.click('.paging .go button');
  await page.waitForURL(new RegExp(`linear=0x${BigInt(linear).toString(16)}$`));
  await page.waitForFunction((linear) => BigInt(document.querySelector('#translate').value) === BigInt(linear), linear);
}

test('every step of a walk is what kvm-runner says', async () => {
  const addresses = ['0x0', '0x10010', '0x1fffff', '0x200000', '0xfffff000', '0x800000000000', '0xffffffffffffffff'];
  for (const name of ['hello-long64', 'hello-long64-4k', 'hello-compat32', 'hello-protected32', 'platforms', 'entry-not-executable']) {
    await web.visit(`#sample=${name}&pane=paging`);
    for (const linear of addresses) {
      await translate(linear);
      const walk = JSON.parse(await kvmRunner('walk', '--json', join(site, 'samples', `${name}.igvm`), linear)
        .then((said) => JSON.stringify(said), (failed) => failed.stdout));
      await compare(`${name} ${linear}`, walk);
    }
  }
});

async function compare(what, walk) {
  const rows = page.locator('.steps tbody tr');
  assert.equal(await rows.count(), walk.entries.length, what);
  for (const [at, entry] of walk.entries.entries()) {
    const row = rows.nth(at);
    assert.ok((await row.locator('th').innerText()).startsWith(`${entry.level} `), what);
    assert.deepEqual((await numbers(row)).slice(0, 2).map(BigInt), [entry.gpa, entry.value].map(BigInt), what);
    assert.deepEqual(await row.locator('.bit').allTextContents(), entry.flags, what);
  }
  const result = await web.text('.result');
  if (walk.physical) {
    assert.ok((await numbers(page.locator('.result'))).map(BigInt).includes(BigInt(walk.physical)), `${what}: ${result}`);
    if (walk.entries.length > 0) assert.ok(result.includes(walk.rights), what);
  } else {
    assert.ok(result.includes(walk.fault), `${what}: ${result}`);
  }
}

test('an entry opens its table, a range selects its address, and Back comes back', async () => {
  await web.visit('#sample=hello-long64-4k&pane=paging');
  assert.equal(await page.locator('.page-table').count(), 4);
  await page.locator('.page-table .page-table .page-table .page-table .run .index').first().click();
  await page.waitForURL(/linear=0x0$/);
  await page.locator('.page-table .page-table .run .index', { hasText: '1–511' }).last().click();
  await page.waitForFunction(() => document.querySelectorAll('.page-table').length < 4);
  assert.match(await web.text('.result'), /leads nowhere: the P\w+ is not present/);
  await page.goBack();
  await page.waitForFunction(() => document.querySelectorAll('.page-table').length === 4);
  await page.locator('.ranges a').first().click();
  await page.waitForSelector('.ranges .related');
  assert.match(await web.text('.inspector'), /Linear 0x0/);
});

test('what is typed is an address, a register, or refused in a sentence', async () => {
  await web.visit('#sample=hello-long64&pane=paging');
  await page.fill('#translate', 'rsp');
  await page.press('#translate', 'Enter');
  await page.waitForURL(/linear=0x9000$/);
  await page.fill('#translate', 'over there');
  await page.press('#translate', 'Enter');
  await page.waitForSelector('#message:not(:empty)');
  assert.match(await web.text('#message'), /over there is no address/);
  assert.match(page.url(), /linear=0x9000$/);
});

test('without paging it says so', async () => {
  await web.visit('#sample=hello-real16&pane=paging');
  assert.match(await web.text('.paging .lead'), /No paging, because CR0\.PG is clear\. A linear address is the guest physical/);
  assert.equal(await page.locator('.page-table').count(), 0);
});

test('pictures to look at', async () => {
  await web.visit('#sample=hello-long64-4k&pane=paging&linear=0x10010');
  await web.screenshot('paging');
  await page.setViewportSize({ width: 360, height: 740 });
  await web.screenshot('paging-360');
  await page.setViewportSize({ width: 1280, height: 800 });
});
