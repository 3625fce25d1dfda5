// @ts-check
/** The server's time, as this page knows it: a device's own clock may be an hour off. */

const STEP = 2000; // ms; a Date header is whole seconds, and was on its way

let offset = 0; // the server's time less this device's

/** Takes what an answer of the server said the time was. @param {number} at its time in ms, NaN for none @param {number} [now] this device's */
export function heardTime(at, now = Date.now()) {
  if (!Number.isNaN(at) && Math.abs(at - now - offset) > STEP) offset = at - now;
}

/** @param {number} [now] this device's time @returns {number} the server's, in ms */
export const serverNow = (now = Date.now()) => now + offset;

/** Returns how far this device's clock is ahead, in ms. */
export const ahead = () => -offset;
