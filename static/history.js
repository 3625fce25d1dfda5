// @ts-check
import { call } from './api.js';
import { language, t } from './i18n.js';
import { byID, element, fill, show } from './page.js';

const PAGE = 30;
const SOON = 300; // ms: several alerts at once are one reading

/** @typedef {import('./picture.js').Alert & {state: string, by?: string, at?: string, receipts: {console: string, stage: string, reason?: string, by: string, at: string}[]}} Kept */

/** @param {string} time */
const clock = (time) => new Date(time).toLocaleTimeString(language);

/** What became of an alert, in a few words. @param {Kept} a */
export function outcome(a) {
  if (a.state === 'open') return t('waiting', { n: '' }).trim();
  return a.by ? `${t('by')} ${a.by}` : '';
}

/** How an alert was heard: the first sound, or that there was none. @param {Kept} a */
export function hearing(a) {
  const sounded = a.receipts.filter((r) => r.stage === 'sounded');
  if (sounded.length === 0) return t('heardBy0');
  const seconds = Math.max(0, Math.round((Date.parse(sounded[0].at) - Date.parse(a.time)) / 1000));
  return t('heardBy', { n: new Set(sounded.map((r) => r.console)).size, s: seconds });
}

const REASONS = /** @type {const} */ (['sound_not_unlocked', 'quiet_hours', 'not_heard']);

/** Why a console was silent, in words where we know them. @param {string} code */
const reason = (code) => {
  const known = REASONS.find((r) => r === code);
  return known ? t(`why_${known}`) : code;
};

/** The list below the open alerts: searched, filtered, page by page. */
export class History {
  /** @param {number} shop */
  constructor(shop) {
    this.shop = shop;
    this.closed = false;
    this.timer = 0;
    /** @type {Kept[]} */
    this.alerts = [];
    /** @type {string | null} */
    this.next = null;
    /** @type {Set<number>} those whose details are open */
    this.opened = new Set();
    this.search = /** @type {HTMLInputElement} */ (byID('search'));
    this.filter = /** @type {HTMLSelectElement} */ (byID('filter'));
    this.search.oninput = () => this.readSoon();
    this.filter.onchange = () => this.read();
    byID('more').onclick = () => this.more();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
  }

  readSoon() {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.read(), SOON);
  }

  query() {
    const q = new URLSearchParams({ shop: String(this.shop), limit: String(PAGE) });
    if (this.filter.value) q.set('type', this.filter.value);
    if (this.search.value.trim()) q.set('search', this.search.value.trim());
    return q;
  }

  /** The newest page anew. */
  async read() {
    try {
      const page = await call('GET', `api/v1/alerts?${this.query()}`);
      if (this.closed) return;
      this.alerts = page.alerts;
      this.next = page.next;
      this.show();
    } catch {
      // The list is a convenience: the next alert reads it again.
    }
  }

  async more() {
    if (!this.next) return;
    const q = this.query();
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
    byID('history').replaceChildren(...this.alerts.map((a) => this.row(a)));
  }

  /** @param {Kept} a */
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
      element('span', `kind type${a.type}`, t(/** @type {import('./i18n.js').Key} */ (`type${a.type}`))),
      element('span', '', a.content),
      element('span', 'state', outcome(a)),
    );
    details.append(line);
    if (a.type <= 2) details.append(this.facts(a));
    li.append(details);
    return li;
  }

  /** Who showed and heard it, and when. @param {Kept} a */
  facts(a) {
    const box = element('div', 'receipts', '');
    box.append(element('p', '', hearing(a)));
    const list = element('ul', '', '');
    for (const r of a.receipts) {
      const stage = t(/** @type {import('./i18n.js').Key} */ (`stage_${r.stage}`));
      const why = r.stage === 'silent' && r.reason ? ` (${reason(r.reason)})` : '';
      list.append(element('li', '', `${clock(r.at)} ${stage}${why} · ${r.by} ${r.console.slice(0, 6)}`));
    }
    if (a.at && a.state === 'closed') list.append(element('li', '', `${clock(a.at)} ${t('by')} ${a.by}`));
    box.append(list);
    return box;
  }
}
