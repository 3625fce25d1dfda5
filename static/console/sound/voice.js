// @ts-check
import { language } from '../../shared/i18n.js';
import { Role } from '../tabs.js';

const TOLD = 5000; // ms between two words of the tab that speaks
const LOST = 12_000; // ms without a word: no tab speaks

/** Decides which tab of this browser speaks for a shop: one whose sound is unlocked. */
export class Voice {
  /** @param {{shop: number, speaker: import('./speaker.js').Speaker, tell: (m: {voice: boolean}) => void, onChange: () => void}} options */
  constructor(options) {
    this.o = options;
    /** @type {Role | null} asked for by tabs whose sound is unlocked */
    this.role = null;
    this.elsewhereAt = 0;
    this.toldAt = 0;
  }

  /** @returns {'here' | 'elsewhere' | 'nowhere'} */
  get speaks() {
    if (this.role?.held && this.o.speaker.unlocked) return 'here';
    return Date.now() - this.elsewhereAt < LOST ? 'elsewhere' : 'nowhere';
  }

  /** Asks for the role, or gives it up, as sound was unlocked or lost. */
  follow() {
    const { shop, speaker, tell, onChange } = this.o;
    if (speaker.unlocked && !this.role) {
      speaker.preload(language);
      const onGain = () => {
        this.toldAt = 0;
        onChange();
      };
      this.role = new Role(`voice ${shop}`, { onGain, onLose: onChange });
    } else if (!speaker.unlocked && this.role) {
      this.stop();
      tell({ voice: false });
    }
  }

  /** Takes the message that another tab speaks, or no longer does. @param {boolean} speaks */
  told(speaks) {
    this.elsewhereAt = speaks ? Date.now() : 0;
    this.o.onChange();
  }

  /** Tells the other tabs every few seconds that this one speaks. @param {number} now */
  tick(now) {
    if (this.speaks !== 'here' || now - this.toldAt < TOLD) return;
    this.toldAt = now;
    this.o.tell({ voice: true });
  }

  stop() {
    this.role?.stop();
    this.role = null;
  }
}
