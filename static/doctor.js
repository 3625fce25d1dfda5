// @ts-check
import { base, call } from './api.js';
import { CURES, judge, verdict } from './diagnosis.js';
import { eventStream } from './eventstream.js';
import { language, t } from './i18n.js';
import { byID, element, fill, show } from './page.js';

/** @typedef {import('./i18n.js').Key} Key */

const PATIENCE = 3000; // ms for a first byte
const WATCH = 20_000; // ms of silence that a path should bear; the console asks for 3 s where it does not
const POLL = 2; // s

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

/** @param {import('./diagnosis.js').Finding} f */
function row(f) {
  const li = element('li', f.grade, '');
  const mark = { ok: '✓', warn: '!', bad: '✗' }[f.grade];
  li.dataset.check = f.check;
  li.append(element('span', 'mark', mark), element('strong', '', t(/** @type {Key} */ (`d_${f.check}`))));
  li.append(element('span', '', t(/** @type {Key} */ (f.words), f.values)));
  return li;
}

async function examine() {
  const button = /** @type {HTMLButtonElement} */ (byID('again'));
  button.disabled = true;
  byID('checks').replaceChildren();
  show('#cures', false);
  fill('#verdict', t('dRunning'));
  const began = performance.now();
  const page = await call('GET', 'page.json');
  const answer = since(began);
  const me = await call('GET', 'api/v1/me').catch(() => null);
  const shop = me?.shops[0]?.id ?? 1;
  /** @type {import('./diagnosis.js').Measured} */
  const m = {
    signedIn: me !== null,
    skew: Math.round((Date.now() - Date.parse(page.time) - answer / 2) / 1000),
    answer,
    websocket: { hello: null, refused: null },
    sse: { headers: null, first: null, gaps: [], cut: null },
    poll: { took: null, wanted: 0 },
    idle: { cut: null, watched: WATCH },
    secure: window.isSecureContext,
  };
  if (m.signedIn) {
    // One after another: a hung WebSocket holds up what else the browser asks of that host.
    m.websocket = await socket(shop);
    m.sse = await events(shop, 1, PATIENCE + 1500, 4);
    m.poll = await poll(shop);
    const idle = await events(shop, 60, WATCH, 99);
    m.idle = idle.first === null ? { cut: null, watched: 0 } : { cut: idle.cut, watched: WATCH };
  }
  const findings = judge(m);
  byID('checks').replaceChildren(...findings.map(row));
  const { grade, proxy } = verdict(findings);
  fill('#verdict', t(grade === 'ok' ? 'dVerdictOK' : grade === 'warn' ? 'dVerdictWarn' : 'dVerdictBad'));
  byID('verdict').dataset.grade = grade;
  show('#cures', proxy);
  button.disabled = false;
}

document.documentElement.lang = language;
document.title = t('doctor');
fill('#title', t('doctor'));
fill('#back', t('back'));
fill('#again', t('dAgain'));
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
examine().catch((err) => fill('#verdict', t('failed', { why: String(err) })));
