// @ts-check
import { isQuiet } from './settings.js';

/**
 * When to ring, and how: until accepted, louder and shorter apart the longer
 * an alert waits.
 *
 * @typedef {import('./picture.js').Alert} Alert
 * @typedef {{alert: Alert, gain: number, speak: boolean, quiet: boolean}} Ring
 */

/** How it rises, by the age of the oldest open alert; all in milliseconds. */
export const LEVELS = [
  { from: 0, every: 12_000, gain: 0.6 },
  { from: 30_000, every: 9000, gain: 0.8 },
  { from: 90_000, every: 6000, gain: 1 },
];

/** Quiet hours are over for an alert that nobody accepted for so long. */
export const QUIET_ENDS = 60_000;
const QUIET_GAIN = 0.12;

/** @param {number} waited */
export const level = (waited) => LEVELS.findLast((l) => waited >= l.from) ?? LEVELS[0];

/**
 * The ring that is due now, or null.
 * @param {{open: readonly Alert[], pending: ReadonlySet<string>, key: (a: Alert) => string, arrived: ReadonlyMap<string, number>, last: number, now: number, settings: import('./settings.js').Settings}} s
 *   open: oldest first; pending: the keys of those that somebody here is just accepting; arrived: when this device first saw each
 * @returns {Ring | null}
 */
export function due(s) {
  const waiting = s.open.filter((a) => !s.pending.has(s.key(a)));
  if (waiting.length === 0) return null;
  const waited = Math.max(...waiting.map((a) => s.now - (s.arrived.get(s.key(a)) ?? s.now)));
  const { every, gain } = level(waited);
  if (s.now - s.last < every) return null;
  return how(waiting[waiting.length - 1], waited, gain, s);
}

/**
 * How an alert sounds that has waited so long.
 * @param {Alert} alert @param {number} waited @param {number} gain
 * @param {{now: number, settings: import('./settings.js').Settings}} s @returns {Ring}
 */
export function how(alert, waited, gain, s) {
  const quiet = isQuiet(s.settings, new Date(s.now)) && waited < QUIET_ENDS;
  return { alert, gain: s.settings.volume * (quiet ? QUIET_GAIN : gain), speak: s.settings.voice && !quiet, quiet };
}
