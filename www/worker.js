// Holds the engine. Each message in is one event, each message out one update.
'use strict';

importScripts('igvm_web.js');

let stopped = '';
self.engineStopped = (reason) => { stopped = reason; };

const ready = wasm_bindgen({ module_or_path: 'igvm_web_bg.wasm' }).then(() => new wasm_bindgen.Engine());

// Milliseconds of long work before the next event has its turn.
const SLICE = 40;

// Events are dealt with one after the other, also those that fetch.
let last = Promise.resolve();
const inTurn = (work) => {
  last = last.then(work).catch((error) => postMessage({ stopped: stopped || String(error) }));
};
self.onmessage = ({ data }) => inTurn(() => handle(data));

async function handle({ number, ...event }) {
  const engine = await ready;
  let answer = event.action === 'open'
    ? engine.open(event.file, event.file.name, false)
    : act(engine, event);
  let { fetch: sample } = JSON.parse(answer);
  // A comparison can ask for two.
  while (sample) {
    answer = await fetched(engine, sample);
    sample = JSON.parse(answer).fetch;
  }
  tell(engine, answer, { number, action: event.action });
}

/** The engine takes text only: what a form has. */
function act(engine, { action, ...fields }) {
  return engine.act(action, Object.keys(fields), Object.values(fields).map(String));
}

async function fetched(engine, sample) {
  const response = await fetch(`samples/${sample}.igvm`).catch(() => null);
  if (!response || !response.ok) return act(engine, { action: 'missing', name: sample });
  return engine.open(await response.blob(), sample, true);
}

// Long work goes on behind the events that have arrived meanwhile.
let waiting = false;
const next = new MessageChannel();
next.port1.onmessage = ({ data: event }) => inTurn(async () => {
  waiting = false;
  const engine = await ready;
  tell(engine, engine.work(SLICE), event);
});

function tell(engine, answer, { number, action }) {
  postMessage({ update: answer, number, action });
  const { working, download: name } = JSON.parse(answer);
  if (name) hand(engine, name);
  if (waiting || !working) return;
  waiting = true;
  next.port2.postMessage({ number, action });
}

// A file to take away, in the browser's own storage.
function hand(engine, name) {
  try {
    postMessage({ download: engine.download(), name });
  } catch (error) {
    if (stopped) throw error;
    postMessage({ update: JSON.stringify({ error: String(error) }) });
  }
}
