// @ts-check
import { call } from '../../shared/api.js';
import { ANSWER } from './accepts.js';

/** Tells the server whether this console can be heard. One call after the other: the last word counts. */
export class HearingReport {
  /** @param {{console: () => string, hearing: () => {audible: boolean, reason: string, label: string}}} options */
  constructor(options) {
    this.o = options;
    this.at = 0; // when this was last asked for
    this.sending = false;
    this.again = false; // there is something newer to tell
  }

  async send() {
    this.at = Date.now();
    this.again = true;
    if (this.sending) return;
    this.sending = true;
    while (this.again) {
      this.again = false;
      const path = `api/v1/consoles/${this.o.console()}`;
      await call('PUT', path, this.o.hearing(), { signal: AbortSignal.timeout(ANSWER) }).catch(() => {});
    }
    this.sending = false;
  }
}
