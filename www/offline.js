// Keeps the page for when there is no network: all of it on the first visit,
// samples as they are looked at. VERSION and FILES stand above; a new version
// takes the place of the old one as a whole.
'use strict';

const CACHE = `igvm-playground-${VERSION}`;

self.addEventListener('install', (event) => {
  const urls = FILES.map((file) => new Request(file === 'index.html' ? './' : file, { cache: 'reload' }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(urls)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const outdated = (name) => name.startsWith('igvm-playground-') && name !== CACHE;
  event.waitUntil(caches.keys()
    .then((names) => Promise.all(names.filter(outdated).map((name) => caches.delete(name))))
    .then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || !request.url.startsWith(self.registration.scope)) return;
  event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: request.mode === 'navigate' });
  if (kept) return kept;
  const response = await fetch(request);
  if (response.ok && request.url.endsWith('.igvm')) await cache.put(request, response.clone());
  return response;
}
