// @ts-check
import { call } from '../shared/api.js';
import { language, t } from '../shared/i18n.js';
import { byID, element, fill, show } from '../shared/page.js';
import { contentOf, who } from '../shared/say.js';

const PAGE = 30;
const MOST = 500; // the API's limit
const SOON = 300; // ms: several alerts at once are one reading
const EVERY = 2000; // ms between two readings in a rush
const EVERY_UNSEEN = 15_000; // the same, while the list is below the screen: a reading is 30 rows, on the thread that draws the cards

/** @typedef {import('./board/alert.js').Alert & {state: string, by?: string, at?: string, reached: Reached[], receipts: {console: string, stage: string, reason?: string, by: string, at: string}[]}} HistoryEntry */

/** @typedef {{state: string, at: string, by?: string}} Reached how far an alert came, and by whom */

/** @param {string} time */
const clock = (time) => new Date(time).toLocaleTimeString(language);

/** @param {number} type of an alert */
export const kindOf = (type) => t(type === 1 ? 'kind_order' : /** @type {import('../shared/i18n.js').Key} */ (`type${type}`));

/** Says what became of an alert, in a few words. @param {HistoryEntry} a */
export function outcome(a) {
  if (a.state === 'open') return t('waiting', { n: '' }).trim();
  return a.by ? `${t('by')} ${who(a.by)}` : '';
}

/** Says how an alert was heard: the first sound, or that there was none. @param {HistoryEntry} a */
export function hearing(a) {
  const sounded = a.receipts.filter((r) => r.stage === 'sounded');
  if (sounded.length === 0) return t('heardBy0');
  const seconds = Math.max(0, Math.round((Date.parse(sounded[0].at) - Date.parse(a.time)) / 1000));
  return t('heardBy', { n: new Set(sounded.map((r) => r.console)).size, s: seconds });
}

/** Says how far an alert came, a line for each step. @param {Reached} step */
export function step({ state, at, by }) {
  const name = t(/** @type {import('../shared/i18n.js').Key} */ (`reached_${state}`));
  return `${clock(at)} ${name}${by ? ` · ${who(by)}` : ''}`;
}

const REASONS = /** @type {const} */ (['sound_not_unlocked', 'quiet_hours', 'not_heard', 'chime_not_heard']);

/** Says why a console was silent, in words where we know them. @param {string} code */
const reason = (code) => {
  const known = REASONS.find((r) => r === code);
  return known ? t(`why_${known}`) : code;
};

/** Shows the list below the open orders: searched, filtered, page by page. */
export class History {
  /** @param {number} shop @param {(alerts: HistoryEntry[]) => void} onRead gets each page that is read */
  constructor(shop, onRead) {
    this.shop = shop;
    this.onRead = onRead;
    this.closed = false;
    this.seen = false; // it is on the screen
    this.watch = new IntersectionObserver((entries) => this.looked(entries[entries.length - 1].isIntersecting));
    this.watch.observe(byID('history-part'));
    this.timer = 0;
    this.readAt = Number.NEGATIVE_INFINITY;
    /** @type {Map<number, {li: HTMLElement, says: string}>} the rows on the screen, by seq */
    this.rows = new Map();
    /** @type {HistoryEntry[]} */
    this.alerts = [];
    /** @type {string | null} */
    this.next = null;
    /** @type {Set<number>} those whose details are open */
    this.opened = new Set();
    this.search = /** @type {HTMLInputElement} */ (byID('search'));
    this.filter = /** @type {HTMLSelectElement} */ (byID('filter'));
    const anew = () => {
      this.alerts = []; // a page of what is looked for now
      this.readAt = Number.NEGATIVE_INFINITY;
      clearTimeout(this.timer);
      this.timer = 0;
      this.readSoon();
    };
    this.search.oninput = anew;
    this.filter.onchange = anew;
    byID('more').onclick = () => this.more();
  }

  close() {
    this.closed = true;
    this.watch.disconnect();
    clearTimeout(this.timer);
    byID('history').replaceChildren();
  }

  /** Plans one reading for several alerts at once; a rush does not put it off for ever. */
  readSoon() {
    const every = this.seen ? EVERY : EVERY_UNSEEN;
    this.timer ||= window.setTimeout(() => this.read(), Math.max(SOON, this.readAt + every - performance.now()));
  }

  /** Reads what is due as soon as somebody looks. @param {boolean} seen */
  looked(seen) {
    this.seen = seen;
    if (!seen || this.timer === 0) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.readSoon();
  }

  query() {
    const limit = Math.min(MOST, Math.max(PAGE, this.alerts.length)); // what was unfolded stays so
    const q = new URLSearchParams({ shop: String(this.shop), limit: String(limit) });
    if (this.filter.value) q.set('type', this.filter.value);
    if (this.search.value.trim()) q.set('search', this.search.value.trim());
    return q;
  }

  /** Reads the newest page. */
  async read() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.readAt = performance.now();
    try {
      const page = await call('GET', `api/v1/alerts?${this.query()}`);
      if (this.closed) return;
      this.alerts = page.alerts;
      this.next = page.next;
      this.onRead(page.alerts);
      this.show();
    } catch {
      // The list is a convenience: the next alert reads it again.
    }
  }

  async more() {
    if (!this.next) return;
    const q = this.query();
    q.set('limit', String(PAGE));
    q.set('before', this.next);
    try {
      const page = await call('GET', `api/v1/alerts?${q}`);
      if (this.closed) return;
      this.alerts = [...this.alerts, ...page.alerts];
      this.next = page.next;
      this.show();
    } catch {
      // Pressed again, it asks again.
    }
  }

  show() {
    const searching = this.search.value !== '' || this.filter.value !== '';
    show('#history-part', this.alerts.length > 0 || searching);
    fill('#nothing-found', t('nothingFound'));
    show('#nothing-found', this.alerts.length === 0 && searching);
    show('#more', this.next !== null);
    this.draw(byID('history'));
  }

  /** Draws the rows; one that stays is the same element and keeps the focus. @param {HTMLElement} list */
  draw(list) {
    const keep = new Set(this.alerts.map((a) => a.seq));
    for (const [seq, { li }] of this.rows) {
      if (keep.has(seq)) continue;
      li.remove();
      this.rows.delete(seq);
    }
    this.alerts.forEach((a, i) => {
      const says = JSON.stringify(a);
      let row = this.rows.get(a.seq);
      if (row?.says !== says) {
        const focused = row?.li.contains(document.activeElement);
        const li = this.row(a);
        row?.li.replaceWith(li);
        row = { li, says };
        this.rows.set(a.seq, row);
        if (focused) li.querySelector('summary')?.focus({ preventScroll: true });
      }
      const there = list.children[i];
      if (row && row.li !== there) list.insertBefore(row.li, there ?? null);
    });
  }

  /** @param {HistoryEntry} a */
  row(a) {
    const li = element('li', '', '');
    const details = /** @type {HTMLDetailsElement} */ (element('details', '', ''));
    details.open = this.opened.has(a.seq);
    details.ontoggle = () => (details.open ? this.opened.add(a.seq) : this.opened.delete(a.seq));
    const line = element('summary', '', '');
    const time = element('time', '', clock(a.time));
    time.setAttribute('datetime', a.time);
    line.append(
      time,
      element('span', `kind type${a.type}`, kindOf(a.type)),
      element('span', '', contentOf(a)),
      element('span', 'state', outcome(a)),
    );
    details.append(line);
    if (a.type <= 2) details.append(this.facts(a));
    li.append(details);
    return li;
  }

  /** Lists how far an alert came, and what each console said of it. @param {HistoryEntry} a */
  facts(a) {
    const box = element('div', 'receipts', '');
    const steps = element('ol', 'reached', '');
    steps.setAttribute('aria-label', t('reached'));
    steps.append(...a.reached.map((r) => element('li', '', step(r))));
    box.append(element('p', '', hearing(a)), steps);
    const list = element('ul', '', '');
    for (const r of a.receipts) {
      const stage = t(/** @type {import('../shared/i18n.js').Key} */ (`stage_${r.stage}`));
      const why = r.stage === 'silent' && r.reason ? ` (${reason(r.reason)})` : '';
      list.append(element('li', '', `${clock(r.at)} ${stage}${why} · ${who(r.by)}`));
    }
    if (a.receipts.length > 0) box.append(list);
    return box;
  }
}
