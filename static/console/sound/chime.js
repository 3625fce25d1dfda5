// @ts-check
/**
 * The chimes: what they are made of, and how they are played.
 *
 * @typedef {import('../settings.js').Tune} Tune
 * @typedef {{at: number, frequency: number, length: number}} Note at: s from the chime's beginning; frequency in Hz; length in s
 */

/** Notes as frequency and length; each tune is told from the others with the back turned. @type {Record<Tune, {wave: OscillatorType, notes: [number, number][]}>} */
const TUNES = {
  bell: {
    wave: 'sine',
    notes: [
      [880, 0.18],
      [659.25, 0.18],
      [880, 0.4],
    ],
  },
  marimba: {
    wave: 'triangle',
    notes: [
      [523.25, 0.14],
      [783.99, 0.14],
      [1046.5, 0.14],
      [1318.5, 0.35],
    ],
  },
  beep: {
    wave: 'square',
    notes: [
      [1000, 0.12],
      [1000, 0.12],
      [1000, 0.3],
    ],
  },
};

const NEXT = 0.85; // of a note's length: when the next one begins

/** Returns a chime's notes. @param {Tune} tune @returns {Note[]} */
export function notesOf(tune) {
  let at = 0;
  return TUNES[tune].notes.map(([frequency, length]) => {
    const note = { at, frequency, length };
    at += length * NEXT;
    return note;
  });
}

/**
 * Plays a chime. Resolves when its last note has ended.
 * @param {BaseAudioContext} c @param {Tune} tune @param {number} gain 0 to 1 @param {number} begin s, by the context's clock
 * @returns {Promise<void>}
 */
export function playChime(c, tune, gain, begin) {
  const { wave } = TUNES[tune];
  /** @type {Promise<void>} */
  let ended = Promise.resolve();
  for (const { at, frequency, length } of notesOf(tune)) {
    const tone = c.createOscillator();
    const volume = c.createGain();
    const from = begin + at;
    tone.type = wave;
    tone.frequency.value = frequency;
    volume.gain.setValueAtTime(0, from);
    volume.gain.linearRampToValueAtTime(wave === 'square' ? gain / 2 : gain, from + 0.01);
    volume.gain.exponentialRampToValueAtTime(0.001, from + length);
    tone.connect(volume).connect(c.destination);
    ended = new Promise((done) => {
      tone.onended = () => done();
    });
    tone.start(from);
    tone.stop(from + length);
  }
  return ended;
}
