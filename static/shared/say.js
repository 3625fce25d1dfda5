// @ts-check
import { Away, Refused } from './api.js';
import { language, t } from './i18n.js';

/**
 * What is said of failures, people and times, in the page's language: nobody
 * reads the browser's own words, or an id.
 */

/** Codes that have a shorter word than the server's sentence. @type {Record<string, import('./i18n.js').Key>} */
const CODES = {
  token_invalid: 'tokenInvalid',
  token_unknown_key: 'tokenInvalid',
  token_missing: 'tokenMissing',
  token_expired: 'tokenExpired',
};

/** Says why something failed; the server's own sentence comes in the page's language. @param {unknown} err */
export function why(err) {
  if (err instanceof Away) return t(err.hung ? 'noAnswer' : 'noConnection');
  if (!(err instanceof Refused)) {
    console.error(err); // ours to mend: the person at the till can't
    return t('unexpected');
  }
  if (CODES[err.code]) return t(CODES[err.code]);
  if (err.code === '') return t('httpStatus', { n: err.status }); // a proxy's page, not the server's answer
  return err.message.replace(/[.。]$/, '');
}

/** Says why an order was not accepted, and what to do. @param {unknown} err */
export function acceptFailed(err) {
  return err instanceof Away ? t('acceptOffline') : t('acceptRefused', { why: why(err) });
}

/** Says who did something, as a shop calls them. @param {string} by ROLE:NAME, as the log has it, or a name alone */
export function who(by) {
  const [, role, name] = /^(console|service|customer|admin|provider):(.*)$/s.exec(by) ?? ['', 'console', by];
  if (role === 'provider') return t('byPayment');
  if (role === 'customer') return t('byCustomer');
  if (role === 'console' && name === 'link') return t('byLink');
  return role === 'service' ? t('bySystem', { name }) : name;
}

/** Says how long something lasts, in the largest unit that fits. @param {number} seconds */
export function lasts(seconds) {
  if (seconds < 90) return t('lastsSeconds', { n: Math.round(seconds) });
  if (seconds < 55 * 60) return t('lastsMinutes', { n: Math.round(seconds / 60) });
  if (seconds < 36 * 3600) return t('lastsHours', { n: Math.round(seconds / 360) / 10 });
  return t('lastsDays', { n: Math.round(seconds / 86_400) });
}

/** Says an amount in the currency's own way. @param {number} minor @param {string} currency */
export function money(minor, currency) {
  const format = new Intl.NumberFormat(language, { style: 'currency', currency });
  return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 2));
}

/** Says how a device's clock is off. @param {number} seconds how far it is ahead */
export function clockOff(seconds) {
  return t(seconds > 0 ? 'clockFast' : 'clockSlow', { d: lasts(Math.abs(seconds)) });
}

/** Returns an alert's text; where doorbell wrote it, in the page's language. @param {{content: string, number: string, orderId: number}} a */
export function contentOf({ content, number, orderId }) {
  const of = number || String(orderId);
  return content === `订单号: ${of}` ? t('ourContent', { n: of }) : content;
}
