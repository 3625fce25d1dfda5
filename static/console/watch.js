// @ts-check
import { call, Refused } from '../shared/api.js';
import { byID } from '../shared/page.js';

const ASK_EVERY = 2000; // ms: with ANSWER, the banner stands 5 s after the last sign of life
const ANSWER = 2500; // ms
const TICKS = 2; // of the worker's clock to one look: 300 ms

/** @typedef {import('../client/ladder.js').State} State */

/**
 * Watches the server for a page that has no board: one that was opened while
 * the server is away, and one where nobody has signed in. It shows and sounds
 * what a board does, because a kitchen that trusts a page with a calm
 * "connecting" hears of no order.
 */
export class Watch {
  /** @param {{status: import('./linkstatus.js').LinkStatus, onShow: () => void}} options onShow is told when the banner comes or goes */
  constructor({ status, onShow }) {
    this.status = status;
    this.onShow = onShow;
    this.shown = false;
    /** @type {Worker | null} */
    this.clock = null;
    this.asking = false;
    this.askedAt = 0;
    this.answeredAt = 0;
    this.asks = false; // for a page on which nothing else does
  }

  /** Begins with a page that waits for its first answer. @param {number} since when the wait began */
  opening(since) {
    this.status.offlineAt = Math.round(since);
    this.run(false);
    this.look();
  }

  /** Begins with a page that waits for somebody to sign in. */
  signedOut() {
    this.answered(Date.now());
    this.run(true);
  }

  stop() {
    this.clock?.terminate();
    this.clock = null;
  }

  /** @param {boolean} asks */
  run(asks) {
    this.asks = asks;
    if (this.clock) return;
    let ticks = 0;
    this.clock = new Worker(new URL('./ticker.js', import.meta.url));
    this.clock.onmessage = () => ++ticks % TICKS === 0 && this.look();
  }

  /** @param {number} at when the server was there */
  answered(at) {
    this.answeredAt = at;
    this.status.show(state('denied'), false);
    this.tell();
  }

  tell() {
    const shown = !byID('offline').hidden;
    if (shown !== this.shown) this.onShow();
    this.shown = shown;
  }

  look() {
    const now = Date.now();
    if (this.status.offlineAt > 0) this.status.show(state('connecting'), false);
    this.status.alarm(now);
    this.tell();
    if (this.asks && !this.asking && now - this.askedAt >= ASK_EVERY) this.ask(now);
  }

  /** @param {number} now */
  async ask(now) {
    this.asking = true;
    this.askedAt = now;
    let there = true;
    try {
      await call('GET', 'page.json', undefined, { signal: AbortSignal.timeout(ANSWER) });
    } catch (err) {
      there = err instanceof Refused && err.status < 500;
    }
    this.asking = false;
    if (!this.clock || !this.asks) return; // a board has taken over
    if (there) this.answered(now);
    else this.status.offlineAt ||= this.answeredAt;
  }
}

/** @param {State['state']} is @returns {State} */
const state = (is) => ({ state: is, transport: null, why: '', since: 0, console: byID('link').dataset.console ?? '' });
