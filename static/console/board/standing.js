// @ts-check
/**
 * When each card was last seen to move. A move is seen with the frame that
 * paints it: on a slow device that is later than its doing, and until then the
 * card stands nowhere. Pure; milliseconds of one clock.
 *
 * @typedef {{movedAt: number, cameAt: number}} Stands both Infinity until they were seen
 */

export class Standing {
  /** @param {() => void} paint asks for one call of painted(), after the next frame */
  constructor(paint) {
    this.paint = paint;
    this.asked = false;
    this.all = Number.NEGATIVE_INFINITY; // when all were seen to move: scrolled, turned, resized
    this.shifted = false; // and move again, in a frame that is not painted yet
    /** @type {Map<Stands, number>} those whose move is not painted yet, and how long it takes then */
    this.moving = new Map();
  }

  /** Notes that a card comes, or moves. @param {Stands} card @param {number} [takes] ms that it glides */
  moves(card, takes = 0) {
    card.movedAt = Number.POSITIVE_INFINITY;
    this.moving.set(card, Math.max(takes, this.moving.get(card) ?? 0));
    this.ask();
  }

  /** Notes that all cards move. */
  shift() {
    this.shifted = true;
    this.ask();
  }

  /** Forgets a card that went. @param {Stands} card */
  forget(card) {
    this.moving.delete(card);
  }

  ask() {
    if (!this.asked) this.paint();
    this.asked = true;
  }

  /** Takes the time of a frame that was painted: what moved by then has been seen. @param {number} now */
  painted(now) {
    this.asked = false;
    if (this.shifted) this.all = now;
    this.shifted = false;
    for (const [card, takes] of this.moving) {
      card.movedAt = now + takes;
      card.cameAt = Math.min(card.cameAt, now);
    }
    this.moving.clear();
  }

  /** Returns when a card was last seen to move; Infinity where that is still to be seen. @param {Stands} card */
  movedAt(card) {
    return this.shifted ? Number.POSITIVE_INFINITY : Math.max(card.movedAt, this.all);
  }
}
