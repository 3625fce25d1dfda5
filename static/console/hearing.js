// @ts-check
import { t } from '../shared/i18n.js';
import { byID, fill, show } from '../shared/page.js';

/** @typedef {import('../shared/i18n.js').Key} Key */

/**
 * Says what the microphone found: in the settings always, as a banner where the
 * chime was not heard or not checked.
 * @param {import('./sound/ear.js').Ear} ear
 */
export function showHearing({ state }) {
  const text =
    state === 'off' ? '' : t(/** @type {Key} */ (`ear_${state}`), { t: new Date().toLocaleTimeString([], { timeStyle: 'short' }) });
  fill('#microphone', text);
  byID('microphone').dataset.state = state;
  const bad = state === 'missed';
  byID('ear').className = `banner ${bad ? 'bad' : 'note'}`;
  fill('#ear', text);
  show('#ear', bad || state === 'unavailable');
}
