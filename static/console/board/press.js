// @ts-check
/**
 * Whether a press means the card that it hits: the card stood still on the
 * screen for a while before the finger came down, and was under it both then and
 * when it was lifted. All times are when it happened, not when a busy page got
 * to it: a finger comes down on what is painted, and a move is seen with the
 * frame that paints it. Pure; milliseconds of one clock.
 *
 * @typedef {'counts' | 'moved' | 'slid'} Verdict
 * @typedef {{target: string, at: number}} Touch what is under a finger: a card and which of its buttons
 */

export const STILL = 400; // an aim takes that long: what came later was not aimed at
export const SETTLED = 1000; // after the page itself moved the keyboard's focus

export class Presses {
  constructor() {
    /** @type {Map<number, Touch>} by pointer */
    this.downs = new Map();
  }

  /** @param {number} pointer @param {Touch} touch */
  down(pointer, touch) {
    this.downs.set(pointer, touch);
  }

  /** @param {number} pointer */
  cancel(pointer) {
    this.downs.delete(pointer);
  }

  /** Returns what the finger came down on, once. @param {number} pointer @returns {Touch | undefined} */
  lift(pointer) {
    const down = this.downs.get(pointer);
    this.downs.delete(pointer);
    return down;
  }

  /**
   * @param {Touch | undefined} down @param {string} target what is under the finger when it is lifted
   * @param {number} movedAt when all cards, or this one, were last seen to move, or to come
   * @returns {Verdict}
   */
  static finger(down, target, movedAt) {
    if (!down || down.target !== target) return 'slid';
    return down.at - movedAt < STILL ? 'moved' : 'counts';
  }

  /**
   * A mouse that rests aims at nothing: a card that came under it has to be gone to, or pressed twice.
   * @param {Touch | undefined} down @param {string} target @param {number} movedAt @param {number} cardAt when this card moved
   * @param {number} aimedAt when the mouse did @returns {Verdict}
   */
  static mouse(down, target, movedAt, cardAt, aimedAt) {
    const verdict = Presses.finger(down, target, movedAt);
    return verdict === 'counts' && aimedAt <= cardAt ? 'moved' : verdict;
  }

  /**
   * A key on the card that has the focus.
   * @param {number} at @param {number} cameAt when the card was first seen @param {number} focusedAt when the page gave it the focus by itself
   * @returns {Verdict}
   */
  static key(at, cameAt, focusedAt) {
    return at - cameAt < STILL || at - focusedAt < SETTLED ? 'moved' : 'counts';
  }
}
