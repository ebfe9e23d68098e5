// The screen's side: hands what a person does to the worker, and puts the
// markup that comes back into its regions. It knows nothing of IGVM.
'use strict';

const byId = (id) => document.getElementById(id);
const region = (name) => document.querySelector(`[data-region="${name}"]`);
const message = byId('message');

let worker;

function start() {
  worker = new Worker('worker.js');
  worker.onmessage = ({ data }) => {
    if (data.update) show(JSON.parse(data.update), data.number, data.action);
    else if (data.download) save(data.download, data.name);
    else restart(data.stopped);
  };
  worker.onerror = () => say('The engine cannot be started. Is the folder of this page complete?');
}

// The engine ended. A new one takes its place; the page stays usable.
function restart(reason) {
  worker.terminate();
  start();
  progress(null);
  measuring = false;
  document.body.dataset.state = 'empty';
  history.replaceState(null, '', location.pathname + location.search);
  address = '';
  say(`The engine stopped: ${reason}. Open the file again, or another one.`);
}

// Work that takes a moment is announced, but only then.
let announce;
function send(event) {
  announce ??= setTimeout(() => progress({ what: 'Working' }), 200);
  sent += 1;
  worker.postMessage({ ...event, number: sent });
}

// Events are numbered: an answer to one from before the last change of the
// address bar does not change it back.
let sent = 0;
let moved = 0;
let address = '';

const shownProgress = byId('progress');
function progress(working) {
  clearTimeout(announce);
  announce = null;
  shownProgress.hidden = !working;
  if (!working) return;
  const bar = shownProgress.querySelector('progress');
  shownProgress.querySelector('span').textContent = `${working.what} …`;
  if (working.part === undefined) bar.removeAttribute('value');
  else bar.value = working.part / 1000;
}

// Hands a file to the person.
function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has taken hold of it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function say(sentence) {
  message.textContent = sentence;
}

function show(update, number, action) {
  if (!update.working) {
    progress(null);
  } else if (shownProgress.hidden) {
    announce ??= setTimeout(() => progress(update.working), 200);
  } else {
    progress(update.working);
  }
  // A sentence stays until a person does something else.
  if (update.error || !(update.working || action === 'scroll')) say(update.error ?? '');
  if (action === 'scroll') measuring = false;
  if (!update.regions) return;
  const samePane = document.body.dataset.pane === update.pane;
  for (const [name, markup] of update.regions) put(region(name), markup, samePane);
  document.body.dataset.state = update.open ? 'open' : 'empty';
  document.body.dataset.pane = update.pane;
  document.body.dataset.selected = update.selected;
  document.title = update.title;
  if (update.regions.some(([name]) => name === 'tabs')) showTab();
  const isOutdated = number < moved || location.hash !== address;
  if (update.fragment && update.fragment !== location.hash && !isOutdated) {
    const url = update.fragment === '#' ? location.pathname + location.search : update.fragment;
    history[update.replace ? 'replaceState' : 'pushState'](null, '', url);
    address = location.hash;
  }
  if (document.activeElement !== search) search.value = update.search;
  const scroller = byId('scroller');
  // Not where a person has scrolled on meanwhile: that is told next.
  const isLate = action === 'scroll' && scroller?.scrollTop !== measured;
  if (scroller && update.scroll !== undefined && !isLate) scroller.scrollTop = update.scroll;
  measure();
}

// On a narrow screen the panes do not all fit; the one in use is seen.
function showTab() {
  const tab = document.querySelector('.tabs [aria-current]');
  if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 48;
}

// Replaces the content of a region; what had the keyboard keeps it.
function put(element, markup, keepPlace) {
  if (!element) return;
  const { scrollTop } = element;
  const held = element.contains(document.activeElement) && document.activeElement !== element
    ? document.activeElement : null;
  const typing = held && edited === held;
  edited = typing ? null : edited;
  const key = held && keyOf(held);
  element.innerHTML = markup;
  element.scrollTop = keepPlace ? scrollTop : 0;
  if (!held) return;
  const same = [...element.querySelectorAll('[id], a[href], button')].find((other) => keyOf(other) === key);
  (same ?? element.closest('[tabindex]') ?? byId('pane')).focus({ preventScroll: true });
  if (typing && same) {
    same.value = held.value;
    edited = same;
  }
  // What was selected is what the next letter replaces.
  if (same?.setSelectionRange && same.value === held.value && held.selectionStart !== null) {
    same.setSelectionRange(held.selectionStart, held.selectionEnd);
  }
}
const keyOf = (element) => element.id || element.getAttribute('href') || element.outerHTML;

// The field that is being typed in. An update may put another in its place,
// and the browser then forgets that it has changed.
let edited = null;
document.addEventListener('input', ({ target }) => { edited = target; });
document.addEventListener('focusout', ({ target }) => {
  if (edited === target) target.dispatchEvent(new Event('change', { bubbles: true }));
});

// The list that is scrolled, told to the engine at most once a frame, and not
// again before it has answered.
let scrolling = false;
let measuring = false;
let measured = 0;
let seen = '';
function measure() {
  const scroller = byId('scroller');
  if (!scroller) {
    seen = '';
    return;
  }
  const { scrollTop: top, clientHeight: height } = scroller;
  if (seen === `${top} ${height}`) return;
  if (measuring) return;
  seen = `${top} ${height}`;
  measuring = true;
  measured = top;
  send({ action: 'scroll', top, height });
}
function scrolled() {
  if (scrolling) return;
  scrolling = true;
  requestAnimationFrame(() => {
    scrolling = false;
    measure();
  });
}
document.addEventListener('scroll', scrolled, { capture: true, passive: true });
addEventListener('resize', scrolled);

// Following a link, Back and Forward all arrive here.
addEventListener('hashchange', go);
function go() {
  address = location.hash;
  send({ action: 'go', fragment: address });
  moved = sent;
}

function open(files) {
  for (const file of files) send({ action: 'open', file });
}
byId('file').addEventListener('change', ({ target }) => {
  open(target.files);
  target.value = '';
});
addEventListener('dragover', (event) => {
  event.preventDefault();
  document.body.classList.add('dragging');
});
addEventListener('dragleave', (event) => {
  if (!event.relatedTarget) document.body.classList.remove('dragging');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  document.body.classList.remove('dragging');
  open(event.dataTransfer.files);
});

// What stands in the panes: a form is an event with its fields, a button one
// with its value, and some buttons copy.
document.addEventListener('submit', (event) => {
  const { target } = event;
  edited = null;
  if (!target.dataset.action) return;
  event.preventDefault();
  send({ action: target.dataset.action, ...Object.fromEntries(new FormData(target)) });
  target.closest('dialog')?.close();
});
document.addEventListener('click', (event) => {
  const { target } = event;
  // Cells of equal width: which one, says the place of the click.
  const row = target.closest('[data-pick]');
  if (row) {
    const { left, width } = row.getBoundingClientRect();
    const cells = Number(row.dataset.cells);
    const cell = Math.min(Math.max(Math.floor((event.clientX - left) / width * cells), 0), cells - 1);
    send({ action: 'pick', value: (BigInt(row.dataset.pick) + BigInt(cell)).toString(16) });
  }
  const button = target.closest('button');
  if (button?.dataset.act) send({ action: button.dataset.act, value: button.dataset.value ?? '' });
  if (button?.dataset.copy !== undefined) copy(button);
});
async function copy(button) {
  const text = button.dataset.copy || document.getElementById(button.dataset.copyOf)?.textContent;
  const worked = await navigator.clipboard.writeText(text).then(() => true, () => false);
  button.dataset.copied = worked ? 'copied' : 'not allowed';
  setTimeout(() => delete button.dataset.copied, 1200);
}
document.addEventListener('change', ({ target }) => {
  edited = null;
  target.closest('form[data-live]')?.requestSubmit();
  const action = target.dataset.change;
  if (action) send({ action, value: target.type === 'checkbox' ? target.checked : target.value });
});
const search = byId('search');
search.addEventListener('input', () => send({ action: 'filter-text', value: search.value }));

const help = byId('help');
byId('help-open').addEventListener('click', () => help.showModal());
const goTo = byId('go-to');
byId('go-to-close').addEventListener('click', () => goTo.close());
function askWhere() {
  goTo.showModal();
  goTo.querySelector('input').select();
}

const root = document.documentElement;
byId('theme').addEventListener('click', () => {
  const dark = root.dataset.theme
    ? root.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  try {
    localStorage.setItem('theme', root.dataset.theme);
  } catch {
    // A browser may keep nothing; it is so for this visit.
  }
});

const keys = {
  '/': () => search.focus(),
  '?': () => help.showModal(),
  g: askWhere,
  o: () => byId('file').click(),
  Escape: selectNothing,
};
// No step of its own for Back.
function selectNothing() {
  const link = document.querySelector('.inspector .close');
  if (link) location.replace(link.href);
}
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  // A field of a dialog that was just closed may still have the keyboard.
  const { target } = event;
  if (target.matches('input:not([type=checkbox]), select') && !target.closest('dialog')) {
    if (event.key === 'Escape') target.blur();
    return;
  }
  const tab = document.querySelector(`.tabs [data-key="${CSS.escape(event.key)}"]`);
  const act = tab ? () => tab.click() : keys[event.key];
  if (!act || (document.body.dataset.state === 'empty' && '/g'.includes(event.key))) return;
  event.preventDefault();
  act();
});

// Kept for when there is no network, where the browser allows it.
navigator.serviceWorker?.register('offline.js').catch(() => {});

start();
if (location.hash.length > 1) go();
