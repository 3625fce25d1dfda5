// @ts-check
import { isQuiet } from '../settings.js';

/**
 * When to ring, and how: until accepted, louder and shorter apart the longer
 * the oldest order waits, whatever arrives meanwhile.
 *
 * @typedef {{gain: number, speak: boolean, quiet: boolean}} Loudness
 */

/** How it rises, by the age of the oldest order that rings; all in milliseconds. */
export const LEVELS = [
  { from: 0, every: 12_000, gain: 0.6 },
  { from: 30_000, every: 9000, gain: 0.8 },
  { from: 90_000, every: 6000, gain: 1 },
];

/** Quiet hours are over for an order that nobody accepted for so long. */
export const QUIET_ENDS = 60_000;
const QUIET_GAIN = 0.12;

/** @param {number} waited */
export const level = (waited) => LEVELS.filter((l) => waited >= l.from).at(-1) ?? LEVELS[0];

/**
 * Whether to ring now.
 * @param {{waited: number, fresh: boolean, last: number, now: number}} s
 *   waited: of the oldest order that rings; fresh: something rings that no ring has told of; last: when a ring began that was heard
 */
export function due({ waited, fresh, last, now }) {
  return fresh || now - last >= level(waited).every;
}

/**
 * How a ring sounds when the oldest order has waited so long.
 * @param {number} waited @param {{now: number, settings: import('../settings.js').Settings}} s @returns {Loudness}
 */
export function how(waited, { now, settings }) {
  const quiet = waited < QUIET_ENDS && isQuiet(settings, new Date(now));
  return { gain: settings.volume * (quiet ? QUIET_GAIN : level(waited).gain), speak: settings.voice && !quiet, quiet };
}
