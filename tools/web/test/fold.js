// What is open, as a fold over a shop's log: the model that the board is held against.
import { alertKey, orderKey, rings } from '../../../static/console/board/alert.js';

/**
 * Returns the open alerts after one more: added once however often it arrives, or the
 * order's earlier ones taken away.
 *
 * @param {readonly import('../../../static/console/board/alert.js').Alert[]} open oldest first
 */
export function receive(open, incoming) {
  if (rings(incoming)) {
    if (open.some((a) => alertKey(a) === alertKey(incoming))) return open;
    return [...open, incoming].sort((a, b) => Date.parse(a.time) - Date.parse(b.time) || a.seq - b.seq);
  }
  const key = orderKey(incoming);
  return open.filter((a) => orderKey(a) !== key || a.seq > incoming.seq);
}
