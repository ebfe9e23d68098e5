// Several processors, and where QEMU would load something else.
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

test('each processor of the host can be chosen and is as kvm-runner has it', async () => {
  await web.visit('#sample=hello-long64&pane=processors&cpus=4');
  assert.match(await web.text('.vps'), /0 runs, own context 1–3 waits for a start-up interrupt next/);
  const state = await kvmRunner('state', '--json', '--cpus', '4', join(site, 'samples/hello-long64.igvm'));
  for (const processor of state.processors.slice(1)) {
    await page.locator('.vps a[rel="next"]').click();
    await page.waitForFunction((at) => document.querySelector('.processor h2').textContent === `Processor ${at}`, processor.vp_index);
    for (const register of ['rip', 'cr0', 'apic_base']) {
      const shown = await page.locator(`[data-register="${register}"] .num`).first().textContent();
      assert.equal(BigInt(shown), BigInt(processor.registers[register]), `${processor.vp_index} ${register}`);
    }
  }
  await page.locator('[data-register="cr0"]').click();
  await page.waitForURL(/vp=3&register=3\.cr0$/);
  // The other panes look through the same processor.
  await page.keyboard.press('5');
  await page.waitForSelector('.paging');
  assert.match(await web.text('.paging'), /Paging of processor 3 No paging/);
});

test('where QEMU loads another value, it says so beside the register', async () => {
  await web.visit('#sample=qemu-gs-base&pane=processors');
  assert.match(await web.text('tr[data-register="gs"]'), /QEMU 10\.2\.2 loads base 0x0: it gives GS the base of the data segment/);
  assert.equal(await page.locator('.qemu').count(), 1);
  await web.screenshot('processors-qemu');
  await web.visit('#sample=hello-long64&pane=processors');
  assert.equal(await page.locator('.qemu').count(), 0);
});
