// @ts-check
import { alertKey, orderKey } from './alert.js';

/**
 * Accepts under way: pressed, still to be undone for a while, then sent. One
 * press takes all alerts that the card had; a reminder that comes before it
 * went out takes the press back, because nobody has seen that reminder. One that
 * comes while it is on its way stays open here, though the server closes it too.
 *
 * @typedef {import('./orders.js').Card} Card
 * @typedef {import('./alert.js').Alert} Alert
 * @typedef {{pending: string, on: boolean, seen?: number}} Message to the other tabs; seen: the newest alert of the card that was pressed
 * @typedef {'open' | 'undo' | 'sending' | 'elsewhere'} State elsewhere: another tab of this browser is accepting it
 * @typedef {{card: Card | null, state: State, at: number, timer: ReturnType<typeof setTimeout>}} Pending
 *
 * @typedef {object} Options
 * @property {(card: Card) => Promise<void>} send resolves when the server has it
 * @property {(card: Card, err: unknown) => void} failed the card rings on
 * @property {(order: string) => void} changed its state is another one
 * @property {(message: Message) => void} tell the other tabs
 */

export const UNDO = 5000; // ms before an accept goes out
export const INERT = 800; // ms: the second press of a double press is no undo
export const ANSWER = 10_000; // ms for the server's answer: without one the alert rings on

export class Accepts {
  /** @param {Options} options */
  constructor(options) {
    this.o = options;
    /** @type {Map<string, Pending>} by order */
    this.pending = new Map();
    /** @type {Map<string, {seq: number, closing: string, until: number}>} by order: how far the hand had seen, and which alert answered it */
    this.seen = new Map();
  }

  /** @param {string} order @returns {State} */
  state(order) {
    return this.pending.get(order)?.state ?? 'open';
  }

  /** Takes the order, unless somebody already does. @param {Card} card @returns {boolean} */
  press(card) {
    if (this.pending.has(card.order)) return false;
    const timer = setTimeout(() => this.send(card.order), UNDO);
    this.pending.set(card.order, { card, state: 'undo', at: Date.now(), timer });
    this.sees(card.order, card.newest.seq);
    this.o.tell({ pending: card.order, on: true, seen: card.newest.seq });
    this.o.changed(card.order);
    return true;
  }

  /** @param {string} order @returns {boolean} */
  undo(order) {
    if (this.state(order) !== 'undo') return false;
    this.seen.delete(order);
    this.drop(order);
    this.o.tell({ pending: order, on: false });
    return true;
  }

  /** Returns the order that was pressed last and can still be undone. @returns {string | undefined} */
  last() {
    return [...this.pending].filter(([, p]) => p.state === 'undo').at(-1)?.[0];
  }

  /** Takes a press back where the customer asked again, and tells whether there was one. @param {string} order */
  raised(order) {
    const state = this.state(order);
    if (state === 'elsewhere') this.drop(order); // the tab that took it takes it back as well
    return state === 'undo' && this.undo(order);
  }

  /** Notes the newest alert that the hand saw of an order. @param {string} order @param {number} seq */
  sees(order, seq) {
    const now = Date.now();
    for (const [key, { until }] of this.seen) if (until < now) this.seen.delete(key);
    this.seen.set(order, { seq, closing: '', until: now + UNDO + 2 * ANSWER });
  }

  /**
   * Returns how far an alert of type 3 closes its order here. The server closes all that came
   * before it, also a reminder that was committed while the accept was on its way and
   * that nobody saw. The first closing alert after a press is taken for its answer.
   * @param {Alert} closing @returns {number} a seq
   */
  upTo(closing) {
    const seen = this.seen.get(orderKey(closing));
    if (!seen || closing.type !== 3 || seen.until < Date.now()) return closing.seq;
    seen.closing ||= alertKey(closing);
    return seen.closing === alertKey(closing) ? Math.min(seen.seq, closing.seq) : closing.seq;
  }

  /** Takes the message that another tab took an order, or let it go. @param {Message} m */
  told(m) {
    if (m.on && m.seen) this.sees(m.pending, m.seen);
    if (!m.on) {
      this.seen.delete(m.pending);
      if (this.state(m.pending) === 'elsewhere') this.drop(m.pending);
      return;
    }
    clearTimeout(this.pending.get(m.pending)?.timer);
    // That tab may be gone before its accept: then it rings on here.
    const timer = setTimeout(() => this.drop(m.pending), UNDO + ANSWER);
    this.pending.set(m.pending, { card: null, state: 'elsewhere', at: Date.now(), timer });
    this.o.changed(m.pending);
  }

  /** Forgets an order's accept: the order is closed, or nobody takes it any more. @param {string} order */
  drop(order) {
    const p = this.pending.get(order);
    if (!p) return;
    clearTimeout(p.timer);
    this.pending.delete(order);
    this.o.changed(order);
  }

  /** @param {string} order */
  async send(order) {
    const p = this.pending.get(order);
    if (!p?.card || p.state !== 'undo') return;
    clearTimeout(p.timer);
    p.state = 'sending';
    this.o.changed(order);
    try {
      await this.o.send(p.card);
      if (this.pending.get(order) === p) this.drop(order); // what its accept left open rings on
    } catch (err) {
      if (this.pending.get(order) !== p) return; // closed meanwhile: another console was faster
      this.drop(order);
      this.o.tell({ pending: order, on: false });
      this.o.failed(p.card, err);
    }
  }

  /** Sends all accepts at once: a page that goes takes no press back. */
  flush() {
    for (const order of [...this.pending.keys()]) this.send(order);
  }
}
