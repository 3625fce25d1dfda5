// @ts-check
import { notesOf } from './chime.js';
import { chimeIn } from './chimein.js';

/**
 * Listens by the microphone whether this device's own chime comes out of it: a page
 * can't see a volume at zero or a loudspeaker that is off. Somebody switches it on;
 * what is recorded stays in this page's memory for as long as a chime.
 *
 * @typedef {'heard' | 'missed' | 'unavailable'} Found unavailable: there was no microphone to listen with
 * @typedef {'off' | 'untried' | Found} Hearing
 */

const OPENS = 400; // ms that a ring waits for the microphone; a later one is checked at the next ring
const ASKS = 60_000; // ms for somebody to answer the browser's question
const WAY = 900; // ms from the chime to its recording; Bluetooth takes up to 300
const ANSWERS = 1000; // ms for the audio thread to hand over a recording
const STAYS = 20_000; // ms that the microphone stays open after a chime: longer than from one ring to the next
const DEAF = 2; // chimes in a row that were not heard: one can drown in noise

/** What browsers do to a voice would remove or distort the page's own sound. */
const AS_IT_IS = { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } };

/** @param {number} ms @returns {Promise<null>} */
const nothingAfter = (ms) => new Promise((done) => setTimeout(() => done(null), ms));

/** An open microphone. */
class Microphone {
  /** @param {AudioContext} context @param {MediaStream} stream */
  constructor(context, stream) {
    this.stream = stream;
    this.rate = context.sampleRate;
    this.source = context.createMediaStreamSource(stream);
    this.recorder = new AudioWorkletNode(context, 'recorder', { channelCount: 1, channelCountMode: 'explicit' });
    // A node that leads nowhere may not run; this one passes on silence.
    this.source.connect(this.recorder).connect(context.destination);
  }

  get live() {
    return this.stream.getAudioTracks().some((track) => track.readyState === 'live');
  }

  record() {
    this.recorder.port.postMessage('record');
  }

  /** Returns what was recorded; nobody keeps it. @returns {Promise<Float32Array>} */
  async stop() {
    /** @type {Promise<Float32Array[]>} */
    const answer = new Promise((done) => {
      this.recorder.port.onmessage = ({ data }) => done(data);
    });
    this.recorder.port.postMessage('stop');
    const blocks = (await Promise.race([answer, nothingAfter(ANSWERS)])) ?? [];
    const all = new Float32Array(blocks.reduce((n, b) => n + b.length, 0));
    let at = 0;
    for (const b of blocks) {
      all.set(b, at);
      at += b.length;
    }
    return all;
  }

  close() {
    this.source.disconnect();
    this.recorder.disconnect();
    for (const track of this.stream.getTracks()) track.stop();
  }
}

/** Dispatches 'change' when the state has changed. */
export class Ear extends EventTarget {
  constructor() {
    super();
    /** @type {Hearing} */
    this.state = 'off';
    this.misses = 0; // in a row
    /** @type {Microphone | null} */
    this.microphone = null;
    /** @type {Promise<Microphone | null> | null} */
    this.opening = null;
    this.closes = 0;
    /** @type {WeakSet<AudioContext>} contexts that know the recorder */
    this.taught = new WeakSet();
  }

  get on() {
    return this.state !== 'off';
  }

  /** Tells whether the chime is not heard any more. */
  get deaf() {
    return this.misses >= DEAF;
  }

  /** @param {boolean} on */
  turn(on) {
    if (on === this.on) return;
    this.misses = 0;
    if (!on) this.close();
    this.become(on ? 'untried' : 'off');
  }

  /** @param {Hearing} state */
  become(state) {
    this.state = state;
    this.dispatchEvent(new Event('change'));
  }

  /** Opens the microphone; the browser may ask somebody first. Resolves to null where there is none. @param {AudioContext} context */
  open(context) {
    clearTimeout(this.closes);
    if (this.microphone?.live) return Promise.resolve(this.microphone);
    this.opening ??= this.ask(context).finally(() => {
      this.opening = null;
    });
    return this.opening;
  }

  /** @param {AudioContext} context @returns {Promise<Microphone | null>} */
  async ask(context) {
    this.close();
    try {
      if (!this.taught.has(context)) await context.audioWorklet.addModule(new URL('./recorder.js', import.meta.url));
      this.taught.add(context);
      const stream = await navigator.mediaDevices.getUserMedia(AS_IT_IS);
      this.microphone = new Microphone(context, stream);
      if (!this.on) this.close();
      this.closeLater();
      return this.microphone;
    } catch {
      return null; // plain http, no microphone, or somebody said no
    }
  }

  closeLater() {
    clearTimeout(this.closes);
    this.closes = window.setTimeout(() => this.close(), STAYS);
  }

  close() {
    clearTimeout(this.closes);
    this.microphone?.close();
    this.microphone = null;
  }

  /**
   * Returns the open microphone, soon; null where there is none, or not yet.
   * @param {AudioContext} context @param {boolean} asks somebody is there to answer the browser's question
   */
  async ready(context, asks) {
    const late = nothingAfter(asks ? ASKS : OPENS).then(() => 'late');
    const microphone = await Promise.race([this.open(context), late]);
    if (microphone === null) this.found('unavailable');
    return microphone instanceof Microphone ? microphone : null;
  }

  /**
   * Begins to listen; call it right before a chime. Call the function that it
   * returns when the last note has ended: it tells whether the chime was heard.
   * @param {Microphone} microphone @returns {(tune: import('./chime.js').Tune) => Promise<Found>}
   */
  listen(microphone) {
    microphone.record();
    return async (tune) => {
      await nothingAfter(WAY);
      const heard = chimeIn(await microphone.stop(), microphone.rate, notesOf(tune));
      if (this.microphone === microphone) this.closeLater();
      return this.found(heard ? 'heard' : 'missed');
    };
  }

  /** @param {Found} found @returns {Found} */
  found(found) {
    if (!this.on) return found;
    if (found === 'missed') this.misses++;
    else if (found === 'heard') this.misses = 0;
    this.become(found);
    return found;
  }
}
