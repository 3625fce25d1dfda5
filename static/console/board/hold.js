// @ts-check
/**
 * When the board's layout may move: not while a hand is at it, nor for a second
 * after; nor for a second after a card went, whose place may just be aimed at.
 * A pure state machine; all times are milliseconds of one clock.
 */

export const HOLD = 1000; // after the last sign of a hand, and after a removal
export const GAPS = 3000; // the longest that gaps stay for removals alone: in a rush there is one each second
export const LOST = 10_000; // a finger whose lifting was never told; a hand that never rests: then the layout moves once in that time

export class Hold {
  constructor() {
    /** @type {Map<string, number>} what is pressed, since when */
    this.pressed = new Map();
    this.hand = Number.NEGATIVE_INFINITY; // the last sign of it
    this.near = Number.NEGATIVE_INFINITY; // since when it has been there without a pause, and without a move of the layout
    this.gone = Number.NEGATIVE_INFINITY; // the last removal
    this.gap = Number.POSITIVE_INFINITY; // the first one since the gaps were closed
  }

  /** Notes that a pointer or a key is pressed. @param {string} what a pointer or a key @param {number} now */
  down(what, now) {
    this.seen(now);
    this.pressed.set(what, now);
  }

  /** Notes that a pointer or a key was lifted or cancelled. @param {string} what @param {number} now */
  up(what, now) {
    this.seen(now);
    this.pressed.delete(what);
  }

  /** Notes a hand near the board, pressing nothing. @param {number} now */
  seen(now) {
    if (now - this.hand > HOLD) this.near = now;
    this.hand = now;
  }

  /** Notes that a card went. @param {number} now */
  removed(now) {
    this.gone = now;
    this.gap = Math.min(this.gap, now);
  }

  /** Notes that the layout moved: under a hand that never rests it does not move again for a while. @param {number} now */
  settled(now) {
    this.gap = Number.POSITIVE_INFINITY;
    this.near = now;
  }

  /** Forgets what is pressed: a page that was left hears of no lifting. */
  left() {
    this.pressed.clear();
  }

  /** Returns the time from which on the layout may move, if nothing else happens. @param {number} now */
  until(now) {
    let until = Math.max(Math.min(this.gone + HOLD, this.gap + GAPS), Math.min(this.hand + HOLD, this.near + LOST));
    for (const since of this.pressed.values()) if (since + LOST > now) until = Math.max(until, since + LOST);
    return until;
  }

  /** Tells whether the layout must stay as it is. @param {number} now */
  held(now) {
    return now < this.until(now);
  }
}
