// @ts-check
import { alertKey } from '../board/alert.js';
import { isQuiet } from '../settings.js';
import { due, how } from './ringing.js';

/**
 * Rings for the orders that nobody has accepted. One ring at a time; what it
 * tells of is what is open when its sound begins, not when it was asked for.
 *
 * @typedef {import('../board/orders.js').Card} Card
 * @typedef {import('../board/orders.js').Alert} Alert
 * @typedef {import('./ringing.js').Loudness & {heard: import('./speaker.js').Heard, newest: Alert, alerts: Alert[]}} Rang
 *
 * @typedef {object} Options
 * @property {Pick<import('./speaker.js').Speaker, 'say'>} speaker
 * @property {() => import('../settings.js').Settings} settings
 * @property {() => readonly Card[]} ringing oldest first
 * @property {(card: Card) => number} waited how long an order has been open, in ms
 * @property {(a: Alert) => {type: number, lang: string, text: string}} sentence
 * @property {(rang: Rang) => void} onRang after the sound has ended
 */

const AGAIN = 1000; // ms between two tries of a speaker that is blocked

export class Ringer {
  /** @param {Options} options */
  constructor(options) {
    this.o = options;
    this.last = Number.NEGATIVE_INFINITY; // when a ring began that was heard
    this.blockedAt = Number.NEGATIVE_INFINITY;
    this.sounding = false;
    this.closed = false;
    /** @type {Set<string>} open alerts that a ring has told of */
    this.told = new Set();
  }

  close() {
    this.closed = true;
  }

  /** Rings if it is time; call it for each arrival and from a clock. */
  look() {
    const now = Date.now();
    if (this.closed || this.sounding || now - this.blockedAt < AGAIN) return;
    const cards = this.o.ringing();
    if (cards.length === 0) return;
    if (due({ waited: this.waited(cards), fresh: this.fresh(cards), last: this.last, now })) this.ring();
  }

  /** @param {readonly Card[]} cards */
  fresh(cards) {
    return cards.some((c) => c.alerts.some((a) => !this.told.has(alertKey(a))));
  }

  /** @param {readonly Card[]} cards */
  waited(cards) {
    return Math.max(...cards.map((c) => this.o.waited(c)));
  }

  /** Forgets alerts that are no longer open. @param {readonly Alert[]} alerts */
  forget(alerts) {
    for (const a of alerts) this.told.delete(alertKey(a));
  }

  async ring() {
    this.sounding = true;
    /** @type {Omit<Rang, 'heard'> | null} */
    let rang = null;
    let began = 0;
    const settings = this.o.settings();
    const heard = await this.o.speaker.say({
      wake: settings.awake,
      check: !isQuiet(settings, new Date()), // what is meant to be soft may well drown
      // Called when the sound begins: until then orders come and are accepted.
      now: () => {
        began = Date.now();
        const cards = this.o.ringing();
        if (cards.length === 0) return null;
        const alerts = cards.flatMap((c) => c.alerts);
        const newest = alerts.reduce((a, b) => (b.seq > a.seq ? b : a));
        const loud = how(this.waited(cards), { now: began, settings: this.o.settings() });
        rang = { ...loud, newest, alerts };
        return { ...this.o.sentence(newest), gain: loud.gain, speak: loud.speak, tune: settings.tunes[newest.type === 1 ? '1' : '2'] };
      },
    });
    this.sounding = false;
    this.note(heard, began, rang);
    this.look(); // what came meanwhile was not told of
  }

  /**
   * A ring that nobody could hear counts for nothing, and is tried again soon.
   * @param {import('./speaker.js').Heard} heard @param {number} began @param {Omit<Rang, 'heard'> | null} rang null: nothing rang any more
   */
  note(heard, began, rang) {
    if (!rang) return;
    if (heard === 'blocked') this.blockedAt = Date.now();
    else {
      this.last = began;
      for (const a of rang.alerts) this.told.add(alertKey(a));
    }
    this.o.onRang({ ...rang, heard });
  }
}
