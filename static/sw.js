// The console's service worker: keeps all that the page is made of for when the
// server is away, and shows what is pushed to a closed tab.
//
// The server lists its files with their digests (shell.json). A set is all files
// of one list, each as it is listed, or it is none: a page is shown from one set
// from its first file to its last, also after the server is another one, because
// modules of two versions together may do anything.
const LIST = 'shell.json'; // kept last: a set that has it is whole
const ANSWER = 1500; // ms for the server to send its list; one that hangs is away
const FILL = 2500; // ms that a page waits for a new set; it is filled to its end all the same
const FETCH = 10_000; // ms for one file
const AT_ONCE = 3; // of the six connections that a browser has to a host: the others are the page's
const OPENING = 15_000; // ms in which a page that is being opened is not known yet
const KEPT_HEADERS = ['Content-Type', 'Content-Security-Policy', 'X-Content-Type-Options', 'Referrer-Policy'];

/** @typedef {{version: string, files: Record<string, string>}} List */
/** @typedef {{waitUntil: (p: Promise<unknown>) => void}} Extendable */

const worker = /** @type {any} */ (self);

// Named by the scope: two servers may be under paths of one origin.
const SET = `doorbell-shell ${worker.registration.scope} `; // and the list's version
const NOTES = `doorbell-notes ${worker.registration.scope}`; // the set that is shown without a server, and which page has which
const BEFORE = ['doorbell-shell', SET.trim()]; // what earlier workers kept

/** @param {string} path under the server's own @returns {string} */
const at = (path) => new URL(path, worker.registration.scope).href;

/** @param {number} ms @returns {Promise<null>} */
const pause = (ms) => new Promise((done) => setTimeout(() => done(null), ms));

/** A file that is not as it is listed: the server changed meanwhile, or a proxy changes what it sends. */
class Altered extends Error {}

/** @returns {Promise<List>} */
async function serverList() {
  const res = await fetch(at(LIST), { cache: 'no-store', signal: AbortSignal.timeout(ANSWER) });
  if (!res.ok) throw new Error(`HTTP ${res.status}`);
  return res.json();
}

/** @param {string | null} name of a set */
async function isWhole(name) {
  return name !== null && name !== '' && (await caches.has(name)) && Boolean(await (await caches.open(name)).match(at(LIST)));
}

/** @type {Map<string, Promise<string>>} by version: sets that are being filled */
const filling = new Map();

/** @param {List} list @returns {Promise<string>} the name of the whole set */
function fill(list) {
  let filled = filling.get(list.version);
  if (!filled) {
    filled = fillNow(list).finally(() => filling.delete(list.version));
    filling.set(list.version, filled);
  }
  return filled;
}

/** @param {List} list */
async function fillNow({ version, files }) {
  const name = SET + version;
  if (await isWhole(name)) return name;
  const set = await caches.open(name);
  const waiting = Object.entries(files);
  let failed = false;
  const work = async () => {
    for (let next = waiting.pop(); next && !failed; next = waiting.pop()) await keep(set, next[0], next[1]);
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    await set.put(at(LIST), new Response(JSON.stringify(files)));
  } catch (err) {
    failed = true;
    await caches.delete(name);
    throw err;
  }
  return name;
}

/** @param {Cache} set @param {string} path @param {string} digest */
async function keep(set, path, digest) {
  const res = await fetch(at(path), { cache: 'no-cache', credentials: 'same-origin', signal: AbortSignal.timeout(FETCH) });
  if (!res.ok) throw new Error(`${path}: HTTP ${res.status}`);
  const body = await res.arrayBuffer();
  const sum = [...new Uint8Array(await crypto.subtle.digest('SHA-256', body))].map((b) => b.toString(16).padStart(2, '0')).join('');
  if (sum !== digest) throw new Altered(path);
  const headers = new Headers();
  for (const h of KEPT_HEADERS) if (res.headers.has(h)) headers.set(h, res.headers.get(h) ?? '');
  await set.put(at(path), new Response(body, { headers }));
}

/** @param {string} key @param {unknown} value */
async function note(key, value) {
  await (await caches.open(NOTES)).put(at(key), new Response(JSON.stringify(value)));
}

/** @param {string} key @returns {Promise<any>} null for none */
async function noted(key) {
  return (await (await caches.open(NOTES)).match(at(key)))?.json() ?? null;
}

/** @param {string} name of a set @param {string} path @returns {Promise<Response | undefined>} */
async function kept(name, path) {
  if (!name || !(await caches.has(name))) return undefined;
  return (await caches.open(name)).match(at(path));
}

/** The set of the server as it is now, or an Error. @param {Extendable} e */
async function newest(e) {
  for (let again = false; ; again = true) {
    const filled = fill(await serverList()).then(async (name) => {
      await note('current', name);
      return name;
    });
    e.waitUntil(filled.catch(() => {}));
    try {
      const name = await Promise.race([filled, pause(FILL)]);
      if (name) return name;
      throw new Error('not filled in time');
    } catch (err) {
      if (again || !(err instanceof Altered)) throw err;
    }
  }
}

/** A page that is opened: from the server's set, else from the last one that was whole. @param {any} e @param {string} path */
async function openPage(e, path) {
  let name = '';
  try {
    name = await newest(e);
  } catch (err) {
    // Altered on its way each time: what is kept would never be replaced.
    if (!(err instanceof Altered)) name = (await noted('current')) ?? '';
  }
  const page = await kept(name, path);
  if (!page) return fetch(e.request);
  await pin(e.resultingClientId, name);
  e.waitUntil(tidy());
  return page;
}

/** @type {Map<string, string>} by the page's id; kept in the notes, because a worker is ended when it is idle */
const pins = new Map();

/** @param {string} id @param {string} name */
async function pin(id, name) {
  pins.set(id, name);
  await note(`pin/${id}`, { name, since: Date.now() });
}

/** @param {string} id @returns {Promise<string>} empty for a page that came without this worker */
async function pinned(id) {
  if (!id) return '';
  if (!pins.has(id)) pins.set(id, (await noted(`pin/${id}`))?.name ?? '');
  return pins.get(id) ?? '';
}

/** @param {any} e @param {string} path */
async function part(e, path) {
  const own = await kept(await pinned(e.clientId), path);
  if (own) return own;
  try {
    const res = await fetch(e.request);
    if (res.status < 500) return res;
    return (await kept(await noted('current'), path)) ?? res; // a proxy answers for a server that is away
  } catch (err) {
    const last = await kept(await noted('current'), path);
    if (last) return last;
    throw err;
  }
}

/** Removes sets that no open page is shown from. */
async function tidy() {
  const notes = await caches.open(NOTES);
  const inUse = new Set([await noted('current'), ...[...filling.keys()].map((v) => SET + v)]);
  for (const request of await notes.keys()) {
    const id = request.url.slice(at('pin/').length);
    if (!request.url.startsWith(at('pin/'))) continue;
    const { name, since } = await noted(`pin/${id}`);
    if (Date.now() - since < OPENING || (await worker.clients.get(id))) inUse.add(name);
    else {
      await notes.delete(request);
      pins.delete(id);
    }
  }
  for (const name of await caches.keys()) {
    if (BEFORE.includes(name) || (name.startsWith(SET) && !inUse.has(name))) await caches.delete(name);
  }
}

worker.addEventListener('install', (/** @type {any} */ e) => {
  // The browser starts an idle worker for each request of its pages, only to be told
  // that the request is none of this worker's. An accept that is sent while its page
  // closes is lost meanwhile: with this route it goes out at once (Chromium 123 and later).
  const api = { pathname: `${new URL(worker.registration.scope).pathname}api/*` };
  e.addRoutes?.({ condition: { urlPattern: api }, source: 'network' });
  // Without a set the worker is there for pushes; the next page fills one.
  e.waitUntil(newest(e).catch(() => {}));
  worker.skipWaiting();
});

worker.addEventListener('activate', (/** @type {Extendable} */ e) => e.waitUntil(worker.clients.claim().then(tidy)));

/** A page that came without this worker tells what it was made from, and has the rest from there. */
worker.addEventListener('message', (/** @type {any} */ e) => {
  const name = SET + e.data?.shell;
  const take = async () => {
    if (!(await isWhole(await noted('current')))) await newest(e).catch(() => {});
    if ((await pinned(e.source.id)) === '' && (await isWhole(name))) await pin(e.source.id, name);
  };
  if (typeof e.data?.shell === 'string' && e.source?.id) e.waitUntil(take());
});

// Only what the pages are made of: never an answer about alerts.
worker.addEventListener('fetch', (/** @type {any} */ e) => {
  const url = new URL(e.request.url);
  const scope = worker.registration.scope;
  if (e.request.method !== 'GET' || !url.href.startsWith(scope)) return;
  const path = url.origin + url.pathname === scope ? '' : (url.origin + url.pathname).slice(scope.length);
  if (e.request.mode === 'navigate') {
    if (path === '' || path === 'demo' || path === 'doctor' || path === 'ledger' || path === 'admin') e.respondWith(openPage(e, path));
  } else if (path.startsWith('static/') || path === 'manifest.webmanifest') e.respondWith(part(e, path));
});

const TEXTS = {
  zh: { 1: '来单提醒', 2: '客户催单', ours: '订单号: ' },
  en: { 1: 'New order', 2: 'Customer is waiting', ours: 'Order ' },
};

worker.addEventListener('push', (/** @type {any} */ e) => e.waitUntil(pushed(e.data?.json())));

/** Somebody is to come: shown also where a page is looked at. @param {{event: string, shopId: number, title: string, body: string}} told */
function escalated(told) {
  return worker.registration.showNotification(told.title, {
    body: told.body,
    tag: `${told.event.split('.')[0]} ${told.shopId}`,
    icon: new URL('static/icon-192.png', worker.registration.scope).href,
    requireInteraction: true,
    renotify: true,
    vibrate: [300, 100, 300, 100, 600],
  });
}

/** @param {any} alert */
async function pushed(alert) {
  if (!alert) return;
  if (alert.event) return escalated(alert);
  const tag = `${alert.shopId} ${alert.source} ${alert.orderId}`;
  const texts = (worker.navigator.language ?? 'zh').toLowerCase().startsWith('zh') ? TEXTS.zh : TEXTS.en;
  const number = alert.number || String(alert.orderId);
  const body = alert.content === `${TEXTS.zh.ours}${number}` ? texts.ours + number : alert.content; // as the page's contentOf()
  const shown = await worker.registration.getNotifications({ tag });
  if (alert.type !== 1 && alert.type !== 2) {
    // It takes the place of the one that rang: a push must show something, or
    // the browser shows a text of its own.
    if (shown.length > 0) await worker.registration.showNotification('✓', { body, tag, silent: true });
    return;
  }
  const pages = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (pages.some((/** @type {any} */ p) => p.visibilityState === 'visible')) return; // it rings there
  await worker.registration.showNotification(texts[/** @type {1 | 2} */ (alert.type)], {
    body,
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
