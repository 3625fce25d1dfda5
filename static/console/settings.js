// @ts-check
/**
 * What one device is set to. Kept on the device alone: a till's volume is not
 * a tablet's.
 *
 * @typedef {'bell' | 'marimba' | 'beep'} Tune
 * @typedef {object} Settings
 * @property {number} volume 0.1 to 1
 * @property {boolean} voice speak at all
 * @property {boolean} number say the order's number too
 * @property {Record<'1' | '2', Tune>} tunes by type of alert
 * @property {boolean} awake keep a Bluetooth speaker from sleeping
 * @property {boolean} microphone check by the microphone whether the chime is heard
 * @property {boolean} quiet quiet hours are in use
 * @property {string} quietFrom HH:MM, of this device's clock
 * @property {string} quietTo HH:MM
 */

/** @type {readonly Tune[]} */
export const TUNES = ['bell', 'marimba', 'beep'];

const CLOCK = /^([01]\d|2[0-3]):[0-5]\d$/;

/** @param {string} agent the browser's name for itself @returns {Settings} */
export function defaults(agent) {
  return {
    volume: 0.8,
    voice: true,
    number: false,
    tunes: { 1: 'bell', 2: 'marimba' },
    awake: /android/i.test(agent), // where a speaker is likely to be on Bluetooth
    microphone: false,
    quiet: false,
    quietFrom: '22:00',
    quietTo: '07:00',
  };
}

/**
 * Returns kept settings over the defaults; what is none is left out.
 * @param {string | null} text @param {string} agent @returns {Settings}
 */
export function read(text, agent) {
  const s = defaults(agent);
  /** @type {any} */
  let kept = null;
  try {
    kept = JSON.parse(text ?? 'null');
  } catch {
    // As good as nothing kept.
  }
  if (typeof kept !== 'object' || kept === null) return s;
  if (typeof kept.volume === 'number') s.volume = Math.min(1, Math.max(0.1, kept.volume));
  for (const key of /** @type {const} */ (['voice', 'number', 'awake', 'microphone', 'quiet']))
    if (typeof kept[key] === 'boolean') s[key] = kept[key];
  for (const key of /** @type {const} */ (['quietFrom', 'quietTo'])) if (CLOCK.test(kept[key])) s[key] = kept[key];
  for (const type of /** @type {const} */ (['1', '2'])) if (TUNES.includes(kept.tunes?.[type])) s.tunes[type] = kept.tunes[type];
  return s;
}

/** Returns the minutes since midnight. @param {string} clock */
const minutes = (clock) => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));

/** @param {Settings} s @param {Date} now */
export function isQuiet(s, now) {
  if (!s.quiet || s.quietFrom === s.quietTo) return false;
  const at = now.getHours() * 60 + now.getMinutes();
  const [from, to] = [minutes(s.quietFrom), minutes(s.quietTo)];
  return from < to ? at >= from && at < to : at >= from || at < to;
}

const KEY = 'doorbell.settings';

/** @returns {Settings} */
export function load() {
  try {
    return read(localStorage.getItem(KEY), navigator.userAgent);
  } catch {
    return defaults(navigator.userAgent);
  }
}

/** @param {Settings} s */
export function save(s) {
  try {
    localStorage.setItem(KEY, JSON.stringify(s));
  } catch {
    // Private mode: they hold as long as the page.
  }
}
