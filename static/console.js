// @ts-check
import { base, call, Refused } from './api.js';
import { Board } from './board.js';
import { askForPushes, forgetDevice, keepShell } from './device.js';
import { devicesPanel } from './devices.js';
import { FiguresPanel } from './figures.js';
import { language, t } from './i18n.js';
import { byID, fill, show } from './page.js';
import { deviceLabel, inApp, parsePairing } from './pairing.js';
import { settingsPanel } from './panel.js';
import { load, save } from './settings.js';
import { Speaker } from './speaker.js';

/** @typedef {{sub: string, role: string, all: boolean, shops: {id: number, name: string}[]}} Me */

let settings = load();

const speaker = new Speaker({ clip: (type, lang) => `${base}static/sounds/${type}.${lang}.mp3` });

/** The ticket of a link, taken out of the address bar before anything else sees it. */
function takeTicket() {
  const match = /^#ticket=([0-9A-Za-z]+)$/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, '', location.pathname + location.search);
  return match[1];
}

function label() {
  document.documentElement.lang = language;
  document.title = t('title');
  fill('#title', t('title'));
  byID('notices').setAttribute('aria-label', t('notices'));
  fill('#trial', t('trial'));
  fill('#empty .big', t('noAlerts'));
  fill('#empty .hint', t('noAlertsHint'));
  fill('#history-title', t('history'));
  fill('#figures-title', t('figures'));
  fill('#settings', t('settings'));
  fill('#elsewhere', t('voiceElsewhere'));
  fill('#ask-heard span', t('askHeard'));
  fill('#heard', t('heard'));
  fill('#not-heard', t('notHeard'));
  fill('#more', t('more'));
  fill('.tools label:first-child span', t('searchLabel'));
  /** @type {HTMLInputElement} */ (byID('search')).placeholder = t('searchLabel');
  fill('.tools label:last-child span', t('filterLabel'));
  byID('filter').replaceChildren(
    ...['', '1', '2', '3', '4'].map((type) => {
      const option = document.createElement('option');
      option.value = type;
      option.textContent = type ? t(/** @type {import('./i18n.js').Key} */ (`type${type}`)) : t('allTypes');
      return option;
    }),
  );
  fill('#demo', t('demo'));
  fill('#doctor', t('doctor'));
  fill('#sign-out', t('signOut'));
  fill('#devices', t('devices'));
  fill('#sign-in h2', t('signIn'));
  fill('#sign-in label span', t('token'));
  fill('#sign-in button', t('signIn'));
  fill('#sign-in-hint', t('signInHint'));
  fill('#shop-label span', t('pickShop'));
  fill('#offline', t('offlineBanner'));
  if (!window.isSecureContext) {
    fill('#missing', t('missing', { what: 'wake lock, notifications' }));
    show('#missing', true);
  }
}

/** @param {boolean} failed */
function showSound(failed) {
  const on = speaker.unlocked;
  fill('#sound', on ? t('ringNow') : t('soundOn'));
  byID('sound').classList.toggle('primary', !on);
  const elsewhere = board?.speaks === 'elsewhere';
  fill('#muted', notHeard() ? t('notHeardHelp') : failed ? t('soundFailed') : t('soundOff'));
  show('#muted', ((!on && !elsewhere) || (on && notHeard())) && !byID('board').hidden);
  show('#elsewhere', !on && elsewhere && !byID('board').hidden);
}

const HEARD_KEY = 'doorbell.heard'; // "yes DAY" or "no DAY": the daily question's answer

/** Today in this device's words. */
const today = () => new Date().toDateString();

function answered() {
  try {
    const [answer, ...day] = (localStorage.getItem(HEARD_KEY) ?? '').split(' ');
    return day.join(' ') === today() ? answer : '';
  } catch {
    return '';
  }
}

/** Somebody said today that nothing was heard here. */
function notHeard() {
  return answered() === 'no';
}

/** @param {'yes' | 'no'} word */
function answer(word) {
  try {
    localStorage.setItem(HEARD_KEY, `${word} ${today()}`);
  } catch {
    // Private mode: asked again at the next unlock.
  }
  show('#ask-heard', false);
  showSound(false);
  board?.audible();
}

/** Once a day, after a sound: a page can't know that the volume is at zero. */
function askHeard() {
  if (speaker.unlocked && answered() === '') show('#ask-heard', true);
}

/** @param {1 | 2} type */
async function ringNow(type) {
  if (!(await speaker.unlock())) return showSound(true);
  const text = t(type === 1 ? 'type1' : 'type2');
  await speaker.say({
    type,
    text,
    lang: language,
    gain: settings.volume,
    speak: settings.voice,
    tune: settings.tunes[type],
    wake: settings.awake,
  });
}

/** @param {Me} me @returns {Promise<{id: number, name: string}[]>} */
async function shopsOf(me) {
  if (me.shops.length > 0) return me.shops;
  const { shops } = await call('GET', 'api/v1/shops?limit=500');
  return shops.length > 0 ? shops : [{ id: 1, name: '' }];
}

/** @type {Board | null} */
let board = null;

/** @type {FiguresPanel | null} */
let figures = null;

/** @param {Me} me @param {any} page */
async function open(me, page) {
  show('#sign-in', false);
  show('#board', true);
  show('#sign-out', true);
  show('#devices', true);
  show('#settings', true);
  show('#sound', true);
  show('#pair', false);
  const shops = await shopsOf(me);
  const select = /** @type {HTMLSelectElement} */ (byID('shop'));
  select.replaceChildren(
    ...shops.map((s) => {
      const option = document.createElement('option');
      option.value = String(s.id);
      option.textContent = s.name || t('shop', { id: s.id });
      return option;
    }),
  );
  show('#shop-label', shops.length > 1);
  const follow = () => {
    board?.close();
    figures?.close();
    const shop = Number(select.value);
    const onVoice = () => showSound(false);
    board = new Board({ shop, speaker, speech: page.speech, settings: () => settings, notHeard, onDenied: signedOut, onVoice });
    figures = new FiguresPanel(shop);
  };
  select.onchange = follow;
  follow();
  showSound(false);
}

function signedOut() {
  if (board) forgetDevice(); // revoked, or signed out: nothing of the shop stays here
  board?.close();
  figures?.close();
  board = null;
  figures = null;
  show('#board', false);
  show('#sign-out', false);
  show('#devices', false);
  show('#settings', false);
  show('#sound', false);
  show('#sign-in', true);
  showSound(false);
}

/** @param {unknown} err */
function tellError(err) {
  fill('#error', t('failed', { why: err instanceof Error ? err.message : String(err) }));
  show('#error', true);
  setTimeout(() => show('#error', false), 8000);
}

/** The screen stays on as long as the page is looked at. */
function stayAwake() {
  const lock = () => {
    if (document.visibilityState === 'visible') /** @type {any} */ (navigator).wakeLock?.request('screen').catch(() => {});
  };
  lock();
  document.addEventListener('visibilitychange', lock); // a page that was hidden has lost it
}

/** A clock far off shows wrong ages, and quiet hours at the wrong time. @param {string | null} date */
function checkClock(date) {
  const off = Math.round((Date.now() - Date.parse(date ?? '')) / 1000);
  show('#skew', Math.abs(off) > 30);
  if (Math.abs(off) > 30) fill('#skew', t('skew', { s: off }));
}

/** @param {any} page */
function wire(page) {
  byID('sound').onclick = async () => {
    const ready = await speaker.unlock();
    showSound(!ready);
    if (!ready) return;
    board?.hear();
    stayAwake();
    askHeard();
    const state = await askForPushes(board?.shop ?? 1, page.pushKey);
    byID('push').dataset.state = state;
    fill('#push', t(/** @type {import('./i18n.js').Key} */ (`push_${state}`)));
  };
  speaker.addEventListener('change', () => {
    showSound(false);
    board?.hear();
  });
  byID('heard').onclick = () => answer('yes');
  byID('not-heard').onclick = () => answer('no');
  const apply = () => speaker.keepAwake(settings.awake);
  settingsPanel(
    () => settings,
    (s) => {
      settings = s;
      save(s);
      apply();
      board?.audible();
    },
    ringNow,
  );
  apply();
  devicesPanel();
  byID('sign-in').onsubmit = async (e) => {
    e.preventDefault();
    const token = /** @type {HTMLInputElement} */ (byID('token'));
    try {
      const me = await call('POST', 'login', { token: token.value.trim() });
      token.value = '';
      await open(me, page);
    } catch (err) {
      tellError(err);
    }
  };
  byID('sign-out').onclick = async () => {
    try {
      await call('POST', 'logout', {});
      signedOut();
    } catch (err) {
      tellError(err);
    }
  };
}

/** Until the server answers: it may be restarting. @param {() => Promise<any>} ask */
async function patiently(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (err) {
      if (err instanceof Refused && err.status < 500) throw err;
      fill('#link', t('connecting'));
      await new Promise((done) => setTimeout(done, 500 + Math.random() * 1500));
    }
  }
}

/**
 * The pairing of a device: nothing is spent before somebody presses the button,
 * and nothing at all in an app's own browser.
 * @param {import('./pairing.js').Pairing} pairing @param {any} page
 */
function offerPairing(pairing, page) {
  const foreign = inApp(navigator.userAgent);
  show('#pair', true);
  fill('#pair h2', t('pairTitle'));
  fill('#pair .big', t('pairShop', { shop: pairing.shop }));
  fill('#pair .hint', t(foreign ? 'pairInApp' : 'pairDone'));
  fill('#pair button', t('pairHere'));
  show('#pair button', !foreign);
  fill('#link', t('denied'));
  if (foreign) return;
  history.replaceState(null, '', location.pathname + location.search);
  byID('pair')
    .querySelector('button')
    ?.addEventListener('click', async () => {
      try {
        const me = await call('POST', 'login', { ticket: pairing.ticket, label: deviceLabel(navigator.userAgent) });
        await open(me, page);
      } catch (err) {
        show('#pair', false);
        fill('#sign-in-hint', t('linkUsed'));
        signedOut();
        tellError(err);
      }
    });
}

async function start() {
  const pairing = parsePairing(location.hash);
  const ticket = takeTicket();
  label();
  keepShell();
  const page = await patiently(() => call('GET', 'page.json'));
  checkClock(page.time);
  fill('#version', `doorbell ${page.version}`);
  show('#trial', page.trial);
  wire(page);
  if (pairing) return offerPairing(pairing, page);
  try {
    const me = await patiently(() => (ticket ? call('POST', 'login', { ticket }) : call('GET', 'api/v1/me')));
    await open(me, page);
  } catch (err) {
    if (!(err instanceof Refused)) throw err;
    if (ticket) {
      // A used link on a device that is signed in already is no trouble.
      const me = await call('GET', 'api/v1/me').catch(() => null);
      if (me) return open(me, page);
      fill('#sign-in-hint', t('linkUsed'));
    }
    fill('#link', t('denied'));
    byID('link').dataset.state = 'denied';
    signedOut();
  }
}

start().catch(tellError);
