// @ts-check
import { Refused } from '../../shared/api.js';

/**
 * What the server is to be told of the alerts that this console has shown and
 * sounded. A report that does not get through is kept: else a kitchen that
 * heard its order, while the line was cut, counts as one that did not.
 *
 * @typedef {{a: {shopId: number, seq: number}, stage: string, reason: string}} Report
 */

/** How many wait at most; the oldest go first. It is more than two for each order of a full board. */
export const MOST = 2000;

/** How many are under way at a time: a ring of 500 orders takes no connection from the page, and no server by surprise. */
export const AT_ONCE = 4;

/** How long those wait that did not get through, in ms, while the line stands. */
export const WAIT = 30_000;

/**
 * Tells whether the same report may get through later: the server was not reached or
 * was busy, or knows this console under another id by now.
 * @param {unknown} err
 */
export function mayHelp(err) {
  return !(err instanceof Refused) || err.status === 403 || err.status === 429 || err.status >= 500;
}

export class Reports {
  /** @param {(path: string, body: unknown) => Promise<unknown>} post has a time limit */
  constructor(post) {
    this.post = post;
    /** @type {Report[]} */
    this.waiting = [];
    /** @type {Report[]} what goes out next, as this console; oldest first */
    this.going = [];
    this.console = '';
    this.lanes = 0;
    this.sentAt = 0;
  }

  /** @param {Report} report */
  add(report) {
    this.waiting.push(report);
    if (this.waiting.length > MOST) this.waiting.shift();
  }

  /** Sends what waits, as this console. @param {string} console its id; empty: nothing is sent yet */
  async send(console) {
    if (!console) return;
    this.sentAt = Date.now();
    this.console = console;
    for (const r of this.waiting.splice(0)) this.going.push(r);
    if (this.going.length > MOST) this.going.splice(0, this.going.length - MOST);
    /** @type {Promise<void>[]} */
    const opened = [];
    while (this.lanes < AT_ONCE && this.going.length > 0) {
      this.lanes++;
      opened.push(this.lane());
    }
    await Promise.all(opened);
  }

  /** Sends reports one after the other; one that may get through later waits for the next sending. */
  async lane() {
    for (let r = this.going.shift(); r; r = this.going.shift()) {
      const report = r;
      const { shopId, seq } = r.a;
      await this.post(`api/v1/alerts/${shopId}/${seq}/receipts`, { console: this.console, stage: r.stage, reason: r.reason }).catch(
        (err) => {
          if (mayHelp(err)) this.add(report);
        },
      );
    }
    this.lanes--;
  }

  /** Sends those that did not get through, after a while. @param {string} console @param {number} now */
  again(console, now) {
    if (this.waiting.length > 0 && now - this.sentAt >= WAIT) this.send(console);
  }
}
