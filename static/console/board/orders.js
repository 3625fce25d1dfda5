// @ts-check
import { alertKey, orderKey, rings } from './alert.js';

/**
 * What the board shows: one card for each order that is open, whatever number
 * of alerts tell of it. Taking an alert in costs the same with 5 cards and 500.
 *
 * @typedef {import('./alert.js').Alert} Alert
 * @typedef {import('./details.js').Detail} Detail what was ordered
 *
 * @typedef {object} Card
 * @property {string} key of the order's first open alert: an order that is asked about after it was accepted is another card
 * @property {string} order
 * @property {'order' | 'alert' | 'reminder'} kind to be accepted, to be noted, or asked about by the customer
 * @property {readonly Alert[]} alerts oldest first
 * @property {Alert} newest
 * @property {string} number
 * @property {string} content
 * @property {number} since ms: the order's oldest open alert
 * @property {number} reminders how often the customer asked
 * @property {number} remindedSince ms: the first time, 0 for never
 * @property {boolean} test
 * @property {Detail | null} detail
 *
 * @typedef {{what: 'opened' | 'raised' | 'closed', card: Card}} Change closed: the card as it was
 */

/** @param {string} order @param {readonly Alert[]} alerts @param {Detail | null} detail @returns {Card} */
function cardOf(order, alerts, detail) {
  const newest = alerts[alerts.length - 1];
  const orders = alerts.filter((a) => a.type === 1);
  const reminders = alerts.filter((a) => a.type === 2);
  const own = orders.find((a) => a.source === 'order');
  return {
    key: alertKey(alerts[0]),
    order,
    kind: own ? 'order' : orders.length > 0 ? 'alert' : 'reminder',
    alerts,
    newest,
    number: alerts.find((a) => a.number)?.number ?? '',
    content: (orders[0] ?? newest).content,
    since: Date.parse(alerts[0].time),
    reminders: reminders.length,
    remindedSince: reminders.length > 0 ? Date.parse(reminders[0].time) : 0,
    test: alerts.some((a) => a.test),
    detail,
  };
}

export class Orders {
  /** @param {(alert: Alert) => Detail | null} [detailOf] what is known of what was ordered */
  constructor(detailOf = () => null) {
    this.detailOf = detailOf;
    /** @type {Map<string, Card>} by order, as their cards came */
    this.cards = new Map();
    /** @type {Map<string, string>} the order of each open alert */
    this.orderOf = new Map();
    /** @type {Card[] | null} oldest first; null when it is to be sorted anew */
    this.sorted = [];
  }

  get size() {
    return this.cards.size;
  }

  /** Returns the cards, oldest first. Called at each tick, it sorts only after a change. @returns {readonly Card[]} */
  list() {
    this.sorted ??= [...this.cards.values()].sort((a, b) => a.since - b.since || a.alerts[0].seq - b.alerts[0].seq);
    return this.sorted;
  }

  /** @param {string} order @returns {Card | undefined} */
  card(order) {
    return this.cards.get(order);
  }

  /**
   * Takes one alert in, once however often it comes.
   * @param {Alert} alert @param {number} [upTo] a closing alert closes what came up to this seq
   * @returns {Change | null}
   */
  take(alert, upTo = alert.seq) {
    const order = orderKey(alert);
    const before = this.cards.get(order);
    if (!rings(alert)) return before ? this.close(before, upTo) : null;
    if (!before) return this.put(order, [alert], 'opened', alert);
    if (this.orderOf.has(alertKey(alert))) return null;
    return this.put(order, [...before.alerts, alert].sort(byTime), 'raised', alert);
  }

  /** @param {string} order @param {readonly Alert[]} alerts @param {Change['what']} what @param {Alert} alert @returns {Change} */
  put(order, alerts, what, alert) {
    this.orderOf.set(alertKey(alert), order);
    return { what, card: this.make(order, alerts) };
  }

  /** @param {string} order @param {readonly Alert[]} alerts */
  make(order, alerts) {
    const card = cardOf(order, alerts, alerts.map(this.detailOf).find((d) => d !== null) ?? null);
    this.cards.set(order, card);
    this.sorted = null;
    return card;
  }

  /** Closes the order's alerts up to this seq; later ones stay. @param {Card} before @param {number} upTo @returns {Change | null} */
  close(before, upTo) {
    const left = before.alerts.filter((a) => a.seq > upTo);
    if (left.length === before.alerts.length) return null;
    this.sorted = null;
    this.cards.delete(before.order); // what is left is a card of its own, at its own place
    for (const a of before.alerts) if (!left.includes(a)) this.orderOf.delete(alertKey(a));
    if (left.length > 0) this.make(before.order, left);
    return { what: 'closed', card: before };
  }

  /**
   * Becomes the snapshot that was read: what is not in it is closed.
   * @param {readonly Alert[]} open @returns {Alert[]} those that were not there before, oldest first
   */
  replace(open) {
    const known = new Set(this.orderOf.keys());
    this.cards = new Map();
    this.orderOf = new Map();
    this.sorted = null;
    for (const a of [...open].sort(byTime)) this.take(a);
    return open.filter((a) => !known.has(alertKey(a))).sort(byTime);
  }

  /** Makes a card anew whose details have come. @param {string} key of the alert that told it @returns {Card | null} the card that shows it */
  describe(key) {
    const before = this.cards.get(this.orderOf.get(key) ?? '');
    return before ? this.make(before.order, before.alerts) : null;
  }
}

/** @param {Alert} a @param {Alert} b */
const byTime = (a, b) => Date.parse(a.time) - Date.parse(b.time) || a.seq - b.seq;
