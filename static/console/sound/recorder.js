// @ts-check
// Records the microphone in the audio thread, between the messages 'record' and
// 'stop'; the second is answered with the recording. A timer of the page would be
// too slow for it, above all in a hidden tab.
const thread = /** @type {any} */ (globalThis);

const MOST = 4000; // blocks of 128 samples: more than 10 s

thread.registerProcessor(
  'recorder',
  class extends thread.AudioWorkletProcessor {
    constructor() {
      super();
      /** @type {Float32Array[] | null} */
      this.blocks = null;
      this.port.onmessage = (/** @type {MessageEvent<'record' | 'stop'>} */ { data }) => {
        if (data === 'stop') this.port.postMessage(this.blocks ?? []);
        this.blocks = data === 'record' ? [] : null;
      };
    }

    /** @param {Float32Array[][]} inputs */
    process([[channel]]) {
      if (channel && this.blocks && this.blocks.length < MOST) this.blocks.push(channel.slice());
      return true;
    }
  },
);
