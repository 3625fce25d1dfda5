// @ts-check
import { formatCursor, parseCursor } from './cursor.js';
import { eventStream } from './eventstream.js';

/**
 * The three ways to a stream. Each rung dials once, hands on what comes and
 * says once when it is over.
 *
 * @typedef {'websocket' | 'sse' | 'poll'} Transport
 * @typedef {Record<string, any>} Message an alert, or an event with its name in `event`
 * @typedef {{message: (m: Message) => void, down: (why: string, refused?: number) => void}} Listener
 * @typedef {{transport: Transport, close: () => void, ask?: () => void}} Connection
 * @typedef {{base: string, query: () => URLSearchParams, headers: () => Promise<Record<string, string>>, ticket: (() => Promise<string>) | null, ownTicket: boolean}} Way
 * @typedef {(way: Way, listener: Listener) => Connection} Rung
 */

/** Close codes and statuses after which coming again with the same right is no use. */
const REFUSED = new Set([401, 403, 4401, 4403]);

/** @type {Rung} */
export function webSocketRung(way, listener) {
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
    const query = way.query();
    if (way.ticket) query.set('ticket', await way.ticket());
    if (over) return;
    const url = `${way.base.replace(/^http/, 'ws')}ws?${query}`;
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
 * @param {Way} way
 * @param {string} path
 * @param {URLSearchParams} query
 * @param {AbortSignal} signal
 */
async function get(way, path, query, signal) {
  const headers = await way.headers();
  if (way.ticket && way.ownTicket) query.set('ticket', await way.ticket());
  return fetch(`${way.base}${path}?${query}`, { headers, signal, cache: 'no-store', credentials: 'include' });
}

/** @type {Rung} */
export function sseRung(way, listener) {
  const abort = new AbortController();
  let over = false;
  /** @param {string} why @param {number} [refused] */
  const down = (why, refused) => {
    if (over) return;
    over = true;
    abort.abort();
    listener.down(why, refused);
  };
  const read = async () => {
    const res = await get(way, 'events', way.query(), abort.signal);
    if (!res.ok || !res.body) return down(`HTTP ${res.status}`, REFUSED.has(res.status) ? res.status : undefined);
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
 * Where an answer's alerts begin, for a poll that had no cursor.
 * @param {{cursor: string, alerts: Message[]}} answer
 */
function startOf(answer) {
  const start = parseCursor(answer.cursor);
  if (!start) return answer.cursor;
  for (const a of answer.alerts.toReversed()) start.seqs.set(a.shopId, a.seq - 1);
  return formatCursor(start);
}

/** @type {Rung} */
export function pollRung(way, listener) {
  const abort = new AbortController();
  let over = false;
  let id = '';
  let after = '';
  /** @param {string} why @param {number} [refused] */
  const down = (why, refused) => {
    if (over) return;
    over = true;
    listener.down(why, refused);
  };
  const read = async () => {
    for (let first = true; !over; first = false) {
      const query = way.query();
      if (after !== '') query.set('after', after);
      if (id !== '') query.set('console', id);
      if (first) query.set('wait', '0');
      else if (query.has('heartbeat')) query.set('wait', query.get('heartbeat') ?? ''); // a proxy that cuts silence cuts this too
      const res = await get(way, 'poll', query, abort.signal);
      if (!res.ok) return down(`HTTP ${res.status}`, REFUSED.has(res.status) ? res.status : undefined);
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
