// @ts-check
import { t } from '../../shared/i18n.js';
import { fill, show } from '../../shared/page.js';

const UNSEEN = 250; // ms before it is counted without a frame: the page may be hidden
const TITLE_EVERY = 1000; // ms: the tab's name and the badge are drawn by other processes of the browser

/** Shows how many orders are open, wherever that stands, and tells a screen reader of the newest. */
export class Count {
  /** @param {() => number} open */
  constructor(open) {
    this.open = open;
    this.stood = -1;
    this.said = '';
    this.frame = 0;
    this.late = 0; // a timer
    this.naming = 0; // another
    this.namedAt = Number.NEGATIVE_INFINITY;
  }

  close() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.late);
    clearTimeout(this.naming);
  }

  /** Draws the count in the frame that draws the cards, not in one of its own. */
  changed() {
    if (this.frame) return;
    const draw = () => this.draw();
    this.frame = requestAnimationFrame(draw);
    this.late = window.setTimeout(draw, UNSEEN);
  }

  /** @param {string} words of the newest alert: of a burst, only they are read aloud */
  say(words) {
    this.said = words;
    this.changed();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.late);
    this.frame = 0;
    if (this.said) fill('#announced', this.said);
    this.said = '';
    const n = this.open();
    if (n === this.stood) return;
    this.stood = n;
    show('#empty', n === 0);
    fill('#count', n > 0 ? t('openCount', { n }) : '');
    this.naming ||= window.setTimeout(() => this.name(), Math.max(0, this.namedAt + TITLE_EVERY - performance.now()));
  }

  name() {
    this.naming = 0;
    this.namedAt = performance.now();
    const n = this.open();
    document.title = n > 0 ? `(${n}) ${t('title')}` : t('title');
    const badge = /** @type {any} */ (navigator);
    (n > 0 ? badge.setAppBadge?.(n) : badge.clearAppBadge?.())?.catch(() => {});
  }
}
