// @ts-check
import { formatCursor, parseCursor } from './cursor.js';
import { eventStream } from './eventstream.js';

/**
 * The three transports of a stream. Each dials once, hands on what comes and
 * reports its end once.
 *
 * @typedef {'websocket' | 'sse' | 'poll'} Transport
 * @typedef {Record<string, any>} Message an alert, or an event with its name in `event`
 * @typedef {{message: (m: Message) => void, down: (why: string, refused?: number, retryMs?: number) => void}} Listener
 * @typedef {{transport: Transport, close: () => void, ask?: () => void}} Connection
 * @typedef {{base: string, query: () => URLSearchParams, headers: () => Promise<Record<string, string>>, ticket: (() => Promise<string>) | null, ownTicket: boolean}} Target
 * @typedef {(target: Target, listener: Listener) => Connection} Dial
 */

/** Close codes and statuses after which coming again with the same right is no use. */
const REFUSED = new Set([401, 403, 4401, 4403]);

/**
 * Returns when an answer asks to dial again, in ms; 0: it does not. A server says
 * the same to all clients that it refuses, so each waits a random part longer.
 * @param {Response} res
 */
export function retryOf(res) {
  const text = res.headers.get('Retry-After') ?? '';
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return ms > 0 ? ms * (1 + Math.random() / 2) : 0;
}

/** @type {Dial} */
export function dialWebSocket(target, listener) {
  let over = false;
  /** @type {WebSocket | null} */
  let socket = null;
  /** @param {string} why @param {number} [refused] */
  const down = (why, refused) => {
    if (over) return;
    over = true;
    listener.down(why, refused);
  };
  const dial = async () => {
    const query = target.query();
    if (target.ticket) query.set('ticket', await target.ticket());
    if (over) return;
    const url = `${target.base.replace(/^http/, 'ws')}ws?${query}`;
    const s = new WebSocket(url, ['doorbell.v1']);
    socket = s;
    s.onmessage = (e) => {
      if (over) return;
      try {
        listener.message(JSON.parse(e.data));
      } catch (err) {
        down(`not JSON: ${err}`);
        s.close();
      }
    };
    // An error says nothing; the close that follows has the code.
    s.onclose = (e) => down(`closed ${e.code}`, REFUSED.has(e.code) ? e.code : undefined);
  };
  dial().catch((err) => down(String(err), err?.status));
  return {
    transport: 'websocket',
    close() {
      over = true;
      socket?.close();
    },
    ask() {
      if (socket?.readyState === WebSocket.OPEN) socket.send('?');
    },
  };
}

/**
 * @param {Target} target
 * @param {string} path
 * @param {URLSearchParams} query
 * @param {AbortSignal} signal
 */
async function get(target, path, query, signal) {
  const headers = await target.headers();
  if (target.ticket && target.ownTicket) query.set('ticket', await target.ticket());
  return fetch(`${target.base}${path}?${query}`, { headers, signal, cache: 'no-store', credentials: 'include' });
}

/** @type {Dial} */
export function dialSSE(target, listener) {
  const abort = new AbortController();
  let over = false;
  /** @param {string} why @param {number} [refused] @param {number} [retryMs] */
  const down = (why, refused, retryMs) => {
    if (over) return;
    over = true;
    abort.abort();
    listener.down(why, refused, retryMs);
  };
  const read = async () => {
    const res = await get(target, 'events', target.query(), abort.signal);
    if (!res.ok || !res.body) return down(`HTTP ${res.status}`, REFUSED.has(res.status) ? res.status : undefined, retryOf(res));
    if (!(res.headers.get('content-type') ?? '').startsWith('text/event-stream')) return down('not an event stream');
    const feed = eventStream((e) => {
      if (!over) listener.message(JSON.parse(e.data));
    });
    const reader = res.body.pipeThrough(new TextDecoderStream('utf-8', { ignoreBOM: true })).getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return down('ended');
      feed(value);
    }
  };
  read().catch((err) => down(String(err), err?.status));
  return {
    transport: 'sse',
    close() {
      over = true;
      abort.abort();
    },
  };
}

/**
 * Returns the cursor before an answer's alerts, for a poll that had none.
 * @param {{cursor: string, alerts: Message[]}} answer
 */
function startOf(answer) {
  const start = parseCursor(answer.cursor);
  if (!start) return answer.cursor;
  for (const a of [...answer.alerts].reverse()) start.seqs.set(a.shopId, a.seq - 1);
  return formatCursor(start);
}

/** @type {Dial} */
export function dialPoll(target, listener) {
  const abort = new AbortController();
  let over = false;
  let id = '';
  let after = '';
  /** @param {string} why @param {number} [refused] @param {number} [retryMs] */
  const down = (why, refused, retryMs) => {
    if (over) return;
    over = true;
    listener.down(why, refused, retryMs);
  };
  const read = async () => {
    for (let first = true; !over; first = false) {
      const query = target.query();
      if (after !== '') query.set('after', after);
      if (id !== '') query.set('console', id);
      if (first) query.set('wait', '0');
      else if (query.has('heartbeat')) query.set('wait', query.get('heartbeat') ?? ''); // a proxy that cuts silence cuts this too
      const res = await get(target, 'poll', query, abort.signal);
      if (!res.ok) return down(`HTTP ${res.status}`, REFUSED.has(res.status) ? res.status : undefined, retryOf(res));
      const answer = await res.json();
      if (over) return;
      const from = after === '' ? query.get('after') : after;
      id = answer.console;
      after = answer.cursor;
      // Every answer counts as a hello. Its cursor is where the stream starts:
      // before the alerts that follow.
      const start = parseCursor(from) ? from : startOf(answer);
      listener.message({ event: 'hello', console: id, epoch: answer.epoch, cursor: start, heartbeat: 25 });
      for (const m of [...answer.events, ...answer.alerts]) if (!over) listener.message(m);
      if (answer.events.some((/** @type {Message} */ e) => e.event === 'bye')) return down('bye');
    }
  };
  read().catch((err) => down(String(err), err?.status));
  return {
    transport: 'poll',
    close() {
      over = true;
      abort.abort();
    },
  };
}
