// axe finds nothing on any pane, light and dark, wide and narrow; nothing is
// wider than the screen. Each look is kept as a picture.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { start } from './harness.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const sizes = { wide: { width: 1280, height: 800 }, narrow: { width: 360, height: 740 } };

/** Each pane, with something to see in it. */
const panes = {
  overview: '', headers: '&header=7', memory: '&guest=0x2000', processors: '&register=0.cr0', paging: '&linear=0x1000',
  code: '', hex: '&guest=0x1000', host: '&cpus=4', compare: '&with-sample=hello-long64', export: '',
};

let web;
before(async () => { web = await start(); });
after(() => web.end());

async function violations() {
  // Not by a script tag: the page's policy forbids it.
  await web.page.evaluate(axe);
  const { violations } = await web.page.evaluate(() => window.axe.run());
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(({ html }) => html).join(' ')}`);
}

async function isNotTooWide(name) {
  const over = await web.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(over <= 0, `${name} is ${over} px too wide`);
}

for (const colorScheme of ['light', 'dark']) {
  for (const [size, viewport] of Object.entries(sizes)) {
    test(`${colorScheme}, ${size}`, async (t) => {
      await web.page.emulateMedia({ colorScheme });
      await web.page.setViewportSize(viewport);
      await web.page.goto('about:blank');
      await web.page.goto(web.home);
      await web.page.waitForSelector('.cards a');
      await web.screenshot(`empty-${size}-${colorScheme}`);
      await t.test('empty', async () => assert.deepEqual(await violations(), []));
      for (const [pane, more] of Object.entries(panes)) {
        await t.test(pane, async () => {
          await web.visit(`#sample=parameters&pane=${pane}${more}`);
          await web.page.waitForSelector(`body[data-pane="${pane}"] [data-region="pane"] > *`);
          await web.page.waitForTimeout(150);
          await web.screenshot(`${pane}-${size}-${colorScheme}`);
          await isNotTooWide(pane);
          assert.deepEqual(await violations(), []);
        });
      }
    });
  }
}

test('from 320 px to 4K nothing is cut off', async () => {
  for (const width of [320, 600, 899, 1101, 3840]) {
    await web.page.setViewportSize({ width, height: 900 });
    for (const pane of Object.keys(panes)) {
      await web.visit(`#sample=parameters&pane=${pane}`);
      await isNotTooWide(`${pane} at ${width}`);
    }
  }
});
