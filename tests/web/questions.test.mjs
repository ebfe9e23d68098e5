// The nine questions that the page answers without a manual, each asked of a
// real file and answered by what a person reads there: after dropping the file,
// with at most two steps more. What is expected comes from the firmware's bytes
// and from `kvm-runner`, which shares the engine but not the screen.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { kvmRunner, site, start } from './harness.mjs';

const firmware = {
  seabios: { path: '/usr/share/seabios/bios.bin', of: 'seabios' },
  ovmf: { path: '/usr/share/ovmf/OVMF.fd', of: 'ovmf' },
};

let web;
let page;
let folder;
before(async () => {
  web = await start();
  page = web.page;
  folder = await mkdtemp(join(tmpdir(), 'questions-'));
});
after(() => web.end());

/** Real firmware in an IGVM file; nothing, and a skip that says why, where its package is missing. */
async function wrapped(t, name, entry = 'reset16') {
  const { path, of } = firmware[name];
  if (!existsSync(path)) {
    const reason = `${path} is missing: install the package ${of}`;
    assert.notEqual(process.env.REQUIRE_PACKAGES, '1', reason);
    t.skip(reason);
    return null;
  }
  const out = join(folder, `${name}-${entry}.igvm`);
  if (!existsSync(out)) await kvmRunner('wrap', '--firmware', path, '--entry', entry, '--out', out);
  return { path: out, image: await readFile(path) };
}

const builtIn = (name) => join(site, 'samples', `${name}.igvm`);

/** A report, also where its exit code says that something was found. */
const report = (...args) => kvmRunner(...args, '--json').catch((error) => JSON.parse(error.stdout));

/** From nothing: the file is dropped. */
async function drop(path) {
  await page.goto('about:blank');
  await page.goto(web.home);
  await web.drop(basename(path), await readFile(path));
  await shows('overview');
}

/** The next step of the person: a key that leads to a pane. */
async function press(key, pane) {
  await page.keyboard.press(key);
  await shows(pane);
}

const shows = (pane) => page.waitForSelector(`body[data-state="open"][data-pane="${pane}"] [data-region="pane"] > *`);

/** The words there, numbers without the signs between their digits. */
const words = (selector = '#pane') => web.text(selector);
const number = (hex) => Number(BigInt(hex));
const hex = (value) => `0x${value.toString(16)}`;
/** Text that is to be found word for word. */
const literally = (text) => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'), 'i');
const bytesOf = (text) => text.trim().split(/\s+/).join('');

/** Whether it is read without scrolling. */
async function isInView(locator) {
  const { y, height } = await locator.boundingBox();
  assert.ok(y >= 0 && y + height <= page.viewportSize().height, `it is at ${y}, ${height} high`);
}

/** Every finding stands there, with its bytes and where the rule comes from. */
async function findingsAreThere(path) {
  const { errors, warnings, findings } = await report('check', path);
  const word = errors > 0 ? `broken, ${errors} error` : warnings > 0 ? `${warnings} warning` : 'sound';
  const verdict = page.locator('.verdict');
  assert.match(await verdict.innerText(), literally(word), path);
  await isInView(verdict);
  const shown = await page.locator('.findings > li').allInnerTexts();
  assert.equal(shown.length, findings.length, path);
  for (const finding of findings) {
    const entry = shown.find((entry) => literally(finding.sentence).test(entry));
    assert.ok(entry, `${path}: ${finding.sentence}`);
    assert.match(entry, literally(finding.severity));
    assert.match(entry, literally(finding.source));
    if (finding.header !== undefined) assert.match(entry, literally(`header ${finding.header}`));
    if (finding.file) assert.match(entry, literally(`file ${finding.file.file_offset}`));
    if (finding.guest) assert.match(entry, literally(`guest ${finding.guest.gpa}`));
  }
  return findings;
}

test('1. Is this file sound, and if not, which bytes are wrong and what would each loader say?', async (t) => {
  const file = await wrapped(t, 'ovmf');
  if (!file) return;
  await drop(file.path);
  await findingsAreThere(file.path);
  assert.match(await words('.verdict'), /sound/);
  // The same image with one byte of its headers broken.
  const bytes = await readFile(file.path);
  const at = 0x20 + 0x18 + 0x10;
  bytes[at] ^= 0x40;
  const broken = join(folder, 'broken.igvm');
  await writeFile(broken, bytes);
  await drop(broken);
  assert.ok((await findingsAreThere(broken)).some(({ severity }) => severity === 'error'));
  for (const name of ['context-reserved-bits', 'page-flags', 'header-padding', 'qemu-error-range', 'igvm-crate-no-file-data', 'parameters']) {
    await drop(builtIn(name));
    const findings = await findingsAreThere(builtIn(name));
    // The bytes themselves, one click away.
    const place = findings.find(({ file }) => file)?.file;
    const link = page.locator('.findings a[title="offset in the file"]').first();
    const offset = number(await link.innerText());
    assert.ok(place && findings.some(({ file }) => file && number(file.file_offset) === offset));
    await link.click();
    await page.waitForSelector('.inspector .dump');
    const original = await readFile(builtIn(name));
    const [line] = (await page.locator('.inspector .dump').innerText()).split('\n');
    assert.match(line, literally(original.subarray(offset, offset + 8).toString('hex').replace(/..(?!$)/g, '$& ')), name);
  }
});

/** The second question, asked of one file. */
async function startIsTold(file, physical) {
  await drop(file.path);
  const { processors: [first] } = await report('state', file.path);
  const { registers } = first;
  const starts = await words('.starts');
  assert.match(starts, literally(first.mode_because));
  const linear = number(registers.cs.base) + number(registers.rip);
  assert.match(starts, literally(`CS:RIP is linear ${hex(linear)}`));
  const push = number(registers.ss.base) + number(registers.rsp);
  assert.match(starts, literally(`SS:RSP is linear ${hex(push)}`));
  const way = await report('walk', file.path, hex(linear));
  assert.equal(number(way.physical), physical);
  assert.match(starts, way.entries.length > 0 ? literally(`${way.paging} from CR3, ${registers.cr3}`) : /Page tables none/);
  await isInView(page.locator('.starts'));
  // The bytes of the instruction, as they stand in the firmware.
  const row = page.locator('.code > li').first();
  const bytes = bytesOf(await row.locator('.bytes').innerText());
  const from = file.image.length - (2 ** 32 - physical);
  assert.equal(bytes, file.image.subarray(from, from + bytes.length / 2).toString('hex'));
  assert.equal(await page.locator('.headline').count(), 0);
  await isInView(row);
  return row.locator('.text').innerText();
}

test('2. In which mode, at which address, with which stack and page tables, and what are the first instructions?', async (t) => {
  for (const name of ['seabios', 'ovmf']) {
    for (const entry of ['reset16', 'flat32', 'long64']) {
      const file = await wrapped(t, name, entry);
      if (!file) return;
      const instruction = await startIsTold(file, 0xfffffff0);
      // The reset vector of SeaBIOS is a far jump, in real mode.
      if (name === 'seabios' && entry === 'reset16') assert.match(instruction, /jmp.*f000.*e05b/i);
    }
  }
  await web.screenshot('question-2');
});

test('3. Does the entry lie in memory that the file provides, in a page that is mapped and executable?', async (t) => {
  for (const name of ['seabios', 'ovmf']) {
    const file = await wrapped(t, name, 'long64');
    if (!file) return;
    await drop(file.path);
    const { memory } = await report('state', file.path);
    const writers = memory.find(({ gpa, length }) => number(gpa) <= 0xfffffff0 && number(gpa) + number(length) > 0xfffffff0);
    const starts = await words('.starts');
    const [, header] = /First instruction .*?memory that header (\d+) fills, page rights r.xs/.exec(starts);
    assert.ok(writers.header <= Number(header) && Number(header) <= (writers.last_header ?? writers.header));
    const { rights } = await report('walk', file.path, '0xfffffff0');
    assert.match(starts, literally(`page rights ${rights}`));
    assert.equal(await page.locator('.headline').count(), 0);
  }
  // And where not: the headline, red, above everything else, with the reason.
  for (const name of ['entry-unmapped', 'entry-not-executable', 'entry-outside-memory', 'entry-not-written']) {
    await drop(builtIn(name));
    const { processors: [{ registers }] } = await report('state', builtIn(name));
    const linear = number(registers.cs.base) + number(registers.rip);
    const headline = page.locator('.prose > *').first();
    const said = (await headline.innerText()).replace(/\s+/g, ' ');
    assert.match(said, literally(`The first instruction cannot run. Processor 0 starts at linear ${hex(linear)}, and `), name);
    const way = await report('walk', builtIn(name), hex(linear));
    assert.match(said, way.physical === null ? literally(`leads nowhere: ${way.fault}`) : /not executable|no memory|no header writes/, name);
    await isInView(headline);
    const red = await headline.evaluate((shown) => {
      const colours = [shown, ...shown.children].flatMap((part) => {
        const { color, borderLeftColor, backgroundColor } = getComputedStyle(part);
        return [color, borderLeftColor, backgroundColor];
      });
      return colours.some((colour) => {
        const [r, g, b, a] = colour.match(/[\d.]+/g).map(Number);
        return a !== 0 && r > 1.5 * g && r > 1.5 * b;
      });
    });
    assert.ok(red, `${name}: not red`);
  }
});

test('4. What lies where in guest memory, and who put it there?', async (t) => {
  const files = [{ path: builtIn('parameters') }, await wrapped(t, 'seabios', 'long64'), await wrapped(t, 'ovmf')];
  for (const file of files) {
    if (!file) return;
    await drop(file.path);
    await press('3', 'memory');
    await page.waitForSelector('.rows.memory .line');
    const { memory } = await report('state', file.path);
    const line = (text) => text.replace(/\s+/g, ' ');
    const rows = (await page.locator('.rows.memory > li.line').allInnerTexts()).map(line);
    const told = ({ gpa, length, header, last_header: last, file_offset: offset, parameter, area }) => {
      const end = number(gpa) + number(length) - 1;
      const from = offset === undefined ? parameter ?? '' : `file ${offset}`;
      const by = last === undefined ? `header ${header}` : `header ${header} to ${last}`;
      return { range: `${gpa}–${hex(end)}`, by, from, area };
    };
    const isRow = (row, { range, by, from }) => [range, by, from].every((part) => row.replace(/ – /g, '–').includes(part));
    const first = memory.slice(0, 15);
    for (const extent of first) {
      assert.ok(rows.some((row) => isRow(row, told(extent))), `${JSON.stringify(told(extent))} in ${rows.slice(0, 20).join('\n')}`);
    }
    // The picture beside every pane has them, too.
    assert.ok(await page.locator('.map.standing a').count() > 0);
  }
  await web.screenshot('question-4');
});

test('5. What will the firmware be told about RAM, processors and the command line, and where?', async (t) => {
  await drop(builtIn('parameters'));
  const { parameter_areas: areas, guest_memory: ram } = await report('state', builtIn('parameters'));
  const rows = (await page.locator('table.told tbody tr').allInnerTexts()).map((row) => row.replace(/\s+/g, ' '));
  for (const area of areas) {
    for (const { parameter, gpa } of area.content.filter(({ parameter }) => parameter)) {
      const at = hex(number(area.inserted.gpa) + number(gpa));
      const row = rows.find((row) => row.startsWith(parameter.replace(/_PARAMETER$/, '')) && row.includes(at));
      assert.ok(row, `${parameter} at ${at}`);
    }
  }
  const bytes = ram.reduce((sum, { length }) => sum + number(length), 0);
  assert.match(rows.find((row) => row.startsWith('MEMORY_MAP')), literally(`${bytes / 2 ** 20} MiB of RAM`));
  assert.match(rows.find((row) => row.startsWith('VP_COUNT')), /1 processor /);
  assert.match(rows.find((row) => row.startsWith('COMMAND_LINE')), /empty/);
  // A firmware that is told nothing in this way.
  const file = await wrapped(t, 'seabios');
  if (!file) return;
  await drop(file.path);
  assert.match(await words('.prose'), /The file has no parameter areas: the firmware is told nothing/);
});

test('6. What would change with 4 processors, 8 GiB, another platform?', async (t) => {
  const host = ['--cpus', '4', '--memory', '8G'];
  const files = [{ path: builtIn('parameters') }, await wrapped(t, 'ovmf')];
  for (const file of files) {
    if (!file) return;
    await drop(file.path);
    await press('8', 'host');
    await page.locator('.presets a', { hasText: '4 processors, 8 GiB' }).click();
    await page.waitForURL(/cpus=4&memory=0x200000000/);
    await page.waitForFunction(() => /What this host changes/.test(document.querySelector('#pane').innerText));
    const said = await words();
    assert.match(said, /Compared with 1 processor and 256 MiB/);
    assert.match(said, /There are 4 processors instead of 1/);
    const { processors, guest_memory: ram } = await report('state', file.path, ...host);
    assert.equal(processors.length, 4);
    const waiting = processors.filter(({ start }) => start !== 'runs').length;
    assert.match(said, literally(`4 of the host: ${4 - waiting} at once, ${waiting} wait for a start-up interrupt`));
    const bytes = ram.reduce((sum, { length }) => sum + number(length), 0);
    if (bytes === 2 ** 33) assert.match(said, /The guest has 8 GiB of memory instead of/);
    const before = await report('state', file.path);
    // What the host writes differs in the parameter areas only.
    const told = before.parameter_areas.length > 0;
    assert.equal(await page.locator('a.difference').count() > 0, told);
    if (told) for (const { gpa } of ram) assert.match(said, literally(gpa));
    assert.match(said, told ? /changes .*?[1-9]\d* ranges? of memory/i : /0 ranges of memory|nothing in memory/);
  }
  await web.screenshot('question-6');
  // Another platform: one click in the bar.
  await drop(builtIn('platforms'));
  for (const platform of ['sev-snp', 'tdx', 'vsm']) {
    const state = await report('state', builtIn('platforms'), '--platform', platform);
    await page.locator('.switch a', { hasText: platform }).first().click();
    await page.waitForURL(new RegExp(`platform=${platform}`));
    await page.waitForFunction((platform) => document.querySelector('.bar .switch [aria-current]')?.textContent === platform, platform);
    assert.match(await words('.starts'), literally(state.processors[0].mode_because), platform);
  }
});

test('7. What differs from yesterday’s build?', async (t) => {
  const file = await wrapped(t, 'seabios', 'long64');
  if (!file) return;
  // Yesterday's build had another byte near its end, and started elsewhere.
  const image = Buffer.from(file.image);
  image[image.length - 0x1234] ^= 0xff;
  image[image.length - 0x2345] ^= 0x0f;
  await writeFile(join(folder, 'yesterday.bin'), image);
  const yesterday = join(folder, 'yesterday.igvm');
  await kvmRunner('wrap', '--firmware', join(folder, 'yesterday.bin'), '--entry', 'flat32', '--out', yesterday);
  await drop(file.path);
  await press('9', 'compare');
  await web.drop('yesterday.igvm', await readFile(yesterday));
  await page.waitForFunction(() => {
    const lead = document.querySelector('.compare .lead');
    return lead && !lead.textContent.includes('Comparing');
  });
  const { headers, registers, memory } = await report('diff', yesterday, file.path);
  const said = await words();
  const { added, removed, changed, same } = headers.headers;
  assert.match(said, literally(`Headers ${added + removed + changed}, and ${same} the same`));
  for (const [count, what] of [[changed, 'changed'], [added, 'added'], [removed, 'removed']]) {
    if (count > 0) assert.match(said, new RegExp(`${count} headers? ${what}`));
  }
  assert.match(said, literally(`Registers ${registers.changed.total}`));
  for (const { register } of registers.changed.kept) assert.match(said, new RegExp(`\\b${register}\\b`));
  assert.match(said, literally(`Memory ${memory.changes.total}`));
  for (const { gpa } of memory.changes.kept) assert.match(said, literally(gpa));
  assert.match(said, /1 byte differs/);
  await web.screenshot('question-7');
});

test('8. Why does QEMU (or another loader) refuse it, or load something else?', async (t) => {
  const refuses = ['qemu-error-range', 'qemu-mmio-ranges', 'qemu-context', 'qemu-relocation', 'igvm-crate-no-file-data'];
  const otherwise = ['qemu-gs-base', 'qemu-environment-info', 'qemu-memory-map-offset', 'igvm-crate-page-2m'];
  for (const name of [...refuses, ...otherwise]) {
    await drop(builtIn(name));
    const { findings } = await report('check', builtIn(name));
    // QEMU reads files with the igvm crate.
    const sentences = findings.filter(({ rule }) => /^(qemu|igvm-crate)\./.test(rule)).map(({ sentence }) => sentence);
    assert.ok(sentences.length > 0, name);
    // At once among the findings, and beside the command that it fails.
    for (const sentence of sentences) assert.match(await words('.findings'), literally(sentence));
    await press('0', 'export');
    for (const sentence of sentences) assert.match(await words('.notes-list'), literally(sentence), name);
    if (refuses.includes(name)) assert.ok(await page.locator('.notes-list .refuses').count() > 0, name);
  }
  await web.screenshot('question-8');
  // A broken file is not called one that QEMU takes.
  await drop(builtIn('fixed-checksum'));
  await press('0', 'export');
  assert.match(await words('.notes-list'), /The file is broken/);
  const file = await wrapped(t, 'seabios');
  if (!file) return;
  await drop(file.path);
  assert.match(await words('.findings'), /OpenVMM and cloud-hypervisor cannot load platform native/);
  await press('0', 'export');
  assert.match(await words('.notes-list'), /Nothing in this file is known that QEMU refuses or loads otherwise/);
});

/** Runs a line as a person pastes it, with the programs of this build. */
function paste(line) {
  const runner = process.env.IGVM_RUNNER
    ?? join(process.env.CARGO_TARGET_DIR ?? resolve(import.meta.dirname, '../../target'), 'debug/kvm-runner');
  const env = { ...process.env, PATH: `${dirname(resolve(runner))}:${process.env.PATH}` };
  return new Promise((done) => {
    execFile('sh', ['-c', line], { cwd: folder, env, timeout: 20_000 }, (error, stdout, stderr) => {
      done({ code: error ? error.code : 0, said: stdout + stderr });
    });
  });
}

test('9. Which command boots it here and now?', async (t) => {
  const file = await wrapped(t, 'seabios');
  if (!file) return;
  await drop(file.path);
  await press('0', 'export');
  await page.locator('button[aria-label="Copy the line for kvm-runner"]').click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied, await words('#kvm-line'));
  assert.match(copied, literally(basename(file.path)));
  // It is a line that the program takes: it boots, or says that there is no KVM.
  const { code, said } = await paste(`${copied} --debugcon stdio --until 'SeaBIOS (version' --timeout 10`);
  assert.ok([0, 5].includes(code), `${code}: ${said}`);
  if (code === 0) assert.match(said, /SeaBIOS \(version/);
  assert.match(await words('#qemu-line'), literally(`file=${basename(file.path)}`));
  await web.screenshot('question-9');
});
