// Holds the engine. Each message in is one event, each message out one update.
'use strict';

importScripts('igvm_web.js');

let stopped = '';
self.engineStopped = (reason) => { stopped = reason; };

const ready = wasm_bindgen({ module_or_path: 'igvm_web_bg.wasm' }).then(() => new wasm_bindgen.Engine());

// Events are dealt with one after the other, also those that fetch.
let last = Promise.resolve();
self.onmessage = ({ data }) => {
  last = last.then(() => handle(data)).catch((error) => {
    postMessage({ stopped: stopped || String(error) });
  });
};

async function handle(event) {
  const engine = await ready;
  if (event.action === 'open') {
    postMessage(engine.open(event.file, event.file.name, false));
    return;
  }
  const answer = engine.act(JSON.stringify(event));
  const { fetch: sample } = JSON.parse(answer);
  if (!sample) {
    postMessage(answer);
    return;
  }
  const response = await fetch(`samples/${sample}.igvm`).catch(() => null);
  if (!response || !response.ok) {
    postMessage(engine.act(JSON.stringify({ action: 'missing', name: sample })));
    return;
  }
  postMessage(engine.open(await response.blob(), sample, true));
}
