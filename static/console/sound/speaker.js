// @ts-check
import { playChime } from './chime.js';
import { Ear } from './ear.js';

/**
 * Makes an alert heard: a chime by WebAudio, then a sentence by a local voice
 * if one starts in time, else a shipped clip. What came out is told: 'voice',
 * 'clip', 'chime', 'blocked' when nothing did, 'nothing' when nothing was to,
 * 'missed' when the microphone did not hear the chime.
 *
 * @typedef {'voice' | 'clip' | 'chime' | 'blocked' | 'nothing' | 'missed'} Heard
 */

/**
 * What to make heard, and how loud: gain 0 to 1; speak false leaves it at the
 * chime.
 * @typedef {{type: number, text: string, lang: string, gain: number, speak: boolean, tune: import('../settings.js').Tune}} Sentence
 */

/**
 * A sentence that is known only when its turn has come and the sound begins;
 * now returns null when there is nothing to say any more. wake plays a murmur first;
 * check asks the microphone, where that is switched on.
 * @typedef {{wake: boolean, check: boolean, now: () => Sentence | null}} Turn
 */

const PULSE_EVERY = 60_000; // ms; Bluetooth speakers sleep after some minutes of silence
const WAKING = 1.2; // s of near silence before a ring: a sleeping speaker swallows the first second or two
const VOICE_STARTS = 2000; // ms; a voice that has not begun by then never does
const CLIP_COMES = 3000; // ms
const ENDS_AFTER = 1500; // ms beyond a clip's length

/** @param {number} ms @returns {Promise<void>} */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Speaker extends EventTarget {
  /** @param {{clip: (type: number, lang: string) => string}} options */
  constructor(options) {
    super();
    this.clipURL = options.clip;
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {Map<string, Promise<AudioBuffer>>} */
    this.clips = new Map();
    this.queue = Promise.resolve(/** @type {Heard} */ ('blocked'));
    this.proved = false; // a tone has really played
    this.ear = new Ear();
    this.pulse = 0;
  }

  /** Keeps a speaker from sleeping, by a pulse that is barely there. @param {boolean} on */
  keepAwake(on) {
    clearInterval(this.pulse);
    if (on) this.pulse = window.setInterval(() => this.unlocked && this.murmur(0.3), PULSE_EVERY);
  }

  /** Plays nearly nothing, but not silence. @param {number} seconds @returns {Promise<void>} */
  murmur(seconds) {
    const c = /** @type {AudioContext} */ (this.context);
    const tone = c.createOscillator();
    const volume = c.createGain();
    tone.frequency.value = 60;
    volume.gain.value = 0.004;
    tone.connect(volume).connect(c.destination);
    tone.start();
    tone.stop(c.currentTime + seconds);
    return Promise.race([
      new Promise((/** @type {(value: void) => void} */ done) => {
        tone.onended = () => done();
      }),
      pause(seconds * 1000 + 1000),
    ]);
  }

  get unlocked() {
    return this.proved && this.context?.state === 'running';
  }

  /** Lets audio begin, which browsers allow inside a click only; false where no test tone came out. */
  async unlock() {
    try {
      this.context ??= new AudioContext();
      this.context.onstatechange = () => this.dispatchEvent(new Event('change'));
      await Promise.race([this.context.resume(), pause(1000)]);
      this.proved = this.context.state === 'running' && (await this.tone());
    } catch {
      this.proved = false;
    }
    this.dispatchEvent(new Event('change'));
    return this.unlocked;
  }

  /** Plays the test tone; true when the audio clock moved with it. */
  async tone() {
    const c = /** @type {AudioContext} */ (this.context);
    const before = c.currentTime;
    await this.chime('bell', 0.7);
    return c.currentTime > before;
  }

  /** @param {import('../settings.js').Tune} tune @param {number} gain */
  async chime(tune, gain) {
    const c = /** @type {AudioContext} */ (this.context);
    await Promise.race([playChime(c, tune, gain, c.currentTime + 0.02), pause(3000)]);
  }

  /** Opens the microphone, where the check is switched on; the browser may ask for permission. */
  async openEar() {
    if (this.ear.on && this.context) await this.ear.ready(this.context, true);
  }

  /**
   * Plays a chime alone, with the microphone open before it. Call it where somebody
   * has just pressed: the browser may ask for permission. What was found is the ear's state.
   * @param {import('../settings.js').Tune} tune @param {number} gain
   */
  async test(tune, gain) {
    if (!this.unlocked && !(await this.unlock())) return;
    await this.openEar();
    await this.say({ type: 0, text: '', lang: '', gain, speak: false, tune, wake: false, check: true });
  }

  /** @param {string} url */
  load(url) {
    let clip = this.clips.get(url);
    if (!clip) {
      clip = (async () => {
        const res = await fetch(url, { signal: AbortSignal.timeout(CLIP_COMES) }); // a server that hangs must not hold the next ring
        if (!res.ok) throw new Error(`clip: HTTP ${res.status}`);
        return /** @type {AudioContext} */ (this.context).decodeAudioData(await res.arrayBuffer());
      })();
      clip.catch(() => this.clips.delete(url));
      this.clips.set(url, clip);
    }
    return clip;
  }

  /** Loads the clips before they are needed. @param {string} lang */
  preload(lang) {
    for (const type of [1, 2]) this.load(this.clipURL(type, lang)).catch(() => {});
  }

  /** @param {string} url @param {number} gain */
  async playClip(url, gain) {
    const c = /** @type {AudioContext} */ (this.context);
    const source = c.createBufferSource();
    source.buffer = await this.load(url);
    const volume = c.createGain();
    volume.gain.value = gain;
    source.connect(volume).connect(c.destination);
    const ended = new Promise((done) => {
      source.onended = done;
    });
    source.start();
    await Promise.race([ended, pause(source.buffer.duration * 1000 + ENDS_AFTER)]);
  }

  /**
   * Returns a voice on this device, never espeak, which misreads Chinese.
   * @param {string} lang
   */
  voice(lang) {
    const voices = globalThis.speechSynthesis?.getVoices() ?? [];
    return voices.find((v) => v.localService && v.lang.toLowerCase().startsWith(lang) && !/espeak/i.test(v.name + v.voiceURI));
  }

  /** @param {string} text @param {string} lang @param {number} gain @returns {Promise<boolean>} */
  speak(text, lang, gain) {
    const voice = this.voice(lang);
    if (!voice) return Promise.resolve(false);
    return new Promise((done) => {
      const sentence = new SpeechSynthesisUtterance(text);
      sentence.voice = voice;
      sentence.lang = voice.lang;
      sentence.volume = gain;
      let started = false;
      const begin = setTimeout(() => !started && speechSynthesis.cancel(), VOICE_STARTS);
      const end = setTimeout(() => speechSynthesis.cancel(), VOICE_STARTS + 3000 + text.length * 400);
      const over = () => {
        clearTimeout(begin);
        clearTimeout(end);
        done(started);
      };
      sentence.onstart = () => {
        started = true;
      };
      sentence.onend = over;
      sentence.onerror = over;
      speechSynthesis.speak(sentence);
      setTimeout(() => !started && over(), VOICE_STARTS + 100);
    });
  }

  /**
   * Says one thing after the other, however many ask.
   * @param {(Sentence & {wake: boolean, check: boolean}) | Turn} what @returns {Promise<Heard>}
   */
  say(what) {
    const turn = 'now' in what ? what : { wake: what.wake, check: what.check, now: () => what };
    this.queue = this.queue.then(() => this.sayNow(turn));
    return this.queue;
  }

  /** @param {Turn} turn @returns {Promise<Heard>} */
  async sayNow({ wake, check, now }) {
    /** @type {Heard} */
    let heard = 'blocked';
    /** @type {Sentence | null} */
    let sentence = null;
    /** @type {Promise<import('./ear.js').Found> | null} */
    let found = null;
    try {
      const listens = check && this.unlocked && this.ear.on;
      const opened = listens ? this.ear.ready(/** @type {AudioContext} */ (this.context), false) : null;
      if (wake && this.unlocked) await this.murmur(WAKING);
      const microphone = await opened;
      sentence = now();
      if (!sentence) return 'nothing';
      if (this.unlocked) {
        const { type, text, lang, gain, speak, tune } = sentence;
        const judge = microphone && this.ear.listen(microphone);
        await this.chime(tune, gain);
        heard = 'chime';
        found = judge?.(tune) ?? null;
        if (speak) {
          if (await this.speak(text, lang, gain)) heard = 'voice';
          else {
            await this.playClip(this.clipURL(type, lang), gain);
            heard = 'clip';
          }
        }
      }
    } catch {
      // The chime, if it played, has to do.
    }
    if ((await found) === 'missed') heard = 'missed';
    this.dispatchEvent(new CustomEvent('said', { detail: { ...sentence, heard } }));
    return heard;
  }
}
