// @ts-check
import { call, Refused } from '../shared/api.js';
import { t } from '../shared/i18n.js';
import { byID, fill, show } from '../shared/page.js';

/**
 * Who is signed in, or would be by a ticket, as the server says. device: it was
 * paired and stays signed in.
 *
 * @typedef {{sub: string, role: string, all: boolean, shops: {id: number, name: string}[], device?: boolean}} Who
 * @typedef {(ask: () => Promise<any>) => Promise<any>} Patiently
 */

/** Writes the shops' names, as a person reads them. @param {Who} who */
export function shopNames(who) {
  if (who.all) return t('allShops');
  const shown = who.shops.slice(0, 5).map((s) => s.name || t('shop', { id: s.id }));
  return shown.join(t('comma')) + (who.shops.length > shown.length ? ` … (${who.shops.length})` : '');
}

/**
 * Tells whether a link gives what the browser has already: nobody needs to be asked.
 * A paired device is always asked, for a link's sign-in ends sooner.
 * @param {Who} now @param {Who} then
 */
export function replacesNothing(now, then) {
  /** @param {Who} w */
  const rights = (w) => JSON.stringify([w.role, w.all, w.shops.map((s) => s.id).sort((a, b) => a - b)]);
  return !now.device && rights(now) === rights(then);
}

/** Returns what a ticket would open, without spending it. @param {string} ticket @returns {Promise<Who>} */
export const previewTicket = (ticket) => call('POST', 'api/v1/tickets/preview', { ticket });

/** Returns who is signed in in this browser, null for nobody. @param {Patiently} patiently @returns {Promise<Who | null>} */
export async function signedIn(patiently) {
  try {
    return await patiently(() => call('GET', 'api/v1/me'));
  } catch (err) {
    if (err instanceof Refused && err.status === 401) return null;
    throw err;
  }
}

/** Asks on the page whether to switch to another sign-in. @param {Who} now @param {Who} then @returns {Promise<boolean>} whether to switch */
function asks(now, then) {
  fill('#switch h2', t('switchTitle'));
  fill('#switch .big', t('switchNow', { shop: shopNames(now) }));
  fill('#switch .then', t('switchThen', { shop: shopNames(then) }));
  fill('#switch .hint', t('switchHint'));
  fill('#switch-no', t('switchNo', { shop: shopNames(now) }));
  fill('#switch-yes', t('switchYes', { shop: shopNames(then) }));
  show('#switch', true);
  return new Promise((answer) => {
    /** @param {boolean} yes */
    const pressed = (yes) => () => {
      show('#switch', false);
      answer(yes);
    };
    byID('switch-no').onclick = pressed(false);
    byID('switch-yes').onclick = pressed(true);
  });
}

/**
 * Signs in by the ticket of a link. Where that would replace another sign-in it
 * asks first: a link that somebody sent must not move a kitchen's screen to
 * another shop. A used link on a browser that is signed in is no trouble.
 * @param {string | null} ticket @param {Patiently} patiently @returns {Promise<Who>}
 */
export async function signInByLink(ticket, patiently) {
  if (!ticket) return patiently(() => call('GET', 'api/v1/me'));
  const now = await signedIn(patiently);
  if (now) {
    try {
      const then = await patiently(() => previewTicket(ticket));
      if (!replacesNothing(now, then) && !(await asks(now, then))) return now;
    } catch (err) {
      if (err instanceof Refused && err.status === 401) return now;
      throw err;
    }
  }
  return patiently(() => call('POST', 'login', { ticket }));
}

/** Returns why a session ended, in the server's words; empty where it merely expired. @param {unknown} err */
export function endedBecause(err) {
  const told = err instanceof Refused && ['session_removed', 'session_outdated'].includes(err.code);
  return told ? /** @type {Refused} */ (err).message : '';
}
