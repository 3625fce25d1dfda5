// @ts-check

import { eventStream } from '../client/eventstream.js';
import { load } from '../console/settings.js';
import { Speaker } from '../console/sound/speaker.js';
import { base, call, Refused } from '../shared/api.js';
import { language, t } from '../shared/i18n.js';
import { byID, element, fill, show } from '../shared/page.js';
import { clockOff, why } from '../shared/say.js';
import { CURES, judge, verdict } from './diagnosis.js';

/** @typedef {import('../shared/i18n.js').Key} Key */

const PATIENCE = 3000; // ms for a first byte
const WATCH = 20_000; // ms of silence that a path should bear; the console asks for 3 s where it does not
const POLL = 2; // s
const ANSWER = 8000; // ms for a small request

const since = (/** @type {number} */ from) => Math.round(performance.now() - from);

/** @param {number} shop */
const query = (shop, more = '') => `shops=${shop}&sid=doctor${more}`;

/** @param {number} shop @returns {Promise<{hello: number | null, refused: number | null}>} */
function socket(shop) {
  return new Promise((done) => {
    const began = performance.now();
    const s = new WebSocket(`${base.replace(/^http/, 'ws')}ws?${query(shop)}`, ['doorbell.v1']);
    const over = (/** @type {{hello: number | null, refused: number | null}} */ r) => {
      done(r);
      s.onclose = null;
      s.close();
    };
    s.onmessage = () => over({ hello: since(began), refused: null });
    s.onclose = () => over({ hello: null, refused: since(began) });
    setTimeout(() => over({ hello: null, refused: null }), PATIENCE);
  });
}

/**
 * @param {number} shop @param {number} heartbeat s @param {number} patience ms @param {number} enough events
 * @returns {Promise<{headers: number | null, first: number | null, gaps: number[], cut: number | null}>}
 */
async function events(shop, heartbeat, patience, enough) {
  const began = performance.now();
  const abort = new AbortController();
  /** @type {{headers: number | null, first: number | null, gaps: number[], cut: number | null}} */
  const seen = { headers: null, first: null, gaps: [], cut: null };
  const timer = setTimeout(() => abort.abort(), patience);
  let last = 0;
  let n = 0;
  try {
    const res = await fetch(`${base}events?${query(shop, `&heartbeat=${heartbeat}`)}`, { signal: abort.signal, cache: 'no-store' });
    seen.headers = since(began);
    if (!res.ok || !res.body) return seen;
    const feed = eventStream(() => {
      const now = since(began);
      if (seen.first === null) seen.first = now;
      else seen.gaps.push(now - last);
      last = now;
      if (++n >= enough) abort.abort();
    });
    const reader = res.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        seen.cut = since(began);
        break;
      }
      feed(value);
    }
  } catch {
    if (!abort.signal.aborted) seen.cut = since(began);
  } finally {
    clearTimeout(timer);
  }
  return seen;
}

/** @param {number} shop */
async function poll(shop) {
  const began = performance.now();
  try {
    const res = await fetch(`${base}poll?${query(shop, `&wait=${POLL}`)}`, {
      cache: 'no-store',
      signal: AbortSignal.timeout(POLL * 1000 + 5000),
    });
    await res.json();
    return { took: res.ok ? since(began) : null, wanted: POLL * 1000 };
  } catch {
    return { took: null, wanted: POLL * 1000 };
  }
}

/** @typedef {import('./diagnosis.js').Finding['check']} Check */

/** The checks, in their order. @type {readonly Check[]} */
const CHECKS = ['clock', 'answer', 'websocket', 'sse', 'held', 'poll', 'idle', 'secure'];

/** @param {Check} check @param {string} kind @param {string} mark @param {string} text */
function row(check, kind, mark, text) {
  const li = element('li', kind, '');
  li.dataset.check = check;
  li.append(element('span', 'mark', mark), element('strong', '', t(`d_${check}`)), element('span', '', text));
  return li;
}

/** @param {import('./diagnosis.js').Finding} f */
function found(f) {
  const text = f.words === 'skew' ? clockOff(f.values.s) : t(/** @type {Key} */ (f.words), f.values);
  return row(f.check, f.grade, { ok: '✓', warn: '!', bad: '✗' }[f.grade], text);
}

/**
 * What is known, what is looked at just now, and what is still to come.
 * @param {Partial<import('./diagnosis.js').Measured>} m @param {readonly Check[]} now
 */
function draw(m, now) {
  const findings = judge(m);
  const rows = CHECKS.map((check) => {
    const f = findings.find((one) => one.check === check);
    if (f) return found(f);
    return now.includes(check) ? row(check, 'running', '…', t('dNow')) : row(check, 'waiting', '', '');
  });
  byID('checks').replaceChildren(...rows);
}

/** Checks one thing after another: a hung WebSocket holds up what else the browser asks of that host. */
async function measure() {
  /** @type {Partial<import('./diagnosis.js').Measured>} */
  const m = {};
  draw(m, ['clock', 'answer']);
  const began = performance.now();
  const page = await call('GET', 'page.json', undefined, { signal: AbortSignal.timeout(ANSWER) });
  m.answer = since(began);
  m.skew = Math.round((Date.now() - Date.parse(page.time) - m.answer / 2) / 1000);
  m.secure = window.isSecureContext;
  draw(m, ['websocket']);
  const me = await call('GET', 'api/v1/me', undefined, { signal: AbortSignal.timeout(ANSWER) }).catch((err) => {
    if (err instanceof Refused) return null;
    throw err;
  });
  m.signedIn = me !== null;
  if (me === null) return m;
  const shop = me.shops[0]?.id ?? 1;
  m.websocket = await socket(shop);
  draw(m, ['sse', 'held']);
  m.sse = await events(shop, 1, PATIENCE + 1500, 4);
  draw(m, ['poll']);
  m.poll = await poll(shop);
  draw(m, ['idle']);
  const idle = await events(shop, 60, WATCH, 99);
  m.idle = idle.first === null ? { cut: null, watched: 0 } : { cut: idle.cut, watched: WATCH };
  return m;
}

async function examine() {
  const button = /** @type {HTMLButtonElement} */ (byID('again'));
  button.disabled = true;
  show('#cures', false);
  fill('#verdict', t('dRunning'));
  byID('verdict').dataset.grade = '';
  try {
    const findings = judge(await measure());
    byID('checks').replaceChildren(...findings.map(found));
    const { grade, proxy } = verdict(findings);
    fill('#verdict', t(grade === 'ok' ? 'dVerdictOK' : grade === 'warn' ? 'dVerdictWarn' : 'dVerdictBad'));
    byID('verdict').dataset.grade = grade;
    show('#cures', proxy);
  } catch (err) {
    byID('checks').replaceChildren();
    fill('#verdict', t('failed', { why: why(err) }));
    byID('verdict').dataset.grade = 'bad';
  }
  button.disabled = false;
}

const speaker = new Speaker({ clip: () => '' });

const EAR = { heard: 'ok', missed: 'bad', unavailable: 'warn', untried: 'warn', off: 'warn' };

/** Plays the chime of new orders as loud as the console does, and says whether the microphone heard it. */
async function hear() {
  const button = /** @type {HTMLButtonElement} */ (document.querySelector('#hearing button'));
  const { tunes, volume } = load();
  button.disabled = true;
  speaker.ear.turn(true);
  fill('#ear', t('dNow'));
  byID('ear').dataset.grade = '';
  await speaker.test(tunes[1], volume);
  const { state } = speaker.ear;
  fill(
    '#ear',
    t(/** @type {Key} */ (speaker.unlocked ? `ear_${state}` : 'soundFailed'), {
      t: new Date().toLocaleTimeString([], { timeStyle: 'short' }),
    }),
  );
  byID('ear').dataset.grade = speaker.unlocked ? EAR[state] : 'bad';
  speaker.ear.turn(false);
  button.disabled = false;
}

document.documentElement.lang = language;
document.title = t('doctor');
fill('#title', t('doctor'));
fill('#back', t('back'));
fill('#again', t('dAgain'));
fill('#hearing h2', t('dEar'));
fill('#hearing .hint', t('dEarHint'));
fill('#hearing button', t('dEarTry'));
fill('#cures h2', t('dCures'));
fill('#cures .hint', t('dCuresHint'));
byID('snippets').replaceChildren(
  ...Object.entries(CURES).map(([name, text]) => {
    const box = element('details', '', '');
    box.append(element('summary', '', name), element('pre', '', text));
    return box;
  }),
);
byID('again').onclick = () => examine();
document.querySelector('#hearing button')?.addEventListener('click', hear);
examine();
