// @ts-check
import { base, call } from '../shared/api.js';
import { language, t } from '../shared/i18n.js';
import { byID, element, fill, show } from '../shared/page.js';
import { money, who, why } from '../shared/say.js';

/**
 * @typedef {import('../shared/i18n.js').Key} Key
 * @typedef {{paid: number, alerted: number, heard: number, accepted: number, cancelled: number, amounts: Record<string, number>, reminders: number, external: number, exceptions: number, escalated: number}} Sum
 * @typedef {{to: string, rung: number, round: number, at: string, state: string}} Told
 * @typedef {{line: number, seq?: number, type?: number, number: string, orderId: number, time: string, amount?: number, currency?: string, reached?: {state: string, at: string, by?: string}[], silent?: string, told?: Told[], why?: string[]}} Entry
 * @typedef {{shop: number, day: string, asOf: string, sealed: boolean, hash?: string, sum: Sum, exceptions: Entry[]}} Day
 */

const shop = /** @type {HTMLSelectElement} */ (byID('shop'));
const day = /** @type {HTMLInputElement} */ (byID('day'));

/** @param {string} at */
const clock = (at) => new Date(at).toLocaleTimeString(language);

/** Says what an entry lacks. @param {Entry} e */
export function lacks(e) {
  return (e.why ?? [])
    .map((code) => t(/** @type {Key} */ (`lacks_${code}`)) + (code === 'silent' && e.silent ? ` (${e.silent})` : ''))
    .join(t('comma'));
}

/** Says who was told of an entry, each addressee once with what came of it last. @param {Entry} e */
export function toldOf(e) {
  const last = new Map((e.told ?? []).map((x) => [x.to, x.state]));
  if (last.size === 0) return t('toldNobody');
  return t('toldTo', { who: [...last].map(([to, state]) => `${to} (${t(/** @type {Key} */ (`sent_${state}`))})`).join(t('comma')) });
}

/** Says how far an entry came. @param {Entry} e */
function way(e) {
  return (e.reached ?? []).map((r) => `${clock(r.at)} ${t(/** @type {Key} */ (`reached_${r.state}`))}${r.by ? ` · ${who(r.by)}` : ''}`);
}

/** @param {Sum} s */
function showSum(s) {
  const money1 = Object.entries(s.amounts).map(([currency, minor]) => money(minor, currency));
  const facts = [
    [t('ledPaid'), String(s.paid)],
    [t('ledAmount'), money1.join(' ') || '–'],
    [t('ledAlerted'), String(s.alerted)],
    [t('ledHeard'), String(s.heard)],
    [t('ledAccepted'), String(s.accepted)],
    [t('ledCancelled'), String(s.cancelled)],
    [t('ledReminders'), String(s.reminders)],
    [t('ledExternal'), String(s.external)],
    [t('ledEscalated'), String(s.escalated)],
  ];
  byID('sum').replaceChildren(
    ...facts.map(([name, value]) => {
      const box = element('div', '', '');
      box.append(element('dt', '', name), element('dd', '', value));
      return box;
    }),
  );
}

/** @param {Entry} e */
function row(e) {
  const li = element('li', '', '');
  const number = e.number || String(e.orderId);
  const amount = e.amount && e.currency ? ` · ${money(e.amount, e.currency)}` : '';
  li.append(element('b', '', `${clock(e.time)} · ${number}${amount}`), element('p', 'bad-text', lacks(e)), element('p', '', toldOf(e)));
  const steps = element('ul', 'reached', '');
  steps.append(...way(e).map((text) => element('li', '', text)));
  if (steps.childElementCount > 0) li.append(steps);
  return li;
}

/** @param {Day} d */
function showDay(d) {
  const n = d.sum.exceptions;
  fill('#verdict', n === 0 ? t('ledWhole') : t('ledLacking', { n }));
  byID('verdict').dataset.grade = n === 0 ? 'ok' : 'bad';
  fill('#seal', d.sealed ? t('ledSealed', { t: new Date(d.asOf).toLocaleString(language), h: d.hash ?? '' }) : t('ledOpen'));
  showSum(d.sum);
  show('#exceptions-part', n > 0);
  byID('exceptions').replaceChildren(...d.exceptions.map(row));
  const csv = /** @type {HTMLAnchorElement} */ (byID('csv'));
  csv.href = `${base}api/v1/ledger?${new URLSearchParams({ shop: String(d.shop), day: d.day, format: 'csv' })}`;
  csv.download = `ledger-${d.shop}-${d.day}.csv`;
  show('#csv', true);
}

let asked = 0;

async function read() {
  const turn = ++asked;
  const q = new URLSearchParams({ shop: shop.value });
  if (day.value) q.set('day', day.value);
  try {
    /** @type {Day} */
    const d = await call('GET', `api/v1/ledger?${q}`);
    if (turn !== asked) return; // somebody has chosen another one meanwhile
    day.value = d.day;
    showDay(d);
  } catch (err) {
    if (turn === asked) fill('#verdict', t('failed', { why: why(err) }));
  }
}

async function begin() {
  document.documentElement.lang = language;
  for (const [id, key] of /** @type {[string, Key][]} */ ([
    ['title', 'ledger'],
    ['back', 'back'],
    ['shop-label', 'pickShop'],
    ['day-label', 'ledDay'],
    ['csv', 'ledCSV'],
    ['exceptions-title', 'ledExceptions'],
  ]))
    fill(`#${id}`, t(key));
  document.title = t('ledger');
  const query = new URL(location.href).searchParams;
  day.value = query.get('day') ?? '';
  byID('which').onsubmit = () => false;
  try {
    /** @type {{shops: {id: number, name?: string}[]}} */
    const { shops } = await call('GET', 'api/v1/shops');
    shop.replaceChildren(
      ...shops.map(({ id, name }) => {
        const option = /** @type {HTMLOptionElement} */ (element('option', '', name || t('shop', { id })));
        option.value = String(id);
        return option;
      }),
    );
    const wanted = query.get('shop');
    if (wanted && shops.some(({ id }) => String(id) === wanted)) shop.value = wanted;
  } catch (err) {
    fill('#verdict', t('failed', { why: why(err) }));
    return;
  }
  shop.onchange = read;
  day.onchange = read;
  await read();
}

if (typeof document !== 'undefined' && document.getElementById('exceptions')) begin();
