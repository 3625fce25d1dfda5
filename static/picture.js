// @ts-check
/**
 * What a console shows: a fold over a shop's log. An alert of type 1 or 2
 * rings until a 3 or 4 of the same order follows it.
 *
 * @typedef {{type: number, orderId: number, content: string, shopId: number, seq: number, number: string, source: string, time: string, test?: boolean}} Alert
 * @typedef {readonly Alert[]} Open oldest first
 */

/** @param {Pick<Alert, 'shopId' | 'source' | 'orderId'>} a */
export const orderKey = (a) => `${a.shopId} ${a.source} ${a.orderId}`;

/**
 * Tells alerts apart, also across a restored backup, after which the same seq
 * is given again: the time is the alert's own.
 * @param {Pick<Alert, 'shopId' | 'seq' | 'time'>} a
 */
export const alertKey = (a) => `${a.shopId}:${a.seq}@${a.time}`;

/** @param {Pick<Alert, 'type'>} a */
export const rings = (a) => a.type === 1 || a.type === 2;

/**
 * The open alerts after one more: added once however often it arrives, or the
 * order's earlier ones taken away.
 *
 * @param {Open} open @param {Alert} incoming @returns {Open}
 */
export function receive(open, incoming) {
  if (rings(incoming)) {
    if (open.some((a) => alertKey(a) === alertKey(incoming))) return open;
    return [...open, incoming].sort((a, b) => Date.parse(a.time) - Date.parse(b.time) || a.seq - b.seq);
  }
  const key = orderKey(incoming);
  return open.filter((a) => orderKey(a) !== key || a.seq > incoming.seq);
}

/**
 * The age of an alert as a clock would show it.
 * @param {number} ms
 */
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const pad = (/** @type {number} */ n) => String(n).padStart(2, '0');
  if (s < 3600) return `${Math.floor(s / 60)}:${pad(s % 60)}`;
  return `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
}
