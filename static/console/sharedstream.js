// @ts-check
import { formatCursor, parseCursor, place } from '../client/cursor.js';
import { connect } from '../client/ladder.js';
import { Role } from './tabs.js';

/**
 * One stream for all tabs of a browser that show a shop: one of them holds the
 * connection, the others get from it what comes. Each tab sees each alert once,
 * in order; where it can't, it reads a new snapshot.
 *
 * @typedef {import('./board/alert.js').Alert} Alert
 * @typedef {import('../client/ladder.js').State} State
 * @typedef {object} Options
 * @property {number} shop
 * @property {string} after the cursor of the snapshot on the screen
 * @property {(alert: Alert) => void} onAlert
 * @property {(state: State) => void} onState
 * @property {() => Promise<string>} onReset reads a new snapshot and returns its cursor
 * @property {(message: any) => void} onTell what another tab told
 */

export class SharedStream {
  /** @param {Options} options */
  constructor(options) {
    this.o = options;
    this.cursor = parseCursor(options.after);
    /** @type {State} */
    this.state = { state: 'connecting', transport: null, why: 'start', since: Date.now(), console: '' };
    /** @type {ReturnType<typeof connect> | null} */
    this.ladder = null;
    this.renewing = false;
    this.closed = false;
    this.channel = new BroadcastChannel(`doorbell ${new URL('../..', import.meta.url).href} ${options.shop}`);
    this.channel.onmessage = (e) => this.hear(e.data);
    this.role = new Role(`link ${options.shop}`, { onGain: () => this.lead(), onLose: () => this.follow() });
    this.channel.postMessage({ ask: true });
  }

  /** Tells whether this tab holds the connection. */
  get leads() {
    return this.ladder !== null;
  }

  close() {
    this.closed = true;
    this.ladder?.close();
    this.ladder = null;
    this.role.stop();
    this.channel.close();
  }

  /** Sends a message to the other tabs of this shop. @param {any} message */
  tell(message) {
    if (!this.closed) this.channel.postMessage({ tell: message });
  }

  lead() {
    if (this.closed) return;
    this.ladder = connect({
      shops: [this.o.shop],
      after: this.cursorText(),
      storageKey: null, // a page that is loaded again reads a new snapshot
      onAlert: (a) => {
        this.channel.postMessage({ alert: a });
        this.take(/** @type {Alert} */ (a));
      },
      onReset: (r) => {
        this.channel.postMessage({ reset: true });
        this.renew(r.cursor);
      },
      onState: (s) => {
        this.channel.postMessage({ state: s });
        this.show(s);
      },
    });
    // Who is behind where this stream starts would never hear of what is between.
    this.channel.postMessage({ starts: this.cursorText() });
  }

  follow() {
    this.ladder?.close();
    this.ladder = null;
  }

  cursorText() {
    return this.cursor ? formatCursor(this.cursor) : '';
  }

  /** @param {State} s */
  show(s) {
    if (this.closed || s.state === 'stopped') return;
    this.state = s;
    this.o.onState(s);
  }

  /** Takes a message of another tab. @param {any} m */
  hear(m) {
    if (this.closed) return;
    if (m.tell) return this.o.onTell(m.tell);
    if (this.leads) {
      if (m.ask) {
        this.channel.postMessage({ state: this.state });
        this.channel.postMessage({ starts: this.cursorText() });
      }
      return;
    }
    if (m.state) this.show(m.state);
    else if (m.alert) this.take(m.alert);
    else if (m.reset) this.renew('');
    else if (m.starts !== undefined) {
      const starts = parseCursor(m.starts);
      const mine = this.cursor?.seqs.get(this.o.shop) ?? 0;
      if (starts && (starts.epoch !== this.cursor?.epoch || (starts.seqs.get(this.o.shop) ?? 0) > mine)) this.renew('');
    }
  }

  /** @param {Alert} alert */
  take(alert) {
    const c = this.cursor;
    if (!c) return;
    const where = place(c, alert, false);
    // The leader's stream is in order by itself. A snapshot that is being read
    // has what is missed here, and what comes meanwhile is added to it.
    if (!this.leads && !this.renewing && where === 'hole') {
      this.renew('');
      return;
    }
    if (where === 'seen') return;
    c.seqs.set(alert.shopId, alert.seq);
    this.o.onAlert(alert);
  }

  /**
   * Reads a new snapshot. A tab that leads goes on from where its stream does.
   * @param {string} from
   */
  async renew(from) {
    if (from) this.cursor = parseCursor(from);
    if (this.renewing) return;
    this.renewing = true;
    const snapshot = parseCursor(await this.o.onReset());
    this.renewing = false;
    if (this.leads || !snapshot) return;
    const came = this.cursor?.epoch === snapshot.epoch ? (this.cursor.seqs.get(this.o.shop) ?? 0) : 0;
    snapshot.seqs.set(this.o.shop, Math.max(came, snapshot.seqs.get(this.o.shop) ?? 0));
    this.cursor = snapshot;
  }
}
