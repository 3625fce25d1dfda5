// @ts-check
import { call } from '../../shared/api.js';

/** @typedef {import('./alert.js').Alert} Alert */

/** Reads every open alert of a shop, and the cursor that they are of. @param {number} shop */
export async function readOpen(shop) {
  /** @type {Alert[]} */
  const found = [];
  let cursor = '';
  for (let before = ''; before !== null; ) {
    const page = await call('GET', `api/v1/alerts?shop=${shop}&state=open&limit=500${before && `&before=${before}`}`);
    found.push(...page.alerts);
    cursor ||= page.cursor; // the first page's: later ones reach no further back than it
    before = page.next;
  }
  return { found, cursor };
}
