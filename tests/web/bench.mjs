// Prints the page's numbers: node bench.mjs FOLDER, where `igvm-bench pages
// FOLDER` has put the files.
import { loadavg } from 'node:os';
import { start } from './harness.mjs';
import { files, opening, scrolling } from './measure.mjs';

const ROUNDS = 5;
const web = await start();
const [small, large, million, scattered] = files(process.argv[2]);
const shown = (values, digits = 0) => {
  const sorted = [...values].sort((one, other) => one - other);
  const [least, median, most] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)].map((value) => value.toFixed(digits));
  return `${median} (${least} to ${most})`;
};

console.log(`| page, ${ROUNDS} rounds: median (smallest to largest) | measured | aim |\n|---|---|---|`);
for (const [name, path, aim] of [
  ['64 MiB', small, 300], ['512 MiB', large, 2000], ['a million headers', million], ['a million ranges', scattered],
]) {
  const rounds = [];
  for (let round = 0; round < ROUNDS; round += 1) rounds.push(await opening(web, path));
  const aimed = aim ? `${aim} ms` : '';
  console.log(`| ${name}: from the drop to the first view | ${shown(rounds.map((round) => round.milliseconds))} ms | ${aimed} |`);
  console.log(`| ${name}: memory the tab takes for it | ${shown(rounds.map((round) => round.grown))} MiB | ${Math.round(rounds[0].size + 64)} MiB |`);
}
const scrolled = [];
for (let round = 0; round < ROUNDS; round += 1) scrolled.push(await scrolling(web, million));
console.log(`| a million headers: longest frame while scrolling | ${shown(scrolled.map((round) => round.longest))} ms | 50 ms |`);
console.log(`| a million headers: median frame | ${shown(scrolled.map((round) => round.median), 1)} ms | |`);
console.log(`\nload average ${loadavg()[0].toFixed(1)}`);
await web.end();
