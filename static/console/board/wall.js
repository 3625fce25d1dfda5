// @ts-check

import { serverNow } from '../../shared/clock.js';
import { INERT } from './accepts.js';
import { CardElement } from './card.js';
import { glide, places } from './glide.js';
import { Hold } from './hold.js';
import { Presses } from './press.js';
import { Standing } from './standing.js';

/**
 * The cards on the screen. New ones are appended, so that nothing moves; one
 * that goes leaves its place until no hand is near; a press counts only for the
 * card that it was aimed at.
 *
 * @typedef {import('./orders.js').Card} Card
 * @typedef {import('./accepts.js').Accepts} Accepts
 * @typedef {{list: HTMLElement, card: (order: string) => Card | undefined, cards: () => Card[], accepts: () => Accepts}} Options
 */

const UNSEEN = 250; // ms before a change is drawn without a frame: the page may be hidden
const AWAY = 20_000; // ms without a hand before the page goes back to what rings

export class Wall {
  /** @param {Options} options */
  constructor(options) {
    this.o = options;
    this.list = options.list;
    this.hold = new Hold();
    this.presses = new Presses();
    /** @type {Map<string, CardElement>} by order */
    this.shown = new Map();
    /** @type {Set<CardElement>} those that went and still have their place */
    this.ghosts = new Set();
    /** @type {Set<CardElement>} those that may need another height than they have */
    this.pinned = new Set();
    /** @type {Set<string>} orders whose card is to be drawn anew */
    this.dirty = new Set();
    this.unsorted = false; // a card was appended that belongs before others
    this.latest = 0; // the youngest card that was ever shown
    this.standing = new Standing(() => {
      // The time is taken after the frame: what it costs to paint, nobody has seen yet.
      this.painting = requestAnimationFrame(() => setTimeout(() => this.standing.painted(performance.now())));
    });
    this.painting = 0;
    // When the page itself was seen to move the focus.
    this.focused = { movedAt: Number.NEGATIVE_INFINITY, cameAt: 0 };
    this.mouseAt = Number.NEGATIVE_INFINITY; // when the mouse last moved
    this.judgedAt = 0; // the last press by a pointer
    this.sizes = new ResizeObserver((entries) => this.resized(entries));
    this.frame = 0;
    this.late = 0;
    this.settling = 0;
    this.listeners = new AbortController();
    this.listen();
  }

  close() {
    this.listeners.abort();
    this.sizes.disconnect();
    cancelAnimationFrame(this.frame);
    cancelAnimationFrame(this.painting);
    clearTimeout(this.late);
    clearTimeout(this.settling);
    this.list.replaceChildren();
  }

  listen() {
    const { signal } = this.listeners;
    const how = { signal, passive: true, capture: true };
    const now = () => performance.now();
    addEventListener('pointerdown', (e) => this.hold.down(`p${e.pointerId}`, now()), how);
    addEventListener('pointerup', (e) => this.hold.up(`p${e.pointerId}`, now()), how);
    addEventListener('pointercancel', (e) => this.hold.up(`p${e.pointerId}`, now()), how);
    addEventListener('pointermove', (e) => this.hovers(e), how);
    addEventListener('keydown', (e) => this.hold.down(`k${e.code}`, now()), how);
    addEventListener('keyup', (e) => this.hold.up(`k${e.code}`, now()), how);
    addEventListener('blur', () => this.hold.left(), { signal });
    const shift = () => this.standing.shift();
    addEventListener('scroll', shift, how);
    addEventListener('resize', shift, { signal });
    for (const what of ['scroll', 'resize']) visualViewport?.addEventListener(what, shift, { signal }); // two fingers enlarge
    document.addEventListener('visibilitychange', shift, { signal });
    this.list.addEventListener('pointerdown', (e) => this.down(e), { signal });
    addEventListener('pointerup', (e) => this.up(e), { signal });
    addEventListener('pointercancel', (e) => this.presses.cancel(e.pointerId), { signal });
    this.list.addEventListener('click', (e) => this.click(e), { signal });
    this.list.addEventListener('keydown', (e) => this.key(e), { signal });
  }

  // ---- drawing

  /** Draws a card with the next frame, with all others that change by then. @param {string} order */
  draw(order) {
    this.dirty.add(order);
    if (this.frame) return;
    const flush = () => this.flush();
    this.frame = requestAnimationFrame(flush);
    this.late = window.setTimeout(flush, UNSEEN);
  }

  /** Draws what has changed. */
  flush() {
    cancelAnimationFrame(this.frame);
    clearTimeout(this.late);
    this.frame = 0;
    this.moveFocus(); // before anything is written: it reads the layout
    const now = performance.now();
    const fresh = document.createDocumentFragment();
    for (const order of this.dirty) {
      const card = this.o.card(order);
      const el = this.shown.get(order);
      const state = this.o.accepts().state(order);
      if (el && el.key !== card?.key) this.leave(el, now);
      if (!card) continue;
      if (el && el.key === card.key) {
        if (!el.keepsSize(card, state)) this.pin(el);
        el.update(card, state);
        el.tick(serverNow());
      } else fresh.append(this.come(card, state).li);
    }
    this.dirty.clear();
    this.list.append(fresh);
    this.settleSoon();
  }

  /** Makes the element of a new card. @param {Card} card @param {import('./accepts.js').State} state */
  come(card, state) {
    const el = new CardElement(card, state);
    this.standing.moves(el);
    this.sizes.observe(el.li);
    if (card.since < this.latest) this.unsorted = true;
    this.latest = Math.max(this.latest, card.since);
    this.shown.set(card.order, el);
    el.tick(serverNow());
    return el;
  }

  /** Turns the element of a card that went into a ghost, which keeps its place. @param {CardElement} el @param {number} now */
  leave(el, now) {
    this.shown.delete(el.order);
    this.ghosts.add(el);
    this.standing.forget(el);
    this.hold.removed(now);
    el.leave();
  }

  /** Tells whether the card is about to become a ghost. @param {CardElement} el */
  goes(el) {
    return this.dirty.has(el.order) && this.o.card(el.order)?.key !== el.key;
  }

  /**
   * Moves the focus off what is about to go: a button to its card, a card to its
   * neighbour, where an Enter that was meant for the card that went does nothing.
   */
  moveFocus() {
    const at = document.activeElement;
    const el = this.elementAt(at);
    if (!el || !this.dirty.has(el.order)) return;
    const state = this.o.accepts().state(el.order);
    if (this.goes(el)) this.focusNear(el);
    else if ((at === el.accept && state !== 'open') || (at === el.undo && state !== 'undo')) el.li.focus({ preventScroll: true });
  }

  /** @param {CardElement} el */
  focusNear(el) {
    const near = (/** @type {'nextElementSibling' | 'previousElementSibling'} */ way) => {
      let li = el.li[way];
      for (let there = this.elementAt(li); li && (!there || this.goes(there)); there = this.elementAt(li)) li = li[way];
      return /** @type {HTMLElement | null} */ (li);
    };
    this.standing.moves(this.focused);
    (near('nextElementSibling') ?? near('previousElementSibling') ?? this.list).focus({ preventScroll: true });
  }

  /** Says on the card why its press was taken back. @param {string} order */
  takenBack(order) {
    this.shown.get(order)?.takenBack();
  }

  // ---- what moved without being told to

  /** Notes that a card which grew or shrank, for whatever reason, has moved those after it. @param {ResizeObserverEntry[]} entries */
  resized(entries) {
    /** @type {Element | null} */
    let first = null;
    for (const { target, borderBoxSize } of entries) {
      const el = this.elementAt(target);
      const height = borderBoxSize[0].blockSize;
      if (!el || Math.abs(el.height - height) < 0.5) continue;
      if (el.height > 0 && (!first || first.compareDocumentPosition(target) & Node.DOCUMENT_POSITION_PRECEDING)) first = target;
      el.height = height;
    }
    for (let li = first?.nextElementSibling ?? null; li; li = li.nextElementSibling) {
      const el = this.elementAt(li);
      if (el) this.standing.moves(el);
    }
  }

  // ---- closing the gaps

  /** Keeps a card's height for now, so that what is written on it moves no other card. @param {CardElement} el */
  pin(el) {
    el.pin();
    if (el.pinned) this.pinned.add(el);
  }

  /** Plans the closing of the gaps for when no hand is near. */
  settleSoon() {
    clearTimeout(this.settling);
    if (this.ghosts.size === 0 && !this.unsorted && this.pinned.size === 0) return;
    const now = performance.now();
    this.settling = window.setTimeout(
      () => (this.hold.held(performance.now()) ? this.settleSoon() : this.settle()),
      Math.max(20, this.hold.until(now) - now),
    );
  }

  /** Tells whether a card needs another height than it has; most words fit, and then no other card is measured. */
  grown() {
    for (const el of this.pinned) el.unpin();
    const grown = [...this.pinned].filter((el) => Math.abs(el.li.getBoundingClientRect().height - el.height) >= 0.5);
    for (const el of grown) el.pin();
    this.pinned = new Set(grown);
    return grown.length > 0;
  }

  /** Returns the cards that may move when the gaps close: those after the first that goes, or gets another height. */
  behind() {
    const all = [...this.list.children];
    const from = this.unsorted ? 0 : all.findIndex((li) => this.changes(this.elementAt(li)));
    return all.slice(from).flatMap((li) => this.elementAt(li) ?? []);
  }

  /** @param {CardElement | undefined} el */
  changes(el) {
    return !el || this.pinned.has(el);
  }

  /** Closes the gaps, puts the cards in order and gives each its height; each that moves is noted as moving. */
  settle() {
    if (this.ghosts.size === 0 && !this.unsorted && !this.grown()) return;
    const behind = this.behind();
    const from = places(behind);
    const focused = document.activeElement;
    for (const el of this.ghosts) this.sizes.unobserve(el.li);
    for (const el of this.ghosts) el.li.remove();
    for (const el of this.pinned) el.unpin();
    if (this.unsorted) this.list.replaceChildren(...this.o.cards().flatMap((c) => this.shown.get(c.order)?.li ?? []));
    this.ghosts.clear();
    this.pinned.clear();
    this.hold.settled(performance.now());
    this.unsorted = false;
    if (focused instanceof HTMLElement && focused !== document.activeElement) focused.focus({ preventScroll: true });
    // All is read before anything glides: each glide would make the next reading a layout.
    const to = new Map([...from.keys()].map((el) => [el, el.li.getBoundingClientRect()]));
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    for (const el of behind) {
      const [was, is] = [from.get(el), to.get(el)];
      if (was && is) glide(el, was, is, { calm, standing: this.standing });
      else this.standing.moves(el);
    }
  }

  /** Brings the ages up to date, and scrolls back to what rings when nobody is at the page. @param {boolean} rings */
  tick(rings) {
    const now = serverNow();
    for (const el of this.shown.values()) el.tick(now);
    for (const [order, p] of this.o.accepts().pending) if (p.state === 'undo') this.shown.get(order)?.ran(Date.now() - p.at);
    const seen = Math.max(this.hold.hand, this.standing.all);
    if (this.standing.shifted) return;
    if (rings && scrollY > 0 && performance.now() - seen > AWAY) scrollTo({ top: 0 });
  }

  // ---- presses

  /** Returns the card and the button at a place. @param {EventTarget | Element | null} at @returns {{el: CardElement, which: 'accept' | 'undo', target: string} | null} */
  hit(at) {
    const button = at instanceof Element ? at.closest('button') : null;
    const el = this.elementAt(button);
    if (!button || !el) return null;
    const which = button === el.accept ? 'accept' : button === el.undo ? 'undo' : null;
    return which && { el, which, target: `${el.key} ${which}` };
  }

  /** @param {EventTarget | Element | null} at @returns {CardElement | undefined} the card that this is in */
  elementAt(at) {
    const li = at instanceof Element ? /** @type {HTMLElement | null} */ (at.closest('#open > .alert')) : null;
    return li ? this.shown.get(li.dataset.order ?? '') : undefined;
  }

  /** @param {PointerEvent} e */
  down(e) {
    const hit = this.hit(e.target);
    if (hit && e.button === 0) this.presses.down(e.pointerId, { target: hit.target, at: e.timeStamp });
  }

  /** @param {PointerEvent} e */
  hovers(e) {
    this.hold.seen(performance.now());
    if (e.pointerType === 'mouse') this.mouseAt = e.timeStamp;
  }

  /**
   * Takes a finger's lifting, wherever that is. The press is judged with the frame
   * that shows it: the page may have been scrolled meanwhile, and hears of that first
   * with a frame.
   * @param {PointerEvent} e
   */
  up(e) {
    const down = this.presses.lift(e.pointerId);
    // A touch is told to where it began: what is under the finger now is asked for.
    const hit = this.hit(document.elementFromPoint(e.clientX, e.clientY));
    if (!down) {
      // It came down between the cards, as the browser saw it, on a page that was just scrolled.
      if (hit && e.button === 0) hit.el.miss();
      return;
    }
    this.judgedAt = e.timeStamp;
    if (document.hidden) this.judge(e, down, hit);
    else requestAnimationFrame(() => this.judge(e, down, hit));
  }

  /** Decides what a press by a pointer does. @param {PointerEvent} e @param {import('./press.js').Touch} down @param {ReturnType<Wall['hit']>} hit */
  judge(e, down, hit) {
    const target = hit?.target ?? '';
    const movedAt = hit ? this.standing.movedAt(hit.el) : 0;
    const mouse = e.pointerType === 'mouse';
    const verdict = mouse
      ? Presses.mouse(down, target, movedAt, hit?.el.movedAt ?? 0, this.mouseAt)
      : Presses.finger(down, target, movedAt);
    if (mouse) this.mouseAt = Math.max(this.mouseAt, e.timeStamp); // whoever presses there again means it
    if (hit && verdict === 'counts') return this.act(hit.el, hit.which);
    for (const el of this.shown.values()) if (hit?.el === el || down.target.startsWith(`${el.key} `)) el.miss();
  }

  /** Takes a click of a key or a screen reader; a pointer's press was judged when it was lifted. @param {MouseEvent} e */
  click(e) {
    const el = this.elementAt(e.target);
    if (el && e.target instanceof Element && e.target.closest('.fold')) {
      el.unfolded = !el.unfolded;
      this.standing.shift();
      el.unpin();
      el.lines();
      return;
    }
    const hit = this.hit(e.target);
    if (!hit || (e.detail > 0 && e.timeStamp - this.judgedAt < 1000)) return;
    if (e.detail > 0 && Presses.finger({ target: hit.target, at: e.timeStamp }, hit.target, this.standing.movedAt(hit.el)) !== 'counts')
      return hit.el.miss();
    this.pressKey(hit.el, hit.which, e);
  }

  /** @param {CardElement} el @param {'accept' | 'undo'} which @param {UIEvent} e */
  pressKey(el, which, e) {
    if (Presses.key(e.timeStamp, el.cameAt, this.focused.movedAt) === 'counts') this.act(el, which);
    else el.miss();
  }

  /** Takes Enter on a card for its accept; a key that is held down is one press. @param {KeyboardEvent} e */
  key(e) {
    if (e.key !== 'Enter' && e.key !== ' ') return;
    if (e.repeat) return e.preventDefault();
    const el = this.elementAt(e.target);
    if (!el || e.target !== el.li || e.key !== 'Enter') return;
    e.preventDefault();
    this.pressKey(el, 'accept', e);
  }

  /** Does what a press that counts asks for. @param {CardElement} el @param {'accept' | 'undo'} which */
  act(el, which) {
    const accepts = this.o.accepts();
    const pending = accepts.pending.get(el.order);
    if (which === 'undo' && pending && Date.now() - pending.at < INERT) return el.miss();
    if (this.o.card(el.order)?.key !== el.key) return el.miss(); // closed, and not drawn yet
    const done = which === 'undo' ? accepts.undo(el.order) : accepts.press(el.card);
    if (!done) el.miss();
    else this.flush(); // what a press did is seen with the next frame, not the one after
  }
}
