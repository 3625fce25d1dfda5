// @ts-check
/**
 * How far a console has got in each shop: EPOCH.SHOP:SEQ,SHOP:SEQ.
 *
 * @typedef {{epoch: string, seqs: Map<number, number>}} Cursor
 */

/**
 * Reads a cursor.
 * @param {string | null | undefined} text
 * @returns {Cursor | null} null for what is no cursor
 */
export function parseCursor(text) {
  const match = /^([0-9a-z]+)\.((?:\d+:\d+(?:,\d+:\d+)*)?)$/.exec(text ?? '');
  if (!match) return null;
  /** @type {Map<number, number>} */
  const seqs = new Map();
  for (const entry of match[2] === '' ? [] : match[2].split(',')) {
    const [shop, seq] = entry.split(':').map(Number);
    seqs.set(shop, seq);
  }
  return { epoch: match[1], seqs };
}

/**
 * Writes a cursor, its shops in order.
 * @param {Cursor} cursor
 * @returns {string}
 */
export function formatCursor(cursor) {
  const entries = [...cursor.seqs].sort((a, b) => a[0] - b[0]);
  return `${cursor.epoch}.${entries.map(([shop, seq]) => `${shop}:${seq}`).join(',')}`;
}

/**
 * Tells whether an alert is 'next' after a cursor, was 'seen' before, or comes
 * after a 'hole'. A stream that is filtered by type has holes by nature.
 *
 * @param {Cursor} cursor
 * @param {{shopId: number, seq: number}} alert
 * @param {boolean} filtered
 * @returns {'next' | 'seen' | 'hole'}
 */
export function place(cursor, alert, filtered) {
  const at = cursor.seqs.get(alert.shopId);
  if (at === undefined || alert.seq === at + 1) return 'next';
  if (alert.seq <= at) return 'seen';
  return filtered ? 'next' : 'hole';
}
