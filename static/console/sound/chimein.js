// @ts-check
/**
 * Finds a chime in a recording: each of its notes must stand out from what
 * sounds beside it, begin at its time, and not sound right before.
 *
 * @typedef {import('./chime.js').Note} Note
 */

const RATE = 8000; // Hz that the recording is brought down to: the highest note is 1,319 Hz
const WINDOW = 0.05; // s that one level is measured over; a note fades within 0.1 s
const HOP = 0.01; // s from one level to the next
const ABOVE = 10; // dB of a note over what sounds beside it
const RISE = 6; // dB of a note over itself right before it begins
const BEFORE = 0.05; // s
const LATE = 0.04; // s that a note may be at its loudest after it began
const BESIDE = [0.84, 0.89, 1.12, 1.19]; // of a note's frequency: what is measured for comparison
const SAME = 0.06; // of a frequency: closer than that, two can't be told apart within a window
const NOTHING = 1e-14; // power; below the noise of any microphone

/** Averages samples down to RATE. @param {Float32Array} samples @param {number} rate Hz */
function lower(samples, rate) {
  const step = rate / RATE;
  const out = new Float32Array(Math.floor(samples.length / step));
  for (let i = 0; i < out.length; i++) {
    const from = Math.floor(i * step);
    const to = Math.max(from + 1, Math.floor((i + 1) * step));
    let sum = 0;
    for (let k = from; k < to; k++) sum += samples[k];
    out[i] = sum / (to - from);
  }
  return out;
}

/**
 * Returns the power at a frequency, one value for each HOP (Goertzel's algorithm).
 * @param {Float32Array} samples at RATE @param {number} frequency Hz
 */
function powers(samples, frequency) {
  const size = Math.round(WINDOW * RATE);
  const hop = Math.round(HOP * RATE);
  const out = new Float32Array(Math.max(0, Math.floor((samples.length - size) / hop) + 1));
  const turn = 2 * Math.cos((2 * Math.PI * frequency) / RATE);
  for (let f = 0; f < out.length; f++) {
    let a = 0;
    let b = 0;
    for (let i = 0; i < size; i++) {
      const c = samples[f * hop + i] * HANN[i] + turn * a - b;
      b = a;
      a = c;
    }
    out[f] = (a * a + b * b - turn * a * b) / (size * size) + NOTHING;
  }
  return out;
}

const HANN = Float32Array.from(
  { length: Math.round(WINDOW * RATE) },
  (_, i, size = Math.round(WINDOW * RATE)) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size),
);

const dB = (/** @type {number} */ ratio) => 10 * Math.log10(ratio);

/**
 * Returns how a note's frequency stands in each moment: its power, and how far above what is beside it.
 * @param {Float32Array} samples @param {number} frequency @param {readonly Note[]} notes
 */
function track(samples, frequency, notes) {
  const power = powers(samples, frequency);
  const apart = (/** @type {number} */ f) => notes.every((n) => Math.abs(f / n.frequency - 1) > SAME);
  const beside = BESIDE.map((b) => b * frequency)
    .filter(apart)
    .map((f) => powers(samples, f));
  const above = power.map((p, i) => dB(p / (beside.reduce((sum, b) => sum + b[i], 0) / beside.length)));
  return { power, above };
}

/**
 * Tells whether a recording holds the chime. The recording begins with the chime or
 * before it, and is as long as the chime and the way through loudspeaker and microphone.
 * @param {Float32Array} samples @param {number} rate Hz @param {readonly Note[]} notes
 */
export function chimeIn(samples, rate, notes) {
  const low = lower(samples, rate);
  const tracks = new Map([...new Set(notes.map((n) => n.frequency))].map((f) => [f, track(low, f, notes)]));
  const frames = Math.floor((low.length / RATE - WINDOW) / HOP);
  const middle = WINDOW / 2;
  /** Tells whether a note begins at a time. @param {Note} note @param {number} at s */
  const begins = (note, at) => {
    const { power, above } = /** @type {{power: Float32Array, above: Float32Array}} */ (tracks.get(note.frequency));
    const before = power[Math.max(0, Math.round((at - BEFORE - middle) / HOP))];
    const to = Math.min(frames, Math.round((at + LATE - middle) / HOP));
    for (let i = Math.max(0, Math.round((at - middle) / HOP)); i <= to; i++) {
      if (above[i] >= ABOVE && dB(power[i] / before) >= RISE) return true;
    }
    return false;
  };
  const last = notes[notes.length - 1];
  for (let at = BEFORE; at + last.at + LATE < low.length / RATE; at += HOP) {
    if (notes.every((n) => begins(n, at + n.at))) return true;
  }
  return false;
}
