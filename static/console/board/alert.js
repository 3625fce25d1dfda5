// @ts-check
/**
 * What is open in a shop: a fold over its log. An alert of type 1 or 2
 * rings until a 3 or 4 of the same order follows it.
 *
 * @typedef {{type: number, orderId: number, content: string, shopId: number, seq: number, number: string, source: string, time: string, test?: boolean}} Alert
 */

/** Names the order that an alert is about. @param {Pick<Alert, 'shopId' | 'source' | 'orderId'>} a */
export const orderKey = (a) => `${a.shopId} ${a.source} ${a.orderId}`;

/**
 * Names an alert, also across a restored backup, after which the same seq
 * is given again: the time is the alert's own.
 * @param {Pick<Alert, 'shopId' | 'seq' | 'time'>} a
 */
export const alertKey = (a) => `${a.shopId}:${a.seq}@${a.time}`;

/** Tells whether an alert rings, or closes those before it. @param {Pick<Alert, 'type'>} a */
export const rings = (a) => a.type === 1 || a.type === 2;

/**
 * Writes the age of an alert as a clock would show it.
 * @param {number} ms
 */
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const pad = (/** @type {number} */ n) => String(n).padStart(2, '0');
  if (s < 3600) return `${Math.floor(s / 60)}:${pad(s % 60)}`;
  return `${Math.floor(s / 3600)}:${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
}
