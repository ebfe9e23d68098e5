// How long the page takes, and what it takes up. `bench.mjs` prints it,
// `large.test.mjs` fails on gross loss.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

const MIB = 1 << 20;

/** Proportional set size, in MiB, of the process that draws the page. */
async function memory(web) {
  const session = await web.browser.newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const sizes = await Promise.all(processInfo.filter(({ type }) => type === 'renderer').map(async ({ id }) => {
    const rollup = await readFile(`/proc/${id}/smaps_rollup`, 'utf8').catch(() => 'Pss: 0 kB');
    return Number(/^Pss:\s+(\d+)/m.exec(rollup)[1]) / 1024;
  }));
  return Math.max(...sizes);
}

/** From the choice of a file to a complete first view, and how much memory more that took. */
export async function opening(web, path) {
  await web.page.goto('about:blank');
  await web.page.goto(web.home);
  // The engine is ready, as it is when a person has read where to drop.
  await web.go('#sample=hello-long64');
  await web.page.waitForSelector('body[data-state="open"]');
  await web.page.goto(web.home);
  await web.page.waitForSelector('.cards a');
  const before = await memory(web);
  await web.page.evaluate(() => {
    const input = document.getElementById('file');
    input.addEventListener('change', () => { window.begun = performance.now(); }, { capture: true, once: true });
    const whole = () => document.body.dataset.state === 'open' && document.querySelector('[data-region="pane"] .lead');
    new MutationObserver((_, observer) => {
      if (!whole()) return;
      observer.disconnect();
      // Drawn, not only made.
      requestAnimationFrame(() => setTimeout(() => { window.ended = performance.now(); }));
    }).observe(document.body, { childList: true, subtree: true, attributes: true });
  });
  await web.page.setInputFiles('#file', path);
  await web.page.waitForFunction(() => window.ended);
  const milliseconds = await web.page.evaluate(() => window.ended - window.begun);
  const { size } = await stat(path);
  return { milliseconds, size: size / MIB, grown: await memory(web) - before };
}

/** The longest time between two frames while a million headers go by. */
export async function scrolling(web, path) {
  await opening(web, path);
  await web.page.keyboard.press('2');
  await web.page.waitForSelector('.rows.headers > li');
  return web.page.evaluate(async () => {
    const scroller = document.getElementById('scroller');
    const frame = () => new Promise((done) => { requestAnimationFrame(done); });
    const times = [];
    let last = await frame();
    const steps = 180;
    for (let step = 1; step <= steps; step += 1) {
      // Slowly at first, then through everything.
      scroller.scrollTop = step < 60 ? step * 40 : (scroller.scrollHeight * (step - 60)) / (steps - 60);
      const now = await frame();
      times.push(now - last);
      last = now;
    }
    const isSeen = () => [...document.querySelectorAll('.rows.headers .index')].some((index) =>
      index.textContent === '1000001' && index.getBoundingClientRect().top < innerHeight);
    let waited = 0;
    while (!isSeen() && waited < 5000) {
      await new Promise((done) => { setTimeout(done, 50); });
      waited += 50;
    }
    times.sort((one, other) => one - other);
    return { longest: times.at(-1), median: times[times.length >> 1], atTheEnd: isSeen() };
  });
}

export const files = (folder) =>
  ['64m.igvm', '512m.igvm', 'million.igvm', 'scattered.igvm'].map((name) => join(folder, name));
