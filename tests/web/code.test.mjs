// Disassembly: from the entry point, along jumps, in pages; of real firmware.
import assert from 'node:assert/strict';
import { mkdtemp, readFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { kvmRunner, start } from './harness.mjs';

let web;
let page;
before(async () => {
  web = await start();
  page = web.page;
});
after(() => web.end());

const rows = () => page.$$eval('.code > li', (rows) => rows.map((row) => ({
  at: row.querySelector('.at .num').textContent,
  bytes: row.querySelector('.bytes').textContent.trim(),
  text: row.querySelector('.text').firstChild ? row.querySelector('.text').textContent.replace(/entry$/, '').trim() : '',
})));

test('the code from the entry point, and the target of a jump', async () => {
  await web.visit('#sample=hello-long64&pane=code');
  const first = await rows();
  assert.deepEqual(first.slice(0, 4), [
    { at: '0x10000', bytes: '48 8d 35 29 00 00 00', text: 'lea rsi, [0x10030]' },
    { at: '0x10007', bytes: '8a 06', text: 'mov al, [rsi]' },
    { at: '0x10009', bytes: '84 c0', text: 'test al, al' },
    { at: '0x1000b', bytes: '74 17', text: 'je 0x10024' },
  ]);
  await page.locator('.code .text a', { hasText: '0x10024' }).click();
  await page.waitForURL(/linear=0x10024$/);
  await page.waitForSelector('.code .related');
  // The listing stays where it is.
  assert.equal((await rows())[0].at, '0x10000');
  assert.match(await web.text('.code .related'), /0x1_?0024.*nop/);
  await page.goBack();
  await page.waitForFunction(() => !document.querySelector('.code .related'));
});

test('what is selected elsewhere is shown as code, and said how', async () => {
  await web.visit('#sample=hello-long64&pane=code&guest=0x10024');
  assert.match(await web.text('.code .related'), /nop/);
  await web.visit('#sample=hello-long64&pane=code&guest=0x8000');
  assert.match(await web.text('.code'), /4096 bytes of zeroes/);
  assert.match(await web.text('.how'), /has the same linear address/);
  assert.match(await web.text('.stop'), /no header writes that memory/);
  await web.visit('#sample=hello-long64&pane=code&linear=0x40000000');
  assert.match(await web.text('.stop'), /leads nowhere: the PDPTE is not present/);
  await web.visit('#sample=hello-long64&pane=code&bits=16');
  assert.match(await web.text('.how'), /16-bit code , though the processor starts in 64-bit mode|16-bit code, though/);
});

async function wrapped(name, firmware, entry) {
  if (!existsSync(firmware)) return false;
  const file = join(await mkdtemp(join(tmpdir(), 'igvm-web-')), 'firmware.igvm');
  await kvmRunner('wrap', '--firmware', firmware, '--entry', entry, '--out', file);
  await page.goto(web.home);
  await web.drop(name, await readFile(file));
  await page.waitForFunction((name) => document.querySelector('.file-name')?.textContent === name, name);
  return true;
}

test('SeaBIOS starts with a far jump below 1 MiB', async (context) => {
  if (!await wrapped('seabios.igvm', '/usr/share/seabios/bios.bin', 'reset16')) return context.skip('no seabios package');
  assert.match(await web.text('.starts'), /Real mode, because CR0\.PE is clear/);
  await web.screenshot('overview-seabios');
  await page.locator('.code .text a').first().click();
  await page.waitForURL(/pane=code.*linear=0xfe05b$/);
  await page.waitForSelector('.code .related');
  assert.equal((await rows())[0].at, '0xfe05b');
  assert.match((await rows())[0].text, /^cmp /);
  await web.screenshot('code-seabios');
});

test('OVMF starts in 16-bit code and is read on in pages', async (context) => {
  if (!await wrapped('ovmf.igvm', '/usr/share/ovmf/OVMF.fd', 'reset16')) return context.skip('no ovmf package');
  await page.keyboard.press('6');
  await page.waitForSelector('.code-pane');
  const [one, two] = await rows();
  assert.equal(one.at, '0xfffffff0');
  // It tells a TDX guest, which starts in protected mode, by CR0.PE.
  assert.deepEqual([one.text, two.text], ['mov eax, cr0', 'test al, 0x1']);
  await page.locator('.code .text a').first().click();
  await page.waitForSelector('.code .related');
  await page.fill('.go input', 'ffff_0000');
  await page.press('.go input', 'Enter');
  await page.waitForURL(/linear=0xffff0000$/);
  await page.waitForSelector('a[rel="next"]');
  const first = (await rows())[0].at;
  const turn = async (rel) => {
    const here = (await rows())[0].at;
    await page.locator(`a[rel="${rel}"]`).click();
    await page.waitForFunction((here) => document.querySelector('.code .at .num').textContent !== here, here);
    return (await rows())[0].at;
  };
  const last = (await rows()).at(-1).at;
  const after = await turn('next');
  assert.ok(BigInt(after) > BigInt(last));
  const back = await turn('prev');
  assert.ok(BigInt(back) < BigInt(after) && BigInt(back) >= BigInt(first) - 640n);
  assert.ok(BigInt(await turn('prev')) < BigInt(back));
});

test('pictures to look at', async () => {
  await web.visit('#sample=hello-long64&pane=code&linear=0x10024&at=0x10000');
  await web.screenshot('code');
  await page.emulateMedia({ colorScheme: 'dark' });
  await web.screenshot('code-dark');
  await page.setViewportSize({ width: 360, height: 740 });
  await web.screenshot('code-360');
});
