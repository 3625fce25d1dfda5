// @ts-check
import { t } from '../../shared/i18n.js';
import { element } from '../../shared/page.js';
import { INERT, UNDO } from './accepts.js';
import { ageWords, fold, isOurs, numberParts, shade } from './words.js';

/**
 * @typedef {import('./orders.js').Card} Card
 * @typedef {import('./accepts.js').State} State
 */

const MISSED = 1500; // ms that a press which did not count is shown

let made = 0;

/** @param {string} className @param {string} text */
function button(className, text) {
  const b = /** @type {HTMLButtonElement} */ (element('button', className, text));
  b.type = 'button';
  return b;
}

/**
 * One order on the screen. Its parts are made once; an update touches what has
 * changed. Its accept button never moves within it, and its undo button is
 * where no card has an accept button. A press only shows and hides parts that
 * have their place already: it costs one card's paint, and no layout.
 */
export class CardElement {
  /** @param {Card} card @param {State} state */
  constructor(card, state) {
    this.key = card.key;
    this.order = card.order;
    // When it was seen to come and to move: never, until a frame has painted it.
    this.cameAt = Number.POSITIVE_INFINITY;
    this.movedAt = Number.POSITIVE_INFINITY;
    this.height = 0; // as painted; 0 while nobody knows
    this.pinned = false;
    this.minute = -1;
    this.unfolded = false;
    this.long = false; // a sentence stands where a number does
    this.gone = false;
    this.li = element('li', 'alert', '');
    this.li.dataset.key = card.key;
    this.li.dataset.order = card.order;
    this.li.tabIndex = -1;
    this.kind = element('span', 'kind', '');
    this.asked = element('span', 'asked', '');
    this.times = element('span', '', '');
    this.askedAge = element('span', 'since', '');
    this.asked.append(this.times, this.askedAge);
    this.asked.hidden = true;
    this.heading = element('h2', 'number', '');
    this.heading.id = `card-${++made}`;
    this.li.setAttribute('aria-labelledby', this.heading.id);
    this.rest = element('span', 'rest', '');
    this.tail = element('span', 'tail', '');
    this.where = element('span', 'where', '');
    this.age = element('p', 'age', '');
    this.accept = button('accept primary', '');
    this.detail = element('div', 'detail', '');
    this.undo = button('undo', t('undo'));
    this.told = element('p', 'told', '');
    this.missed = element('p', 'missed', '');
    this.missing = 0;
    this.inert = 0;
    const head = element('p', 'head', '');
    head.append(this.kind, this.rest);
    this.heading.append(this.tail);
    const foot = element('p', 'foot', '');
    foot.append(this.asked, this.where);
    this.li.append(head, this.heading, foot, this.age, this.accept, this.told, this.detail, this.undo, this.missed);
    this.card = card;
    this.state = state;
    this.write();
    this.follow();
  }

  /** Tells whether this leaves every part the size that it has: then nothing can move. @param {Card} card @param {State} state */
  keepsSize(card, state) {
    return card === this.card && state !== 'elsewhere' && this.state !== 'elsewhere';
  }

  /** @param {Card} card @param {State} state */
  update(card, state) {
    const written = card === this.card;
    const followed = written && state === this.state;
    this.card = card;
    this.state = state;
    if (!written) this.write();
    if (!followed) this.follow();
  }

  /** Writes what is known of the order. */
  write() {
    const { card } = this;
    text(this.kind, card.test ? `${t(`kind_${card.kind}`)} · ${t('test')}` : t(`kind_${card.kind}`));
    this.number();
    const { table, pickup } = card.detail ?? {};
    text(this.where, [table && t('table', { t: table }), pickup && t('pickup', { p: pickup })].filter(Boolean).join(' · '));
    const name = `${t(card.kind === 'order' ? 'accept' : 'gotIt')} ${card.number || card.content}`;
    text(this.accept, t(card.kind === 'order' ? 'accept' : 'gotIt'));
    this.accept.setAttribute('aria-label', name);
    this.undo.setAttribute('aria-label', `${t('undo')} ${card.number || card.content}`);
    this.lines();
    this.minute = -1;
  }

  /** Shows who is accepting the order, and the button for what can be done. */
  follow() {
    const { li, card, state } = this;
    const under = state === 'undo' || state === 'sending';
    const name = ['alert', card.kind, under && 'pending', this.unfolded && 'unfolded', this.long && 'sentence'].filter(Boolean).join(' ');
    if (li.className !== name) li.className = name;
    text(this.told, state === 'elsewhere' ? t('acceptingElsewhere') : t(card.kind === 'order' ? 'accepting' : 'noting'));
    if (li.dataset.state === state) return;
    li.dataset.state = state;
    this.accept.hidden = state !== 'open';
    this.undo.hidden = state !== 'undo';
    if (state === 'undo') this.canUndo();
  }

  /** Shows the undo button as inert for a moment, with all of its time left. */
  canUndo() {
    this.undo.dataset.inert = 'yes';
    this.ran(0);
    clearTimeout(this.inert);
    this.inert = setTimeout(() => delete this.undo.dataset.inert, INERT);
  }

  /** Shows how much of the time to undo is left. @param {number} ms how much has gone */
  ran(ms) {
    this.undo.style.backgroundSize = `${Math.round(100 * Math.max(0, 1 - ms / UNDO))}% 5px`;
  }

  number() {
    const { number, content } = this.card;
    const { rest, tail } = numberParts(number || content);
    text(this.rest, rest);
    text(this.tail, tail);
    this.heading.setAttribute('aria-label', number || content);
    this.long = tail.length > 8;
    this.heading.dataset.brief = this.long ? '' : tail;
  }

  /** Writes what was ordered: a part of it, or all when somebody asked. */
  lines() {
    const { detail, number, content } = this.card;
    const said = number && !isOurs(this.card) ? content : '';
    const folded = fold(detail, said, this.unfolded);
    const kept = `${this.unfolded} ${JSON.stringify(folded)}`;
    if (this.detail.dataset.kept === kept) return;
    this.detail.dataset.kept = kept;
    const focused = this.detail.contains(document.activeElement);
    this.detail.replaceChildren(...folded.lines.map(({ text: line, note }) => element('p', note ? 'note-line' : 'line', line)));
    this.li.classList.toggle('unfolded', this.unfolded);
    if (folded.hidden > 0 || folded.cut || this.unfolded) {
      const word = folded.hidden > 0 ? t('unfold', { n: folded.hidden }) : t('unfoldAll');
      const more = button('fold', this.unfolded ? t('foldUp') : word);
      more.setAttribute('aria-expanded', String(this.unfolded));
      this.detail.append(more);
      if (focused) more.focus();
    }
  }

  /** Brings the age up to date; most times there is nothing to do. @param {number} now the server's time */
  tick(now) {
    const minute = Math.max(0, Math.floor((now - this.card.since) / 60_000)); // the server's clock may be a moment ahead
    if (minute === this.minute || this.gone) return;
    this.minute = minute;
    text(this.age, ageWords(now - this.card.since));
    this.li.dataset.age = String(shade(now - this.card.since));
    const { reminders, remindedSince } = this.card;
    this.asked.hidden = reminders === 0;
    text(this.times, reminders === 0 ? '' : t('asked', { n: reminders }));
    text(this.askedAge, reminders === 0 ? '' : `\u00a0· ${ageWords(now - remindedSince)}`);
  }

  /** Keeps the card's height, whatever is written on it: those below stay where they are. */
  pin() {
    if (this.pinned || this.height === 0) return;
    this.pinned = true;
    this.li.style.height = `${this.height}px`;
  }

  /** Gives the card the height that it needs. */
  unpin() {
    this.pinned = false;
    this.li.style.height = '';
  }

  /** Turns the card into an empty place, which stays until nobody can be about to press there. */
  leave() {
    this.pin();
    this.gone = true;
    this.li.className = 'ghost';
    this.accept.hidden = true;
    this.undo.hidden = true;
    text(this.told, t('cardGone'));
    this.li.setAttribute('aria-hidden', 'true');
    this.li.removeAttribute('tabindex');
  }

  /** Shows that a press did not count, and why. @param {string} [words] */
  miss(words = t('pressAgain')) {
    this.missed.textContent = words; // anew each time: a second press is told, too
    this.li.dataset.missed = '';
    clearTimeout(this.missing);
    this.missing = setTimeout(() => {
      text(this.missed, '');
      delete this.li.dataset.missed;
    }, MISSED);
  }

  /** Shows that the press was taken back, because the customer asked again. */
  takenBack() {
    this.miss(t('askedAgain'));
  }
}

/** @param {HTMLElement} e @param {string} words */
function text(e, words) {
  if (e.textContent !== words) e.textContent = words;
}
