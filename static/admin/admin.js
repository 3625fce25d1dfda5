// @ts-check
import { connect } from '../client/ladder.js';
import { call, Refused } from '../shared/api.js';
import { language, t } from '../shared/i18n.js';
import { byID, element, fill, show } from '../shared/page.js';
import { why } from '../shared/say.js';
import { alertRow, callbackRow, consoleRow, messageRow, sessionRow, shopName, shopRow, tokenRow } from './rows.js';

/**
 * @typedef {import('../shared/i18n.js').Key} Key
 * @typedef {import('./rows.js').Row} Row
 * @typedef {import('./rows.js').Shop} Shop
 */

const MOST = 50; // rows of one panel, and shops that are asked for
const MOST_TOLD = 10; // alerts of which the page asks who was told
const EVERY = 15_000; // ms between two readings while nothing happens
const SOON = 500; // ms from an alert to the next reading
const SURE = 5000; // ms in which the second press must come

/** @type {Shop[]} */
let shops = [];
let shop = 0;
let own = ''; // this page's own connection, which is no console of the kitchen
/** @type {{close(): void} | null} */
let link = null;
let reading = false;
let again = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let next;

/** @param {Row} row @param {HTMLElement[]} buttons */
function item(row, ...buttons) {
  const li = element('li', row.bad ? 'row bad-row' : 'row', '');
  const text = element('div', 'said', '');
  text.append(element('strong', '', row.title), element('p', row.bad ? 'bad-text' : '', row.facts.join(' · ')));
  li.append(text, ...buttons);
  return li;
}

/** @param {string} id @param {HTMLElement[]} items @param {Key} none what is said of an empty list */
function list(id, items, none) {
  const kept = /** @type {HTMLElement | null} */ (document.activeElement)?.dataset.of;
  byID(id).replaceChildren(...(items.length > 0 ? items : [element('li', 'hint', t(none))]));
  if (kept) /** @type {HTMLElement | null} */ (byID(id).querySelector(`[data-of="${CSS.escape(kept)}"]`))?.focus();
}

/** What somebody pressed once, and until when the second press counts. @type {{path: string, until: number}} */
let asked = { path: '', until: 0 };

/** Returns a button that deletes what is at a path, at the second press. @param {Key} label @param {string} name @param {string} path */
function ender(label, name, path) {
  const sure = asked.path === path && Date.now() < asked.until;
  const button = /** @type {HTMLButtonElement} */ (element('button', sure ? 'bad' : '', t(sure ? 'admSure' : label)));
  button.type = 'button';
  button.dataset.of = path;
  button.setAttribute('aria-label', `${button.textContent} ${name}`);
  button.onclick = async () => {
    if (asked.path !== path || Date.now() >= asked.until) {
      asked = { path, until: Date.now() + SURE };
      button.textContent = t('admSure');
      button.className = 'bad';
      setTimeout(read, SURE);
      return;
    }
    asked = { path: '', until: 0 };
    try {
      await call('DELETE', path, {});
    } catch (err) {
      return trouble(err);
    }
    await read();
  };
  return button;
}

/** Returns a button that asks the server to do something again. @param {Key} label @param {string} name @param {string} path @param {unknown} body */
function repeater(label, name, path, body) {
  const button = /** @type {HTMLButtonElement} */ (element('button', '', t(label)));
  button.type = 'button';
  button.dataset.of = `${path} ${name}`;
  button.setAttribute('aria-label', `${t(label)} ${name}`);
  button.onclick = async () => {
    button.disabled = true;
    try {
      await call('POST', path, body);
    } catch (err) {
      return trouble(err);
    }
    await read();
  };
  return button;
}

/** @param {unknown} err */
function trouble(err) {
  if (err instanceof Refused && err.status === 401) return signIn();
  fill('#trouble', t('failed', { why: why(err) }));
}

async function readShops() {
  const found = await Promise.all(shops.slice(0, MOST).map((s) => call('GET', `api/v1/shops/${s.id}/attention`)));
  list(
    'shops',
    found.map((a, i) => {
      const s = shops[i];
      const button = /** @type {HTMLButtonElement} */ (element('button', s.id === shop ? 'primary' : '', t('admShow')));
      button.type = 'button';
      button.dataset.of = `shop ${s.id}`;
      button.setAttribute('aria-label', `${t('admShow')} ${shopName(s)}`);
      button.setAttribute('aria-pressed', String(s.id === shop));
      button.onclick = () => follow(s.id);
      const devices = a.consoles.filter((/** @type {any} */ c) => c.console !== own);
      return item(shopRow(s, { ...a, consoles: devices }), button);
    }),
    'admNoShops',
  );
}

async function readShop() {
  const of = shop;
  const [{ consoles }, { alerts, cursor }] = await Promise.all([
    call('GET', `api/v1/shops/${of}/consoles`),
    call('GET', `api/v1/alerts?shop=${of}&state=open&limit=${MOST}`),
  ]);
  // Only one alert tells who was told of it; the oldest wait longest.
  const oldest = alerts.slice(-MOST_TOLD);
  const told = await Promise.all(oldest.map((/** @type {any} */ a) => call('GET', `api/v1/alerts/${of}/${a.seq}`)));
  if (of !== shop) return; // somebody chose another one meanwhile
  const name = shopName(shops.find((s) => s.id === of) ?? { id: of, name: '' });
  fill('#consoles-title', t('admConsoles', { shop: name }));
  fill('#alerts-title', t('admAlerts', { shop: name }));
  const now = Date.now();
  const others = consoles.filter((/** @type {any} */ c) => c.console !== own).slice(0, MOST);
  list(
    'consoles',
    others.map((/** @type {any} */ c) => item(consoleRow(c, cursor, now))),
    'admNoConsoles',
  );
  const all = [...alerts.slice(0, alerts.length - oldest.length), ...told].reverse();
  list(
    'alerts',
    all.map((a) => item(alertRow(a, now))),
    'noAlerts',
  );
}

async function readPost() {
  const [{ callbacks }, { messages }] = await Promise.all([
    call('GET', `api/v1/inbox?limit=${MOST}`),
    call('GET', `api/v1/outbox?limit=${MOST}`),
  ]);
  list(
    'callbacks',
    callbacks.map((/** @type {any} */ c) => {
      const { provider, kind, transactionId } = c;
      const button = () => repeater('admReplay', c.number || transactionId, 'api/v1/inbox/replay', { provider, kind, transactionId });
      return item(callbackRow(c), ...(c.waits ? [button()] : []));
    }),
    'admNoCallbacks',
  );
  list(
    'messages',
    messages.map((/** @type {any} */ m) =>
      item(messageRow(m), repeater('admSendAgain', `${m.hook} ${m.id}`, `api/v1/outbox/${m.id}/replay`, {})),
    ),
    'admNoMessages',
  );
}

async function readRights() {
  const [{ sessions }, { tokens }] = await Promise.all([
    call('GET', `api/v1/sessions?limit=${MOST}`),
    call('GET', `api/v1/tokens?limit=${MOST}`),
  ]);
  list(
    'sessions',
    sessions.map((/** @type {any} */ s) => item(sessionRow(s), ender('admEnd', s.name, `api/v1/sessions/${s.id}`))),
    'admNoSessions',
  );
  list(
    'tokens',
    tokens.map((/** @type {any} */ k) => item(tokenRow(k), ...(k.revoked ? [] : [ender('admRevoke', k.sub, `api/v1/tokens/${k.id}`)]))),
    'admNoTokens',
  );
}

/** Reads every panel anew, one reading at a time. */
async function read() {
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  clearTimeout(next);
  try {
    await Promise.all([readShops(), readShop(), readPost(), readRights()]);
    fill('#trouble', '');
  } catch (err) {
    trouble(err);
  }
  reading = false;
  next = setTimeout(read, again ? SOON : EVERY);
  again = false;
}

function readSoon() {
  if (reading) again = true;
  else {
    clearTimeout(next);
    next = setTimeout(read, SOON);
  }
}

/** Follows a shop's stream and shows what is in it. @param {number} id */
function follow(id) {
  shop = id;
  link?.close();
  link = connect({
    shops: [id],
    storageKey: null,
    sid: 'admin',
    onAlert: readSoon,
    onReset: readSoon,
    onState: (state) => {
      if (state.state === 'stopped') return;
      own = state.console;
      show('#link', true);
      byID('link').dataset.state = state.state;
      fill(
        '#link',
        state.state === 'open'
          ? t(/** @type {Key} */ (`open_${state.transport}`))
          : t(state.state === 'offline' ? 'noConnection' : 'connecting'),
      );
      if (state.state === 'denied') return signIn();
      readSoon();
    },
  });
  read();
}

function signIn() {
  link?.close();
  clearTimeout(next);
  show('#panels', false);
  show('#sign-in', true);
  fill('#trouble', '');
}

/** Reads who is signed in, and shows the panels to an admin. */
async function enter() {
  const me = await call('GET', 'api/v1/me');
  if (me.role !== 'admin') {
    signIn();
    fill('#trouble', t('admOnly'));
    return;
  }
  shops = (await call('GET', 'api/v1/shops?limit=500')).shops;
  show('#sign-in', false);
  show('#panels', true);
  if (shops.length === 0) shops = [{ id: 1, name: '' }];
  const wanted = Number(new URL(location.href).searchParams.get('shop'));
  follow(shops.some((s) => s.id === wanted) ? wanted : shops[0].id);
}

async function begin() {
  document.documentElement.lang = language;
  for (const [id, key] of /** @type {[string, Key][]} */ ([
    ['title', 'admin'],
    ['back', 'back'],
    ['sign-in-title', 'signIn'],
    ['sign-in-hint', 'admSignInHint'],
    ['token-label', 'token'],
    ['sign-in-button', 'signIn'],
    ['shops-title', 'admShops'],
    ['callbacks-title', 'admCallbacks'],
    ['messages-title', 'admMessages'],
    ['sessions-title', 'admSessions'],
    ['tokens-title', 'admTokens'],
    ['tokens-hint', 'admTokensHint'],
  ]))
    fill(`#${id}`, t(key));
  document.title = t('admin');
  const form = /** @type {HTMLFormElement} */ (byID('sign-in'));
  const token = /** @type {HTMLInputElement} */ (byID('token'));
  form.onsubmit = (e) => {
    e.preventDefault();
    const text = token.value.trim();
    token.value = '';
    call('POST', 'login', { token: text })
      .then(enter)
      .catch((err) => fill('#trouble', t('signInFailed', { why: why(err) })));
  };
  try {
    await enter();
  } catch (err) {
    trouble(err);
  }
}

if (typeof document !== 'undefined' && document.getElementById('panels')) begin();
