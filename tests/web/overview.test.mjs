// The second and the third of the questions that the page answers: how does it
// start, and can it? And the fifth: what is the firmware told?
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

test('in which mode, where, with which stack and page tables, and the first instructions', async () => {
  await web.visit('#sample=hello-long64');
  const starts = await web.text('.starts');
  assert.match(starts, /64-bit mode, because CR0\.PG, CR4\.PAE and EFER\.LME are set and CS\.L is 1/);
  assert.match(starts, /CS:RIP is linear 0x10000.*memory that header 6 fills, page rights rwxs/);
  assert.match(starts, /4-level paging from CR3, 0x1000/);
  assert.match(starts, /SS:RSP is linear 0x9000\. The first push writes to 0x8ff8.*memory that header 5 fills/);
  assert.equal(await page.locator('.code > li').count(), 5);
  assert.match(await web.text('.code'), /lea rsi, \[0x10030\]/);
  assert.equal(await page.locator('.headline').count(), 0);
  await page.locator('.starts a', { hasText: '4-level paging' }).click();
  await page.waitForSelector('.paging .page-table');
});

test('an entry that cannot run is the headline, with its reason and its place', async () => {
  const expected = {
    'entry-unmapped': [/that address leads nowhere: the PDPTE is not present/, /pane=memory.*guest=0x/],
    'entry-not-executable': [/not executable: XD is set in its PDPTE, and EFER\.NXE/, /pane=memory.*guest=0x2000$/],
    'entry-outside-memory': [/the guest has no memory there/, /pane=memory.*guest=0x80000000/],
    'entry-not-written': [/no header writes that memory, so the processor would run zeroes/, /guest=0x20000/],
  };
  for (const [name, [reason, place]] of Object.entries(expected)) {
    await web.visit(`#sample=${name}`);
    const first = page.locator('.prose > *').first();
    assert.ok(await first.evaluate((shown) => shown.matches('.headline[role="alert"]')), name);
    assert.match(await first.innerText(), reason, name);
    assert.match(await first.locator('a').last().getAttribute('href'), place, name);
    if (name === 'entry-not-executable') await web.screenshot('overview-headline');
  }
  await web.visit('#sample=stack-unmapped');
  assert.match(await web.text('.starts'), /The first push writes to .* which leads nowhere/);
});

test('what the firmware is told, and where', async () => {
  await web.visit('#sample=parameters&cpus=3&append=quiet');
  const told = await web.text('.told');
  assert.match(told, /VP_COUNT 3 processors 0x20000 4 bytes/);
  assert.match(told, /COMMAND_LINE quiet 0x21000/);
  assert.match(told, /MEMORY_MAP 256 MiB of RAM 0x22100/);
  assert.match(await web.text('.starts'), /3 of the host: 1 at once, 2 wait for a start-up interrupt/);
});

test('pictures to look at', async () => {
  await web.visit('#sample=parameters');
  await web.screenshot('overview');
  await page.setViewportSize({ width: 360, height: 740 });
  await web.screenshot('overview-360');
});
