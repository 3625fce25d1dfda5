// @ts-check

import { build } from '../build.js';
import { base, call, Refused } from '../shared/api.js';
import { language, t } from '../shared/i18n.js';
import { byID, fill, show } from '../shared/page.js';
import { clockOff, why } from '../shared/say.js';
import { Board } from './board/board.js';
import { boardKeys } from './board/keys.js';
import { askForPushes, forgetDevice, keepShell } from './device.js';
import { devicesPanel } from './devices.js';
import { FiguresPanel } from './figures.js';
import { heardToday, keepHeard } from './heardtoday.js';
import { showHearing } from './hearing.js';
import { label } from './labels.js';
import { LinkStatus } from './linkstatus.js';
import { watchNotices } from './notices.js';
import { deviceLabel, inApp, parsePairing } from './pairing.js';
import { settingsPanel } from './panel.js';
import { load, save } from './settings.js';
import { endedBecause, previewTicket, shopNames, signedIn, signInByLink } from './signin.js';
import { Speaker } from './sound/speaker.js';
import { Watch } from './watch.js';

/** @typedef {{sub: string, role: string, all: boolean, shops: {id: number, name: string}[]}} Me */

const ANSWER = 8000; // ms; a request that hangs is asked again

let settings = load();

let pushKey = ''; // the server's, once it has answered

const speaker = new Speaker({ clip: (type, lang) => `${base}static/sounds/${type}.${lang}.mp3` });

/** Watches the server while there is no board. */
const watch = new Watch({ status: new LinkStatus({ speaker, settings: () => settings }), onShow: () => showSound(false) });

/** Takes the ticket of a link out of the address bar before anything else sees it. */
function takeTicket() {
  const match = /^#ticket=([0-9A-Za-z]+)$/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, '', location.pathname + location.search);
  return match[1];
}

/** @param {boolean} failed */
function showSound(failed) {
  const on = speaker.unlocked;
  fill('#sound', on ? t('ringNow') : t('soundOn'));
  byID('sound').classList.toggle('primary', !on);
  const elsewhere = board?.speaks === 'elsewhere';
  fill('#muted', notHeard() ? t('notHeardHelp') : failed ? t('soundFailed') : t('soundOff'));
  const needed = !byID('board').hidden || !byID('offline').hidden; // the alarm needs sound too
  show('#muted', ((!on && !elsewhere) || (on && notHeard())) && needed);
  show('#elsewhere', !on && elsewhere && !byID('board').hidden);
}

/** Tells whether somebody said today that nothing was heard here. */
function notHeard() {
  return heardToday() === 'no';
}

/** @param {'yes' | 'no'} said */
function answer(said) {
  keepHeard(said);
  show('#ask-heard', false);
  showSound(false);
  board?.reportHearing();
}

/** Asks once a day, after a sound, whether it was heard: a page can't know that the volume is at zero. */
function askHeard() {
  if (speaker.unlocked && heardToday() === '') show('#ask-heard', true);
}

/** @param {1 | 2} type */
async function ringNow(type) {
  if (!(await speaker.unlock())) return showSound(true);
  const text = t(type === 1 ? 'type1' : 'type2');
  await speaker.openEar();
  await speaker.say({
    type,
    text,
    lang: language,
    gain: settings.volume,
    speak: settings.voice,
    tune: settings.tunes[type],
    wake: settings.awake,
    check: true,
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
  /** @type {{id: number, name: string}[]} */
  const shops = await patiently(() => shopsOf(me));
  watch.stop();
  show('#sign-in', false);
  show('#board', true);
  show('#sign-out', true);
  show('#devices', true);
  show('#keys', true);
  show('#settings', true);
  show('#pair', false);
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
    board = new Board({ shop, speaker, speech: page.speech, settings: () => settings, notHeard, onDenied: denied, onVoice });
    figures = new FiguresPanel(shop);
  };
  select.onchange = follow;
  follow();
  if (speaker.unlocked) askHeard();
  showSound(false);
}

/** Shows the sign-in form, and why, after somebody ended this page's session. */
function denied() {
  signedOut();
  fill('#sign-in-hint', t('removed'));
  call('GET', 'api/v1/me').catch((err) => endedBecause(err) && fill('#sign-in-hint', endedBecause(err)));
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
  show('#keys', false);
  show('#settings', false);
  show('#sign-in', true);
  watch.signedOut();
  showSound(false);
}

/** @param {unknown} err @param {'failed' | 'signInFailed'} [words] */
function showError(err, words = 'failed') {
  fill('#error', t(words, { why: why(err) }));
  show('#error', true);
  setTimeout(() => show('#error', false), 8000);
}

/** Keeps the screen on as long as the page is looked at. */
function stayAwake() {
  const lock = () => {
    if (document.visibilityState === 'visible') /** @type {any} */ (navigator).wakeLock?.request('screen').catch(() => {});
  };
  lock();
  document.addEventListener('visibilitychange', lock); // a page that was hidden has lost it
}

/** Warns of a clock that is far off: it has quiet hours at the wrong time. @param {string | null} date */
function checkClock(date) {
  const off = Math.round((Date.now() - Date.parse(date ?? '')) / 1000);
  show('#skew', Math.abs(off) > 30);
  if (Math.abs(off) > 30) fill('#skew', clockOff(off));
}

/** Wires the sound button, before the server has answered: an alarm needs sound too. */
function wireSound() {
  byID('sound').onclick = async () => {
    const ready = await speaker.unlock();
    showSound(!ready);
    if (!ready) return;
    board?.soundChanged();
    stayAwake();
    if (!board) return;
    if (settings.microphone) speaker.test(settings.tunes[1], settings.volume);
    askHeard();
    const state = await askForPushes(board.shop, pushKey);
    byID('push').dataset.state = state;
    fill('#push', t(/** @type {import('../shared/i18n.js').Key} */ (`push_${state}`)));
  };
  speaker.addEventListener('change', () => {
    showSound(false);
    board?.soundChanged();
  });
  speaker.ear.addEventListener('change', () => {
    showHearing(speaker.ear);
    board?.reportHearing();
  });
  show('#sound', true);
  showSound(false);
}

/** @param {any} page */
function wire(page) {
  byID('heard').onclick = () => answer('yes');
  byID('not-heard').onclick = () => answer('no');
  const apply = () => {
    speaker.keepAwake(settings.awake);
    speaker.ear.turn(settings.microphone);
  };
  settingsPanel(
    () => settings,
    (s) => {
      const checks = s.microphone && !settings.microphone;
      settings = s;
      save(s);
      apply();
      board?.reportHearing();
      if (checks) speaker.test(s.tunes[1], s.volume);
    },
    ringNow,
  );
  apply();
  devicesPanel();
  boardKeys({ undo: () => board?.undo(), sound: () => byID('sound').click() });
  byID('sign-in').onsubmit = async (e) => {
    e.preventDefault();
    const token = /** @type {HTMLInputElement} */ (byID('token'));
    try {
      const me = await call('POST', 'login', { token: token.value.trim() });
      token.value = '';
      await open(me, page);
    } catch (err) {
      showError(err, 'signInFailed');
    }
  };
  byID('sign-out').onclick = async () => {
    try {
      await call('POST', 'logout', {});
      signedOut();
    } catch (err) {
      showError(err);
    }
  };
}

/** Asks until the server answers, which may be restarting; the watch shows how long. @param {() => Promise<any>} ask */
async function patiently(ask) {
  for (;;) {
    try {
      return await ask();
    } catch (err) {
      if (err instanceof Refused && err.status < 500) throw err;
      await new Promise((done) => setTimeout(done, 500 + Math.random() * 1500));
    }
  }
}

/**
 * Offers to pair this device: nothing is spent before somebody presses the button,
 * and nothing at all in an app's own browser.
 * @param {import('./pairing.js').Pairing} pairing @param {any} page
 */
async function offerPairing(pairing, page) {
  const foreign = inApp(navigator.userAgent);
  if (!foreign) history.replaceState(null, '', location.pathname + location.search);
  /** @type {import('./signin.js').Who} */
  let then;
  try {
    then = await patiently(() => previewTicket(pairing.ticket));
  } catch (err) {
    if (!(err instanceof Refused)) throw err;
    return pairingFailed(err);
  }
  const now = foreign ? null : await signedIn(patiently);
  show('#pair', true);
  fill('#pair h2', t('pairTitle'));
  fill('#pair .big', t('pairShop', { shop: shopNames(then) }));
  fill('#pair .now', now ? t('switchNow', { shop: shopNames(now) }) : '');
  show('#pair .now', now !== null);
  fill('#pair .hint', t(foreign ? 'pairInApp' : 'pairDone'));
  fill('#pair button', t('pairHere'));
  show('#pair button', !foreign);
  if (foreign) return;
  byID('pair')
    .querySelector('button')
    ?.addEventListener('click', async () => {
      try {
        const me = await call('POST', 'login', { ticket: pairing.ticket, label: deviceLabel(navigator.userAgent) });
        await open(me, page);
      } catch (err) {
        pairingFailed(err);
      }
    });
}

/** @param {unknown} err */
function pairingFailed(err) {
  show('#pair', false);
  fill('#sign-in-hint', t('pairUsed'));
  signedOut();
  showError(err, 'signInFailed');
}

async function start() {
  const pairing = parsePairing(location.hash);
  const ticket = takeTicket();
  label();
  watchNotices();
  wireSound();
  watch.opening(performance.timeOrigin);
  keepShell();
  const page = await patiently(() => call('GET', 'page.json', undefined, { signal: AbortSignal.timeout(ANSWER) }));
  pushKey = page.pushKey;
  checkClock(page.time);
  fill('#version', `doorbell ${build.version || page.version}`);
  show('#trial', page.trial);
  wire(page);
  watch.signedOut(); // the server is there; until a board is, it is watched
  if (pairing) return offerPairing(pairing, page);
  try {
    await open(await signInByLink(ticket, patiently), page);
  } catch (err) {
    if (!(err instanceof Refused)) throw err;
    if (ticket) fill('#sign-in-hint', t('linkUsed'));
    else if (endedBecause(err)) fill('#sign-in-hint', endedBecause(err));
    signedOut();
  }
}

start().catch(showError);
