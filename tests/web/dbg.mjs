import { start } from './harness.mjs';
import { opening } from './measure.mjs';
const web = await start(); const page = web.page;
await opening(web, '../../target/bench/million.igvm');
await page.keyboard.press('2');
await page.waitForSelector('.rows.headers > li');
for (const css of ['', '.rows > li{contain:content}', '.rows > li{contain:strict;height:28px}', '.rows .row{display:flex!important}', '.rows .row{display:block!important}']) {
await page.evaluate(css => { document.adoptedStyleSheets = [new CSSStyleSheet()]; document.adoptedStyleSheets[0].replaceSync(css); }, css);
console.log(css, await page.evaluate(async () => {
  const rows = document.querySelector('.rows.headers'); const html = rows.innerHTML;
  const out = [];
  for (let i = 0; i < 15; i++) { 
   const a = performance.now(); rows.innerHTML = html; const b = performance.now(); document.getElementById('scroller').clientHeight; const c = performance.now();
   out.push([(b-a), (c-b)]); await new Promise(requestAnimationFrame);}
  const med = k => out.map(o=>o[k]).sort((x,y)=>x-y)[7].toFixed(1);
  return [html.length, rows.children.length, med(0), med(1)];
}));
}
await web.browser.close(); web.server.close();
