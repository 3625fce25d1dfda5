// @ts-check
/**
 * How cards go to their new places when the gaps close.
 *
 * @typedef {import('./card.js').CardElement} CardElement
 */

const GLIDE = 180; // ms that a card takes

/** Measures the cards down to the end of the screen: nobody sees how the others move. @param {CardElement[]} cards */
export function places(cards) {
  /** @type {Map<CardElement, DOMRect>} */
  const at = new Map();
  for (const el of cards) {
    const place = el.li.getBoundingClientRect();
    if (place.top > innerHeight) break;
    at.set(el, place);
  }
  return at;
}

/**
 * Lets a card glide, or jump where that is calmer; it is noted as moving.
 * @param {CardElement} el @param {DOMRect} from @param {DOMRect} to
 * @param {{calm: boolean, standing: import('./standing.js').Standing}} how
 */
export function glide(el, from, to, { calm, standing }) {
  el.height = to.height;
  if (from.left === to.left && from.top === to.top) return;
  standing.moves(el, calm ? 0 : GLIDE);
  if (calm) return;
  const moved = `translate(${from.left - to.left}px, ${from.top - to.top}px)`;
  const gliding = el.li.animate([{ transform: moved }, { transform: 'none' }], { duration: GLIDE, easing: 'ease-out' });
  // It may begin late: what still glides does not stand.
  gliding.onfinish = () => standing.moves(el);
}
