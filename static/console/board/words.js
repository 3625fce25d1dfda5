// @ts-check
import { language, t } from '../../shared/i18n.js';

/**
 * What a card says, as values: its number in two parts, its age, what was
 * ordered.
 *
 * @typedef {import('./orders.js').Card} Card
 * @typedef {import('./orders.js').Detail} Detail
 */

const CALLED = 4; // characters that people call out
const LINES = 6; // before the rest is folded
const WIDE = 32; // Latin characters that a card's line has room for; a Chinese one takes two
const LATE = 5; // minutes: amber
const TOO_LATE = 10; // minutes: red

/** Splits a number into its last four characters and what is before them. @param {string} number */
export function numberParts(number) {
  const all = [...number];
  if (/\s/u.test(number) || all.length > 40) return { rest: '', tail: number }; // no number: a sentence
  return { rest: all.slice(0, -CALLED).join(''), tail: all.slice(-CALLED).join('') };
}

/** Tells whether a card's text is the one that doorbell itself writes, which says the number and no more. @param {Pick<Card, 'content' | 'number'>} card */
export const isOurs = ({ content, number }) => content === `订单号: ${number}` || content === number;

/** Writes an age as people say it, in minutes. @param {number} ms */
export function ageWords(ms) {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return t('justNow');
  if (minutes < 60) return t('minutes', { n: minutes });
  return t('hours', { h: Math.floor(minutes / 60), m: minutes % 60 });
}

/** Returns how late an order is: 0 in time, 1 late, 2 too late. @param {number} ms */
export const shade = (ms) => (ms < LATE * 60_000 ? 0 : ms < TOO_LATE * 60_000 ? 1 : 2);

/**
 * Returns the lines that a card shows of its order: the note first, and six in all
 * until somebody unfolds it. A long one is cut at the card's edge.
 * @param {Detail | null} detail @param {string} said the alert's own text, where it says more than the number @param {boolean} unfolded
 * @returns {{lines: {text: string, note: boolean}[], hidden: number, cut: boolean}}
 */
export function fold(detail, said, unfolded) {
  const lines = [];
  if (detail?.refunded) lines.push({ text: t('refundedPart', { m: money(detail.refunded) }), note: true });
  if (said) lines.push({ text: said, note: false });
  if (detail?.note) lines.push({ text: detail.note, note: true });
  for (const line of detail?.lines ?? []) lines.push({ text: line, note: false });
  const cut = lines.some((l) => [...l.text].reduce((n, c) => n + (c > '\u2e80' ? 2 : 1), 0) > WIDE);
  if (unfolded || lines.length < LINES || (lines.length === LINES && !cut)) return { lines, hidden: 0, cut };
  return { lines: lines.slice(0, LINES - 1), hidden: lines.length - LINES + 1, cut };
}

/** Writes an amount of the currency's smallest unit, as people do. @param {{amount: number, currency: string}} m */
export function money({ amount, currency }) {
  const f = new Intl.NumberFormat(language === 'zh' ? 'zh-CN' : 'en', { style: 'currency', currency });
  return f.format(amount / 10 ** (f.resolvedOptions().maximumFractionDigits ?? 2));
}
