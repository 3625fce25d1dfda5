// @ts-check
import { formatCursor, parseCursor, place } from './cursor.js';
import { storage } from './storage.js';
import { ticketByToken } from './tickets.js';
import { dialPoll, dialSSE, dialWebSocket } from './transports.js';

/**
 * One resumable stream of alerts over whichever transport gets through:
 * WebSocket, else SSE, else long poll. Each alert is handed on once, in order,
 * through any number of switches and restarts.
 *
 * @typedef {import('./transports.js').Transport} Transport
 * @typedef {import('./transports.js').Message} Message
 * @typedef {import('./transports.js').Connection} Connection
 * @typedef {{state: 'connecting' | 'open' | 'offline' | 'denied' | 'stopped', transport: Transport | null, why: string, since: number, console: string, version?: string}} State
 * @typedef {object} Options
 * @property {string} [url] the server; by default where this module came from
 * @property {() => Promise<string> | string} [getToken] a console token, for pages on another origin
 * @property {() => Promise<string> | string} [getTicket] a new ticket for each dial, instead of a token
 * @property {(alert: Message) => void} onAlert
 * @property {(state: State) => void} [onState]
 * @property {(event: Message) => void} [onEvent] announce, received …
 * @property {(reset: Message) => void} [onReset] read a new snapshot; alerts go on from reset.cursor
 * @property {string} [after] where to start without a stored cursor: a cursor, '0', or now
 * @property {number[]} [shops]
 * @property {number[]} [types]
 * @property {string} [sid]
 * @property {string | null} [storageKey] where the cursor is kept; null: nowhere
 * @property {Transport[]} [transports] those to use, best first
 */

/** All in milliseconds. The first four were measured through real proxies. */
export const TIMES = {
  headStart: 1500, // a transport is dialled alone before the next one joins
  giveUp: 8000, // nothing said hello: tear down, back off
  silence: 2500, // before a cut that is laid to it; shorter than any proxy's patience seen
  slack: 4000, // beyond a heartbeat before the link counts as dead
  answer: 3000, // to a probe
  backoffFirst: 500,
  backoffSoon: 5000, // the cap in the first minute
  backoffLate: 30_000,
  upgradeFirst: 60_000, // on another transport: when to try WebSocket again
  upgradeSoon: 5000, // the same where WebSocket was the last to get through: the server was away, not the way
  upgradeLast: 3_600_000,
  shortLife: 30_000, // a WebSocket that dies younger counts against it
};

const DIALS = { websocket: dialWebSocket, sse: dialSSE, poll: dialPoll };

export class Ladder {
  /** @param {Options} options */
  constructor(options) {
    this.o = options;
    this.base = new URL(options.url ?? '../..', options.url ? globalThis.location?.href : import.meta.url).href.replace(/\/?$/, '/');
    this.transports = options.transports ?? /** @type {Transport[]} */ (['websocket', 'sse', 'poll']);
    this.storage = storage();
    this.key = options.storageKey === null ? null : (options.storageKey ?? `doorbell.cursor ${this.base} ${options.shops ?? ''}`);
    this.cursor = parseCursor((this.key && this.storage.getItem(this.key)) || options.after);
    /** @type {Connection | null} */
    this.conn = null;
    /** @type {Set<Connection>} */
    this.racing = new Set();
    /** @type {Set<ReturnType<typeof setTimeout>>} */
    this.timers = new Set();
    this.generation = 0;
    this.attempt = 0;
    this.offlineSince = Date.now();
    this.openedAt = 0;
    this.heard = 0;
    this.heartbeat = 15_000;
    this.idleCuts = 0;
    this.shortLives = 0;
    this.upgradeWait = TIMES.upgradeFirst;
    this.stopped = false;
    /** @type {State} */
    this.state = { state: 'connecting', transport: null, why: 'start', since: Date.now(), console: '' };
    this.onProbe = () => this.probe();
    this.onVisible = () => document.visibilityState === 'visible' && this.probe();
    this.listen(true);
    this.dial('start');
  }

  /** Begins, or ends, listening for what may have cut the link. @param {boolean} on */
  listen(on) {
    if (typeof document === 'undefined') return;
    const how = on ? 'addEventListener' : 'removeEventListener';
    window[how]('online', this.onProbe);
    window[how]('pageshow', this.onProbe);
    document[how]('resume', this.onProbe);
    document[how]('visibilitychange', this.onVisible);
  }

  /** Ends the stream for good. */
  close() {
    this.stopped = true;
    this.listen(false);
    this.tearDown();
    this.tell('stopped', '');
  }

  /** Calls f after a time, unless the link is torn down before. @param {() => void} f @param {number} ms */
  after(f, ms) {
    const t = setTimeout(() => {
      this.timers.delete(t);
      f();
    }, ms);
    this.timers.add(t);
    return t;
  }

  /** Closes every connection and timer of this generation. */
  tearDown() {
    this.generation++;
    for (const t of this.timers) clearTimeout(t);
    this.timers.clear();
    for (const c of this.racing) c.close();
    this.racing.clear();
    this.conn?.close();
    this.conn = null;
  }

  /** Reports a new state to the page. @param {State['state']} state @param {string} why */
  tell(state, why) {
    const transport = this.conn?.transport ?? null;
    const since = state === this.state.state && transport === this.state.transport ? this.state.since : Date.now();
    this.state = { ...this.state, state, transport, why, since };
    this.o.onState?.(this.state);
  }

  /** @returns {import('./transports.js').Target} */
  target() {
    const { getToken, getTicket } = this.o;
    return {
      base: this.base,
      query: () => this.query(),
      headers: async () => (getToken ? { Authorization: `Bearer ${await getToken()}` } : /** @type {Record<string, string>} */ ({})),
      ticket: getTicket ? async () => getTicket() : getToken ? ticketByToken(this.base, getToken) : null,
      ownTicket: Boolean(getTicket) && !getToken,
    };
  }

  /** Returns the query that every transport dials with. */
  query() {
    const q = new URLSearchParams();
    if (this.o.shops) q.set('shops', this.o.shops.join(','));
    if (this.o.types) q.set('types', this.o.types.join(','));
    if (this.o.sid) q.set('sid', this.o.sid);
    if (this.cursor) q.set('after', formatCursor(this.cursor));
    else if (this.o.after === '0') q.set('after', '0');
    if (this.idleCuts >= 2) q.set('heartbeat', '3');
    return q;
  }

  /** Returns the transports in the order to try: the one that won last time first, for a while. */
  order() {
    const won = this.memory();
    // One that keeps dying young has won each time, and is not to be remembered for it.
    if (this.shortLives >= 3) return [...this.transports.slice(1), this.transports[0]];
    const { transports } = this;
    if (!won || !transports.includes(won.transport) || Date.now() > won.until) return transports;
    return [won.transport, ...transports.filter((t) => t !== won.transport)];
  }

  /** @returns {{transport: Transport, until: number} | null} */
  memory() {
    try {
      return JSON.parse(this.storage.getItem(`doorbell.rung ${this.base}`) ?? 'null');
    } catch {
      return null;
    }
  }

  /** Races the transports: each joins when those before it got no hello in time. @param {string} why */
  dial(why) {
    this.tearDown();
    if (this.stopped) return;
    this.tell('connecting', why);
    const generation = this.generation;
    const order = this.order();
    let next = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let stagger;
    const launch = () => {
      clearTimeout(stagger);
      if (generation !== this.generation || this.conn || next >= order.length) return;
      this.dialOne(order[next++], generation, () => {
        if (next < order.length) launch();
        else if (this.racing.size === 0) this.backOff('nothing gets through');
      });
      if (!this.conn && next < order.length) stagger = this.after(launch, TIMES.headStart);
    };
    this.after(() => !this.conn && this.backOff('no hello'), TIMES.giveUp);
    launch();
  }

  /**
   * Dials one transport. Its first hello is the proof that the path works: an open
   * socket is none.
   * @param {Transport} transport @param {number} generation @param {() => void} failed
   */
  dialOne(transport, generation, failed) {
    /** @type {Connection} */
    let me;
    let bye = 0;
    const listener = {
      /** @param {Message} m */
      message: (m) => {
        if (generation !== this.generation) return;
        if (this.conn !== me) {
          if (m.event === 'bye') bye = m.retryMs; // refused, for now
          if (m.event !== 'hello' || !this.racing.has(me)) return;
          this.win(me, generation);
        }
        this.heard = Date.now();
        this.take(m);
      },
      /** @param {string} why @param {number} [refused] @param {number} [retryMs] */
      down: (why, refused, retryMs) => {
        this.racing.delete(me);
        if (generation !== this.generation) return;
        if (!this.conn || this.conn === me) this.wait(retryMs || bye);
        if (refused) this.denied(`${transport}: ${why}`);
        else if (this.conn === me) this.lost(`${transport}: ${why}`);
        else if (!this.conn) failed();
      },
    };
    me = DIALS[transport](this.target(), listener);
    this.racing.add(me);
  }

  /** Keeps the first connection that got a hello, and closes the others. @param {Connection} winner @param {number} generation */
  win(winner, generation) {
    this.racing.delete(winner);
    for (const c of this.racing) c.close();
    this.racing.clear();
    this.conn?.close(); // make before break: the new one has said hello
    for (const t of this.timers) clearTimeout(t);
    this.timers.clear();
    this.conn = winner;
    this.attempt = 0;
    this.retryWait = undefined; // said to a transport that lost
    this.openedAt = Date.now();
    this.heard = Date.now();
    if (this.shortLives === 0 && this.memory()?.transport === this.transports[0]) this.upgradeWait = TIMES.upgradeSoon;
    this.storage.setItem(
      `doorbell.rung ${this.base}`,
      JSON.stringify({ transport: winner.transport, until: Date.now() + this.upgradeWait }),
    );
    this.watch(generation);
    if (winner.transport !== this.transports[0]) this.planUpgrade(generation);
    else if (this.shortLives === 0) this.upgradeWait = TIMES.upgradeFirst;
  }

  /** Tries the best transport again in the background, while another one is in use. @param {number} generation */
  planUpgrade(generation) {
    this.after(() => {
      if (generation !== this.generation) return;
      this.upgradeWait = Math.min(this.upgradeWait * 4, TIMES.upgradeLast);
      this.dialOne(this.transports[0], generation, () => {});
      this.after(() => {
        for (const c of this.racing) c.close();
        this.racing.clear();
      }, TIMES.giveUp);
      this.planUpgrade(generation);
    }, this.upgradeWait);
  }

  /** Ends a link that is silent for a heartbeat and some seconds. @param {number} generation */
  watch(generation) {
    const limit = this.heartbeat + TIMES.slack;
    this.after(() => {
      if (generation !== this.generation) return;
      if (Date.now() - this.heard > limit) this.lost('silent');
      else this.watch(generation);
    }, 1000);
  }

  /** Takes one message of the connection in use. @param {Message} m */
  take(m) {
    if (!m.event) return this.alert(m);
    switch (m.event) {
      case 'hello': {
        this.state.console = m.console;
        this.state.version = m.version;
        this.heartbeat = m.heartbeat * 1000;
        if (!this.cursor || this.cursor.seqs.size === 0) this.cursor = parseCursor(m.cursor);
        this.tell('open', '');
        break;
      }
      case 'reset': {
        const fresh = parseCursor(m.cursor);
        if (fresh && this.cursor) {
          this.cursor.epoch = fresh.epoch;
          for (const shop of m.shops) this.cursor.seqs.set(shop, fresh.seqs.get(shop) ?? 0);
        } else this.cursor = fresh;
        this.keep();
        this.o.onReset?.(m);
        break;
      }
      case 'bye':
        this.wait(m.retryMs);
        break;
      default:
        this.o.onEvent?.(m);
    }
  }

  /** Hands an alert on once, in order; a hole in the stream dials anew. @param {Message} alert */
  alert(alert) {
    const c = this.cursor;
    if (!c) return;
    const where = place(c, /** @type {any} */ (alert), Boolean(this.o.types));
    if (where === 'seen') return;
    if (where === 'hole') return this.dial('a hole in the stream');
    c.seqs.set(alert.shopId, alert.seq);
    this.o.onAlert(alert);
    this.keep();
  }

  /** Stores the cursor. */
  keep() {
    if (this.key && this.cursor) this.storage.setItem(this.key, formatCursor(this.cursor));
  }

  /** Counts what the end of the connection tells of the path, and backs off. @param {string} why */
  lost(why) {
    const young = Date.now() - this.openedAt < TIMES.shortLife;
    if (this.conn?.transport === 'websocket') {
      this.shortLives = young && !this.retryWait ? this.shortLives + 1 : 0;
    }
    // Cut in the middle of silence, whatever the transport: a proxy bears no more of it.
    if (!this.retryWait && Date.now() - this.heard > TIMES.silence) this.idleCuts++;
    this.offlineSince = Date.now();
    this.backOff(why);
  }

  /** Dials again after a wait with full jitter, on every failure path. @param {string} why */
  backOff(why) {
    this.tearDown();
    if (this.stopped) return;
    const cap = Date.now() - this.offlineSince < 60_000 ? TIMES.backoffSoon : TIMES.backoffLate;
    const ceiling = Math.min(cap, TIMES.backoffFirst * 2 ** Math.min(this.attempt++, 10));
    const wait = this.retryWait ?? Math.random() * ceiling;
    this.retryWait = undefined;
    this.tell('offline', why);
    this.after(() => this.dial('again'), wait);
  }

  /** @type {number | undefined} */
  retryWait = undefined;

  /**
   * Heeds when the server, or a proxy, asks to dial again. The other transports
   * are tried all the same, because a proxy may limit one of them alone; and no
   * answer keeps a kitchen deaf for longer than a server that is away.
   * @param {number} ms
   */
  wait(ms) {
    if (ms > 0) this.retryWait = Math.max(this.retryWait ?? 0, Math.min(ms, TIMES.backoffLate));
  }

  /** Ends the stream of a refused client; one with its own tokens or tickets tries again with the next. @param {string} why */
  denied(why) {
    this.tearDown();
    this.tell('denied', why);
    if ((this.o.getToken || this.o.getTicket) && !this.stopped) this.after(() => this.dial('again'), TIMES.backoffSoon);
  }

  /** Asks the server for an answer, or dials at once, after something that may have cut the link. */
  probe() {
    if (this.stopped || this.state.state === 'denied') return;
    if (!this.conn) {
      if (this.racing.size === 0) {
        this.attempt = 0;
        this.dial('probe');
      }
      return;
    }
    const generation = this.generation;
    const asked = Date.now();
    if (this.conn.ask) {
      this.conn.ask();
      this.after(() => generation === this.generation && this.heard < asked && this.lost('no answer'), TIMES.answer);
    } else if (asked - this.heard > this.heartbeat + TIMES.slack) this.lost('silent');
  }
}

/** Opens a stream that resumes by itself. @param {Options} options */
export function connect(options) {
  return new Ladder(options);
}
