// @ts-check
import { language, t } from '../shared/i18n.js';
import { byID, fill, show } from '../shared/page.js';
import { kindOf } from './history.js';

/** Writes the page's fixed texts. */
export function label() {
  document.documentElement.lang = language;
  document.title = t('title');
  fill('#title', t('title'));
  byID('notices').setAttribute('aria-label', t('notices'));
  fill('#trial', t('trial'));
  fill('#empty .big', t('noAlerts'));
  fill('#empty .hint', t('noAlertsHint'));
  fill('#history-title', t('history'));
  fill('#figures-title', t('figures'));
  fill('#settings', t('settings'));
  fill('#elsewhere', t('voiceElsewhere'));
  fill('#ask-heard span', t('askHeard'));
  fill('#heard', t('heard'));
  fill('#not-heard', t('notHeard'));
  fill('#more', t('more'));
  fill('.tools label:first-child span', t('searchLabel'));
  /** @type {HTMLInputElement} */ (byID('search')).placeholder = t('searchLabel');
  fill('.tools label:last-child span', t('filterLabel'));
  byID('filter').replaceChildren(
    ...['', '1', '2', '3', '4'].map((type) => {
      const option = document.createElement('option');
      option.value = type;
      option.textContent = type ? kindOf(Number(type)) : t('allTypes');
      return option;
    }),
  );
  fill('#demo', t('demo'));
  fill('#doctor', t('doctor'));
  fill('#ledger', t('ledger'));
  fill('#sign-out', t('signOut'));
  fill('#devices', t('devices'));
  fill('#keys', t('keysTitle'));
  byID('open').setAttribute('aria-label', t('title'));
  fill('#sign-in h2', t('signIn'));
  fill('#sign-in label span', t('token'));
  fill('#sign-in button', t('signIn'));
  fill('#sign-in-hint', t('signInHint'));
  fill('#shop-label span', t('pickShop'));
  fill('#offline', t('offlineBanner'));
  if (!window.isSecureContext) {
    fill('#missing', t('missing'));
    show('#missing', true);
  }
}
