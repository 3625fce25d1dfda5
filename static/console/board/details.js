// @ts-check
import { alertKey, rings } from './alert.js';

/**
 * What was ordered, as the API has it in `detail`: every field is there, empty
 * where nothing was told.
 * @typedef {{lines: string[], note: string, table: string, pickup: string, refunded?: {amount: number, currency: string}}} Detail
 * @typedef {import('./alert.js').Alert & {detail?: Partial<Detail>, refundedAmount?: number, currency?: string}} ListedAlert an alert as the API lists it
 * @typedef {(path: string) => Promise<{alerts: ListedAlert[], next: number | null}>} Ask has a time limit: nothing else is asked meanwhile
 */

const GATHER = 40; // ms: what a burst brings is asked for at once
const SPREAD = 120; // ms: the consoles of a shop hear of an order in the same instant, and need not ask in it
const APART = 400; // ms from an answer to the next question, so that a rush is a few of them in a second
const LIMIT = 500; // the API's
const RETRY = { first: 1000, most: 30_000 }; // ms

/** @param {unknown} v */
const word = (v) => (typeof v === 'string' ? v.trim() : '');

/** Reads what was ordered; blank lines say nothing on a card. @param {Partial<Detail> | undefined} detail @returns {Detail | null} null where nothing was told */
export function readDetail(detail) {
  const lines = (Array.isArray(detail?.lines) ? detail.lines : []).map(word).filter(Boolean);
  const d = { lines, note: word(detail?.note), table: word(detail?.table), pickup: word(detail?.pickup) };
  return d.lines.length || d.note || d.table || d.pickup ? d : null;
}

/** Adds what was refunded of the order's payment to its details. @param {Detail | null} detail @param {ListedAlert} a @returns {Detail | null} */
function withRefund(detail, { refundedAmount: amount, currency }) {
  if (!amount || !currency) return detail;
  return { ...(detail ?? { lines: [], note: '', table: '', pickup: '' }), refunded: { amount, currency } };
}

/**
 * The details of a shop's open alerts. Streams don't carry them: what the
 * snapshot did not bring is asked for, one question for all that came in a
 * burst and never two at a time. Without an answer the card stays as it is,
 * and the question is asked again.
 */
export class Details {
  /**
   * @param {{shop: number, ask: Ask, onRead: (alerts: ListedAlert[]) => void, random?: () => number}} options
   *   onRead gets each alert that has details once, also those that learn() brings, and again when more of it was refunded
   */
  constructor({ shop, ask, onRead, random = Math.random }) {
    this.shop = shop;
    this.ask = ask;
    this.onRead = onRead;
    this.random = random;
    /** @type {Map<string, Detail | null>} null: the server said that there are none */
    this.known = new Map();
    /** @type {Map<string, import('./alert.js').Alert>} what is to be asked for */
    this.wanted = new Map();
    /** @type {ReturnType<typeof setTimeout> | null} a question is to be asked, or is being asked */
    this.timer = null;
    this.asking = false;
    this.failures = 0;
    this.answeredAt = 0;
    this.closed = false;
  }

  close() {
    this.closed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.wanted.clear();
  }

  /** @param {import('./alert.js').Alert} alert @returns {Detail | null} null for none, and for not known yet */
  of(alert) {
    return this.known.get(alertKey(alert)) ?? null;
  }

  /** Takes what a list of the API brought: a snapshot, a page of the history. @param {readonly ListedAlert[]} alerts */
  learn(alerts) {
    const told = [];
    for (const a of alerts) {
      if (!rings(a) || this.closed) continue;
      const key = alertKey(a);
      this.wanted.delete(key);
      const detail = withRefund(readDetail(a.detail), a);
      const before = this.known.get(key);
      if ((before?.refunded?.amount ?? 0) > (detail?.refunded?.amount ?? 0)) continue; // an answer that was overtaken: a refund only grows
      this.known.set(key, detail);
      if (detail && (!before || detail.refunded?.amount !== before.refunded?.amount)) told.push({ ...a, detail });
    }
    if (told.length > 0) this.onRead(told);
  }

  /** Asks, soon, for what a stream brought. @param {readonly import('./alert.js').Alert[]} alerts */
  want(alerts) {
    if (this.closed) return;
    for (const a of alerts) if (rings(a) && !this.known.has(alertKey(a))) this.wanted.set(alertKey(a), a);
    if (this.wanted.size > 0) this.plan(Math.max(GATHER + this.random() * SPREAD, this.answeredAt + APART - Date.now()));
  }

  /**
   * Asks anew for what may have changed: a part of an order's payment can go back
   * while its card is open, and no stream tells of that.
   * @param {readonly import('./alert.js').Alert[]} alerts those that are open
   */
  refresh(alerts) {
    for (const a of alerts) if (a.source === 'order' && rings(a)) this.wanted.set(alertKey(a), a);
    if (this.wanted.size > 0) this.plan(this.random() * SPREAD);
  }

  /** Forgets all but these: they are no longer open. @param {ReadonlySet<string>} keys of alertKey */
  keep(keys) {
    for (const key of [...this.known.keys()]) if (!keys.has(key)) this.known.delete(key);
    for (const key of [...this.wanted.keys()]) if (!keys.has(key)) this.wanted.delete(key);
  }

  /** Asks at once again for what failed: the connection is back. */
  again() {
    if (this.failures === 0 || this.asking || this.closed) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.failures = 0;
    this.want([...this.wanted.values()]);
  }

  /** @param {number} wait ms */
  plan(wait) {
    if (this.timer !== null || this.asking || this.closed) return;
    this.timer = setTimeout(() => this.read(), Math.min(wait, RETRY.most)); // a clock may be set back
  }

  async read() {
    this.timer = null;
    if (this.wanted.size === 0) return;
    this.asking = true;
    const asked = [...this.wanted];
    try {
      await this.readOpen(Math.min(...asked.map(([, a]) => a.seq)));
      // What is not in the answer is not open any more.
      for (const [key, a] of asked) if (this.wanted.get(key) === a) this.wanted.delete(key);
      this.failures = 0;
    } catch {
      this.failures++;
    }
    this.asking = false;
    this.answeredAt = Date.now();
    if (this.wanted.size === 0) return;
    const pause = this.failures === 0 ? APART : Math.min(RETRY.most, RETRY.first * 2 ** (this.failures - 1));
    this.plan(pause * (0.5 + this.random() / 2));
  }

  /** Reads every open alert from this seq on, page by page, newest first. @param {number} from */
  async readOpen(from) {
    for (let before = ''; !this.closed; ) {
      const page = await this.ask(`api/v1/alerts?shop=${this.shop}&state=open&after=${from - 1}&limit=${LIMIT}${before}`);
      this.learn(page.alerts);
      if (!page.next) return;
      before = `&before=${page.next}`;
    }
  }
}
