// End to end over the built folder: every pane of every kind of file, one
// selection followed everywhere and back, links to all of it, files dropped
// together, and the keyboard alone. Errors on the console fail at the end.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { kvmRunner, site, start } from './harness.mjs';

const samples = resolve(dirname(fileURLToPath(import.meta.url)), '../samples');
const igvm = async (folder) => (await readdir(folder)).filter((name) => name.endsWith('.igvm')).map((name) => basename(name, '.igvm'));

let web;
let page;
before(async () => {
  web = await start();
  page = web.page;
});
after(() => web.end());

/** Each pane by its key, and what stands in it where there is anything to show. */
const panes = {
  1: ['overview', '.prose .facts'],
  2: ['headers', '.rows.headers > li, .rows.headers .empty'],
  3: ['memory', '.rows.memory .line, .empty'],
  4: ['processors', '.processor, .empty'],
  5: ['paging', '.paging, .empty'],
  6: ['code', '.code > li, .stop, .empty'],
  7: ['hex', '.line .cells, .fold'],
  8: ['host', '.host-form'],
  9: ['compare', '.choose'],
  0: ['export', '.takeaways'],
};

/** Presses the key of a pane, and waits for the pane. */
async function press(key) {
  const [pane, content] = panes[key];
  await page.keyboard.press(key);
  const here = `body[data-pane="${pane}"] #pane`;
  await page.waitForSelector(content.split(', ').map((part) => `${here} ${part}`).join(', '), { state: 'attached' });
}

/** All ten panes of the file that is open say something, and nothing went wrong. */
async function everyPane(name) {
  for (const key of Object.keys(panes)) {
    await press(key);
    const { pane, inspector, message, over } = await page.evaluate(() => ({
      pane: document.querySelector('#pane').innerText.trim(),
      inspector: document.querySelector('.inspector').innerText.trim(),
      message: document.querySelector('#message').textContent,
      over: document.documentElement.scrollWidth - innerWidth,
    }));
    const where = `${name}, ${panes[key][0]}`;
    assert.ok(pane.length > 20, `${where}: “${pane}”`);
    assert.ok(inspector.length > 0, where);
    assert.equal(message, '', where);
    assert.ok(over <= 0, `${where} is ${over} px too wide`);
    assert.doesNotMatch(pane, /undefined|\bNaN\b|\bNone\b|Some\(/, where);
    assert.deepEqual(web.troubles, [], where);
  }
}

/** Goes to a sample without a reload. */
async function open(name, more = '') {
  await web.go(`#v=1&sample=${name}&pane=overview${more}`);
  await page.waitForFunction((name) => document.querySelector('.file-name')?.textContent === name
    || document.querySelector('#message').textContent !== '', name);
}

test('every pane of every sample', async () => {
  const broken = new Set(await igvm(join(samples, 'broken')));
  const good = (await igvm(join(site, 'samples'))).filter((name) => !broken.has(name));
  assert.ok(good.length >= 12, `${good}`);
  await page.goto(web.home);
  for (const name of good) {
    await open(name);
    await everyPane(name);
    assert.match(await web.text('.verdict'), /sound|warning/, name);
  }
});

test('every pane of real firmware', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'everywhere-'));
  for (const [firmware, entry] of [
    ['/usr/share/seabios/bios.bin', 'reset16'], ['/usr/share/seabios/bios.bin', 'long64'],
    ['/usr/share/ovmf/OVMF.fd', 'reset16'], ['/usr/share/ovmf/OVMF.fd', 'long64'],
  ]) {
    if (!existsSync(firmware)) {
      const reason = `${firmware} is missing: install seabios and ovmf`;
      assert.notEqual(process.env.REQUIRE_PACKAGES, '1', reason);
      return t.skip(reason);
    }
    const name = `${basename(firmware)}-${entry}.igvm`;
    await kvmRunner('wrap', '--firmware', firmware, '--entry', entry, '--out', join(folder, name));
    await page.goto(web.home);
    await web.drop(name, await readFile(join(folder, name)));
    await page.waitForFunction((name) => document.querySelector('.file-name')?.textContent === name, name);
    await everyPane(name);
    assert.match(await web.text('.verdict'), /sound/, name);
  }
});

test('every pane of a broken file of each kind', async () => {
  // The first word says which part of the rule book it is about.
  const kinds = new Map((await igvm(join(samples, 'broken'))).map((name) => [name.split('-')[0], name]));
  assert.ok(kinds.size >= 25, `${kinds.size} kinds`);
  await page.goto('about:blank');
  await page.goto(web.home);
  for (const name of kinds.values()) {
    await open(name);
    const said = await page.locator('#message').textContent();
    if (said) {
      assert.match(said, /cannot be shown: .{10,}\./, name);
      continue;
    }
    assert.ok(await page.locator('.findings > li').count() > 0, name);
    await everyPane(name);
  }
});

/** What a person reads: the pane, and the inspector. What is scrolled counts by what is marked in it. */
const screen = () => page.evaluate(() => {
  const pane = document.querySelector('#pane');
  const text = (element) => element.innerText.replace(/\s+/g, ' ').trim();
  const scroller = pane.querySelector('#scroller');
  const shown = scroller
    ? [...pane.querySelectorAll('.related, .chosen')].map(text).join(' | ')
    : text(pane);
  return `${location.hash}\n${shown}\n${text(document.querySelector('.inspector'))}\n${document.title}`;
});

/** The screen becomes as it was. */
async function becomes(wanted) {
  let shown;
  for (let tries = 0; tries < 100; tries += 1) {
    shown = await screen();
    if (shown === wanted) return;
    await page.waitForTimeout(20);
  }
  assert.equal(shown, wanted);
}

/** A step: does something, and waits for where it leads. */
async function step(visited, act, url, mark) {
  await act();
  await page.waitForURL(url);
  await page.waitForSelector(mark);
  visited.push(await screen());
}

const chain = (text) => () => page.locator('.chain a', { hasText: text }).first().click();

test('from register to header to file to guest to linear to code to hex, and Back through all of it', async () => {
  await web.visit('#v=1&sample=hello-long64&pane=processors');
  await page.waitForSelector('.processor');
  const visited = [await screen()];
  const go = (...args) => step(visited, ...args);
  await go(() => page.locator('[data-register="rip"]').click(), /processors.*register=0\.rip$/, '[data-register="rip"][aria-current]');
  await go(chain('header 7'), /pane=headers.*header=7$/, '#header-7[aria-expanded="true"]');
  // From the header to its bytes, and from these to what they are: a register.
  await go(() => page.locator('.inspector h3 a[title="offset in the file"]').click(), /file-offset=0x/, 'li.related #header-7');
  await go(chain('0x'), /pane=hex.*file-offset=0x/, '.rows .chosen');
  await go(() => page.locator('.chain li', { hasText: 'processor 0' }).locator('a').click(), /pane=processors.*register=0\./, '[data-register][aria-current]');
  // From the header that fills the memory of the first instruction on.
  await go(() => page.keyboard.press('2'), /pane=headers/, '#header-6');
  await go(() => page.locator('#header-6').click(), /pane=headers.*header=6$/, '#header-6[aria-expanded="true"]');
  await go(() => page.locator('.chain a[title="guest physical address"]').click(), /pane=memory.*guest=0x10000$/, 'li.line.related');
  await go(() => page.locator('.chain a[title="offset in the file"]').click(), /pane=hex.*file-offset=0x/, '.rows .chosen');
  await go(() => page.locator('.chain a[title="guest physical address"]').click(), /pane=memory.*guest=0x10000$/, 'li.line.related');
  await go(() => page.locator('.chain a[title="linear address"]').click(), /pane=paging.*linear=0x10000$/, '.paging [aria-current]');
  await go(() => page.keyboard.press('6'), /pane=code.*linear=0x10000$/, '.code li.related [aria-current]');
  await go(() => page.locator('.chain a', { hasText: 'bytes' }).click(), /pane=hex.*guest=0x10000$/, '.rows .chosen');
  await go(chain('header 6'), /pane=headers.*header=6$/, '#header-6[aria-expanded="true"]');
  await go(() => page.keyboard.press('4'), /pane=processors.*header=6$/, '.processor');
  const back = visited.slice(0, -1).reverse();
  for (const wanted of back) {
    await page.goBack();
    await becomes(wanted);
  }
  for (const wanted of visited.slice(1)) {
    await page.goForward();
    await becomes(wanted);
  }
  // And each of them is a link, to be followed from nothing.
  for (const wanted of new Set(visited)) {
    await web.visit(wanted.split('\n')[0]);
    await becomes(wanted);
  }
});

test('one selection is seen in every pane at once', async () => {
  const { memory } = await kvmRunner('state', '--json', join(samples, 'hello-long64.igvm'));
  const code = memory.find(({ gpa }) => BigInt(gpa) === 0x10000n);
  const start = code ?? memory.find(({ gpa, length }) => BigInt(gpa) <= 0x10000n && BigInt(gpa) + BigInt(length) > 0x10000n);
  const offset = BigInt(start.file_offset) + 0x10000n - BigInt(start.gpa);
  const inMemory = {
    headers: 'li.related #header-6', memory: 'li.line.related', hex: '.rows .chosen', code: '.code li.related [aria-current]',
    paging: '.paging #translate[value="0x10000"]',
  };
  const selections = {
    'register=0.rip': { headers: 'li.related #header-7', processors: '[data-register="rip"][aria-current]', hex: '.rows .chosen' },
    'header=6': inMemory,
    [`file-offset=0x${offset.toString(16)}`]: inMemory,
    'guest=0x10000': inMemory,
    'linear=0x10000': inMemory,
  };
  for (const [selection, marks] of Object.entries(selections)) {
    await web.visit(`#v=1&sample=hello-long64&pane=overview&${selection}`);
    let inspected;
    for (const key of Object.keys(panes)) {
      await press(key);
      const [pane] = panes[key];
      if (marks[pane]) await page.waitForSelector(marks[pane]);
      // The same words beside every pane.
      inspected ??= await web.text('.inspector');
      assert.equal(await web.text('.inspector'), inspected, `${selection} in ${pane}`);
      assert.equal(await page.locator('.map.standing .selected').count(), marks === inMemory ? 1 : 0, `${selection} in ${pane}`);
    }
    assert.match(inspected, marks === inMemory ? /header 6, PAGE_DATA/ : /header 7, VP_CONTEXT/);
  }
});

/** Drops several files in one movement. */
async function dropAll(files) {
  const data = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const [name, base64] of files) {
      transfer.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name));
    }
    return transfer;
  }, files.map(([name, bytes]) => [name, bytes.toString('base64')]));
  await page.dispatchEvent('body', 'drop', { dataTransfer: data });
}

const names = () => page.locator('.files li').allInnerTexts().then((all) => all.map((one) => one.replace('×', '').trim()));

test('two files dropped together, and one by one', async () => {
  const [one, other] = [await web.sample('hello-long64'), await web.sample('parameters')];
  for (const drop of [
    () => dropAll([['one.igvm', one], ['other.igvm', other]]),
    async () => {
      await web.drop('one.igvm', one);
      await page.waitForSelector('.file-name');
      await web.drop('other.igvm', other);
    },
  ]) {
    await page.goto('about:blank');
    await page.goto(web.home);
    await drop();
    await page.waitForFunction(() => document.querySelectorAll('.files li').length === 2);
    assert.deepEqual(await names(), ['one.igvm', 'other.igvm']);
    assert.equal(await web.text('.file-name'), 'other.igvm');
    // Both can be looked at, and compared.
    await page.locator('.files a', { hasText: 'one.igvm' }).click();
    await page.waitForURL(/file=one\.igvm/);
    await page.waitForFunction(() => document.querySelector('.file-name').textContent === 'one.igvm');
    await everyPane('one.igvm');
    await press('9');
    await page.locator('.choose a', { hasText: 'other.igvm' }).click();
    await page.waitForFunction(() => /differ/.test(document.querySelector('.compare .lead')?.textContent ?? ''));
  }
  // One of them is no file that can be shown: the other one is open.
  await page.goto('about:blank');
  await page.goto(web.home);
  await dropAll([['one.igvm', one], ['photo.png', Buffer.from('no')]]);
  await page.waitForSelector('#message:not(:empty)');
  assert.deepEqual(await names(), ['one.igvm']);
});

test('the keyboard alone: panes, going, searching, help, nothing selected', async () => {
  await web.visit('#v=1&sample=parameters&pane=overview');
  for (const key of ['1', '2', '3', '4', '5', '6', '7', '8', '9', '0']) {
    await press(key);
    assert.equal(await page.locator('.tabs [aria-current="page"]').getAttribute('data-key'), key);
  }
  await page.keyboard.press('g');
  await page.waitForSelector('#go-to[open] input:focus');
  await page.keyboard.type('0x20000');
  await page.keyboard.press('Enter');
  await page.waitForURL(/pane=hex.*guest=0x20000/);
  // No key is taken from a dialog or a field.
  await page.keyboard.press('?');
  await page.waitForSelector('#help[open]');
  await page.keyboard.press('3');
  assert.ok(await page.locator('body[data-pane="hex"] #help[open]').count());
  await page.keyboard.press('Escape');
  await page.waitForSelector('#help:not([open])', { state: 'attached' });
  const steps = await page.evaluate(() => history.length);
  await page.keyboard.press('Escape');
  await page.waitForURL((url) => !url.hash.includes('guest='));
  await page.waitForSelector('body[data-selected="false"]');
  assert.equal(await page.evaluate(() => history.length), steps);
  await page.keyboard.press('/');
  await page.waitForSelector('#search:focus');
  await page.keyboard.type('2');
  await page.keyboard.press('Control+A');
  await page.keyboard.type('parameter_insert');
  await page.waitForFunction(() => /of \d+ headers/.test(document.querySelector('.tally')?.textContent ?? ''));
  await page.keyboard.press('Escape');
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true);
  await press('2');
});

test('Tab goes through the page as it is read, and Enter follows', async () => {
  await web.visit('#v=1&sample=hello-long64&pane=processors&register=0.rip');
  await page.waitForSelector('.processor');
  assert.equal(await page.locator('[tabindex]:not([tabindex="0"]):not([tabindex="-1"])').count(), 0);
  await page.evaluate(() => document.activeElement.blur());
  const places = [];
  let last;
  for (let presses = 0; presses < 300; presses += 1) {
    await page.keyboard.press('Tab');
    const held = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const { width, height } = element.getBoundingClientRect();
      const part = element.closest('.brand, .bar, .tools, .tabs, .space, #pane, .inspector');
      return {
        part: part?.id || part?.classList[0],
        register: element.dataset.register,
        isSeen: width > 0 && height > 0,
        // On the picture, the mark itself shows it.
        isMarked: getComputedStyle(element).outlineStyle !== 'none'
          || getComputedStyle(element.querySelector('rect') ?? element).strokeWidth === '2px',
        input: element.id,
      };
    });
    if (!held) break;
    if (held.part !== last) places.push(held.part);
    last = held.part;
    assert.ok(held.part, 'something outside of the page');
    assert.ok(held.isSeen || held.input === 'file', `${held.part} ${held.input} is not seen`);
    assert.ok(held.isMarked || held.input === 'file', `${held.part} ${held.input} shows no focus`);
  }
  assert.deepEqual(places, ['brand', 'bar', 'tools', 'tabs', 'space', 'pane', 'inspector']);
  await page.locator('[data-register="rsp"]').focus();
  await page.keyboard.press('Enter');
  await page.waitForURL(/register=0\.rsp$/);
  await page.waitForSelector('[data-register="rsp"][aria-current]');
  assert.equal(await page.evaluate(() => document.activeElement.dataset.register), 'rsp');
});
