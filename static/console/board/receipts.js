// @ts-check
import { alertKey } from './alert.js';
import { post } from './post.js';
import { Reports } from './reports.js';

/** @typedef {import('./alert.js').Alert} Alert */

/** Tells the server what became of each alert on this console: shown, sounded, silent and why. */
export class Receipts {
  /** @param {() => string} console this console's name, empty before the first hello */
  constructor(console) {
    this.console = console;
    this.reports = new Reports(post);
    /** @type {Set<string>} KEY STAGE of the open alerts */
    this.told = new Set();
    /** @type {Alert[]} on a page that nobody can look at just now */
    this.unseen = [];
    this.onLook = () => this.seen();
    document.addEventListener('visibilitychange', this.onLook);
  }

  close() {
    document.removeEventListener('visibilitychange', this.onLook);
  }

  /** Reports alerts as shown, as soon as somebody can look at the screen. @param {readonly Alert[]} alerts */
  shown(alerts) {
    this.unseen.push(...alerts);
    this.seen();
  }

  seen() {
    if (document.visibilityState !== 'visible') return;
    for (const alert of this.unseen.splice(0)) this.add(alert, 'shown', '');
  }

  /** Reports a stage of an alert once, however often it rings. @param {Alert} alert @param {string} stage @param {string} reason */
  once(alert, stage, reason) {
    const key = `${alertKey(alert)} ${stage}`;
    if (this.told.has(key)) return;
    this.told.add(key);
    this.add(alert, stage, reason);
  }

  /** Forgets alerts that are no longer open. @param {readonly Alert[]} alerts */
  forget(alerts) {
    for (const a of alerts) for (const stage of ['sounded', 'silent']) this.told.delete(`${alertKey(a)} ${stage}`);
  }

  /** @param {Alert} alert @param {string} stage @param {string} reason */
  add(alert, stage, reason) {
    this.reports.add({ a: alert, stage, reason });
    this.send();
  }

  /** Sends what waits: after the first hello, and after each that follows a loss. */
  send() {
    this.reports.send(this.console());
  }

  /** Sends again, after a while, what did not get through. @param {number} now */
  again(now) {
    this.reports.again(this.console(), now);
  }
}
