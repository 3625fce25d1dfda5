// The console's service worker: keeps the page's shell for when the server is
// away, and shows what is pushed to a closed tab.
const SHELL = 'doorbell-shell';
const FILES = /** @type {const} */ (['', 'static/console.css', 'static/icon.svg']);

/** @typedef {{waitUntil: (p: Promise<unknown>) => void}} Extendable */

const worker = /** @type {any} */ (self);

worker.addEventListener('install', (/** @type {Extendable} */ e) => {
  e.waitUntil(caches.open(SHELL).then((c) => c.addAll(FILES.map((f) => new URL(f, worker.registration.scope).href))));
  worker.skipWaiting();
});

worker.addEventListener('activate', (/** @type {Extendable} */ e) => e.waitUntil(worker.clients.claim()));

/** Only what the page is made of: never an answer about alerts. @param {Request} request */
function ours(request) {
  const url = new URL(request.url);
  const scope = new URL(worker.registration.scope);
  if (request.method !== 'GET' || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return false;
  const path = url.pathname.slice(scope.pathname.length);
  return path === '' || path.startsWith('static/') || path === 'page.json' || path === 'manifest.webmanifest';
}

// The network first: a page is never older than its server.
worker.addEventListener('fetch', (/** @type {any} */ e) => {
  if (!ours(e.request)) return;
  const fresh = async () => {
    try {
      const res = await fetch(e.request);
      if (res.ok && res.status === 200) {
        const copy = res.clone();
        e.waitUntil(caches.open(SHELL).then((c) => c.put(new URL(e.request.url).origin + new URL(e.request.url).pathname, copy)));
      }
      return res;
    } catch (err) {
      const url = new URL(e.request.url);
      const kept = await caches.match(url.origin + url.pathname);
      if (kept) return kept;
      throw err;
    }
  };
  e.respondWith(fresh());
});

const TEXTS = {
  zh: { 1: '来单提醒', 2: '客户催单' },
  en: { 1: 'New order', 2: 'Customer is asking' },
};

worker.addEventListener('push', (/** @type {any} */ e) => e.waitUntil(pushed(e.data?.json())));

/** @param {any} alert */
async function pushed(alert) {
  if (!alert) return;
  const tag = `${alert.shopId} ${alert.source} ${alert.orderId}`;
  const shown = await worker.registration.getNotifications({ tag });
  if (alert.type !== 1 && alert.type !== 2) {
    // It takes the place of the one that rang: a push must show something, or
    // the browser shows a text of its own.
    if (shown.length > 0) await worker.registration.showNotification('✓', { body: alert.content, tag, silent: true });
    return;
  }
  const pages = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (pages.some((/** @type {any} */ p) => p.visibilityState === 'visible')) return; // it rings there
  const texts = (worker.navigator.language ?? 'zh').toLowerCase().startsWith('zh') ? TEXTS.zh : TEXTS.en;
  await worker.registration.showNotification(texts[/** @type {1 | 2} */ (alert.type)], {
    body: alert.content,
    tag,
    icon: new URL('static/icon-192.png', worker.registration.scope).href,
    requireInteraction: true,
    renotify: true,
    vibrate: [300, 100, 300, 100, 600],
  });
}

worker.addEventListener('notificationclick', (/** @type {any} */ e) => {
  e.notification.close();
  const open = async () => {
    const [page] = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
    return page ? page.focus() : worker.clients.openWindow(worker.registration.scope);
  };
  e.waitUntil(open());
});
