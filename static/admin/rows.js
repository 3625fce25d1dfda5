// @ts-check
import { language, t } from '../shared/i18n.js';
import { lasts, money, who } from '../shared/say.js';

/**
 * What the admin's page says of one thing: a title, facts below it, and whether
 * somebody should look.
 *
 * @typedef {import('../shared/i18n.js').Key} Key
 * @typedef {{title: string, facts: string[], bad: boolean}} Row
 * @typedef {{id: number, name: string}} Shop
 * @typedef {{attentive: number, since?: string, consoles: unknown[]}} Attention
 * @typedef {{console: string, sid: string, label: string, transport: string, since: string, cursor: string, lastReceipt?: string, audible: boolean | null, reason?: string, sub: string}} Console
 * @typedef {{to: string, rung: number, round: number, at: string, state: string}} Told
 * @typedef {{seq: number, number: string, orderId: number, type: number, time: string, reached: {state: string, at: string, by?: string}[], told?: Told[]}} Alert
 * @typedef {{id: string, name: string, label: string, role: string, shops: Shop[], all: boolean, since: string, expires: string, paired: boolean, this: boolean}} Session
 * @typedef {{id: string, sub: string, role: string, shops: Shop[], all: boolean, issued: string | null, expires: string, used: string | null, revoked: string | null, revokedBy?: string, this: boolean}} Token
 * @typedef {{provider: string, kind: string, transactionId: string, number: string, amount: number, currency: string, verdict: string, reason?: string, waits: boolean, times: number, last: string}} Callback
 * @typedef {{id: number, hook: string, event: string, shopId: number, state: string, attempts: number, created: string, next: string | null, error?: string}} Message
 */

/** An alert that rang this long in no console is one that nobody heard, in ms. */
export const UNHEARD = 60_000;

/** @param {string} at */
const moment = (at) => new Date(at).toLocaleString(language, { dateStyle: 'short', timeStyle: 'short' });

/** @param {Shop} s */
export const shopName = (s) => s.name || t('shop', { id: s.id });

/** @param {{all: boolean, shops: Shop[]}} of */
const shopsOf = (of) => (of.all ? t('allShops') : of.shops.map(shopName).join(t('comma')));

/** Returns how many alerts of its shop a console has not got yet. @param {string} cursor its own @param {string} head the log's */
export function behind(cursor, head) {
  /** @param {string} c */
  const read = (c) => /^([0-9a-z]+)\.\d+:(\d+)$/.exec(c);
  const [at, end] = [read(cursor), read(head)];
  if (!at || !end || at[1] !== end[1]) return null;
  return Math.max(0, Number(end[2]) - Number(at[2]));
}

/** @param {Shop} shop @param {Attention} a */
export function shopRow(shop, a) {
  const facts = [t('admAttentive', { n: a.attentive, of: a.consoles.length })];
  if (a.since) facts.push(t(a.attentive > 0 ? 'admAttendedSince' : 'admUnattendedSince', { t: moment(a.since) }));
  return { title: shopName(shop), facts, bad: a.attentive === 0 };
}

/** @param {Console} c @param {string} head @param {number} now */
export function consoleRow(c, head, now) {
  const lag = behind(c.cursor, head);
  const seconds = (now - Date.parse(c.since)) / 1000;
  const facts = [t(/** @type {Key} */ (`open_${c.transport}`)), t('admSince', { d: lasts(Math.max(0, seconds)) })];
  if (lag !== null) facts.push(lag === 0 ? t('admUpToDate') : t('admBehind', { n: lag }));
  facts.push(t(c.audible ? 'admAudible' : c.audible === null ? 'admNeverSaid' : 'admSilent'));
  facts.push(c.lastReceipt ? t('admReceipt', { t: moment(c.lastReceipt) }) : t('admNoReceipt'));
  return { title: c.label || c.sid || who(c.sub), facts, bad: c.audible === false || (lag ?? 0) > 0 };
}

/** Tells whether an open alert rang for long in no console. @param {Alert} a @param {number} now */
export function unheard(a, now) {
  return now - Date.parse(a.time) >= UNHEARD && !a.reached.some((r) => r.state === 'sounded');
}

/** @param {Alert} a @param {number} now */
export function alertRow(a, now) {
  const last = a.reached.at(-1);
  const facts = [t('admOpenFor', { d: lasts(Math.max(0, (now - Date.parse(a.time)) / 1000)) })];
  if (last) facts.push(t(/** @type {Key} */ (`reached_${last.state}`)));
  for (const e of a.told ?? []) facts.push(t('admTold', { rung: e.rung, who: e.to, state: t(/** @type {Key} */ (`sent_${e.state}`)) }));
  const bad = unheard(a, now);
  if (bad) facts.unshift(t('figUnheard'));
  return { title: `${t(a.type === 2 ? 'type2' : 'type1')} ${a.number || a.orderId}`, facts, bad };
}

/** @param {Callback} c */
export function callbackRow(c) {
  const amount = c.currency ? ` ${money(c.amount, c.currency)}` : '';
  const facts = [t(/** @type {Key} */ (`kind_${c.kind}`)) + amount, c.provider, c.transactionId, moment(c.last)];
  if (c.times > 1) facts.push(t('admTimes', { n: c.times }));
  facts.unshift(t(c.waits ? 'admWaits' : 'admDone', { v: c.verdict }));
  if (c.reason) facts.push(c.reason);
  return { title: c.number || c.transactionId, facts, bad: c.waits };
}

/** @param {Message} m */
export function messageRow(m) {
  const facts = [t(/** @type {Key} */ (`sent_${m.state}`)), m.event, t('shop', { id: m.shopId }), t('admTried', { n: m.attempts })];
  if (m.next) facts.push(t('admNext', { t: moment(m.next) }));
  if (m.error) facts.push(m.error);
  return { title: m.hook, facts, bad: m.state === 'given_up' };
}

/** @param {Session} s */
export function sessionRow(s) {
  const facts = [t(/** @type {Key} */ (`role_${s.role}`)), shopsOf(s), t('admSignedIn', { t: moment(s.since) })];
  if (s.paired) facts.push(t('admPaired'));
  else facts.push(t('sessionUntil', { t: moment(s.expires) }));
  if (s.label) facts.push(s.label);
  return { title: s.this ? `${s.name} (${t('thisDevice')})` : s.name, facts, bad: false };
}

/** @param {Token} k */
export function tokenRow(k) {
  const facts = [t(/** @type {Key} */ (`role_${k.role}`)), shopsOf(k)];
  if (k.issued) facts.push(t('admMade', { t: moment(k.issued) }));
  facts.push(
    k.used ? t('admUsed', { t: moment(k.used) }) : t('admNeverUsed'),
    t('sessionUntil', { t: moment(k.expires) }),
    k.id.slice(0, 8),
  );
  if (k.revoked) facts.unshift(t('admRevoked', { t: moment(k.revoked), who: who(k.revokedBy ?? '') }));
  return { title: k.sub, facts, bad: k.revoked !== null };
}
