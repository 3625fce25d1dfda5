// @ts-check
import { call } from '../shared/api.js';
import { language, t } from '../shared/i18n.js';
import { byID, element } from '../shared/page.js';

/**
 * @typedef {{id: string, name: string, label: string, since: string, limit: string | null, paired: boolean, this: boolean}} Session
 */

const MOST_PAGES = 10; // of 100 each

/** Reads a whole list, page by page. @param {'devices' | 'sessions'} what @returns {Promise<Session[]>} */
async function listed(what) {
  /** @type {Session[]} */
  const out = [];
  let after = '';
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call('GET', `api/v1/${what}?after=${encodeURIComponent(after)}`);
    out.push(...answer[what]);
    if (!answer.next) break;
    after = answer.next;
  }
  return out;
}

/** Wires the dialog of paired devices and of sessions made from this one, each with a button that ends it. */
export function devicesPanel() {
  const dialog = /** @type {HTMLDialogElement} */ (byID('devices-dialog'));
  /** @param {Session} s */
  const row = (s) => {
    const li = element('li', 'row', '');
    const text = element('div', '', '');
    /** @param {string} at */
    const day = (at) => new Date(at).toLocaleDateString(language);
    const what = [s.label, day(s.since), s.limit === null ? '' : t('sessionUntil', { t: day(s.limit) })].filter((part) => part !== '');
    text.append(element('strong', '', s.this ? `${s.name} (${t('thisDevice')})` : s.name), element('p', '', what.join(' · ')));
    const button = /** @type {HTMLButtonElement} */ (element('button', '', t('revoke')));
    button.type = 'button';
    button.setAttribute('aria-label', `${t('revoke')} ${s.name}`);
    button.onclick = async () => {
      await call('DELETE', `api/v1/sessions/${s.id}`, {});
      if (s.this)
        dialog.close(); // the stream's end signs the page out
      else await open();
    };
    li.append(text, button);
    return li;
  };
  /** @param {Session[]} sessions */
  const list = (sessions) => {
    const ul = element('ul', '', '');
    ul.append(...sessions.map(row));
    return ul;
  };
  /** @param {Session[]} devices @param {Session[]} own */
  const fill = (devices, own) => {
    const title = element('h2', '', t('devices'));
    title.id = 'devices-title';
    const close = /** @type {HTMLButtonElement} */ (element('button', 'primary', t('close')));
    close.type = 'button';
    close.onclick = () => dialog.close();
    dialog.replaceChildren(
      title,
      devices.length > 0 ? list(devices) : element('p', '', t('noDevices')),
      ...(own.length > 0 ? [element('h3', '', t('ownSessions')), list(own)] : []),
      element('p', 'hint', t('pairHint')),
      close,
    );
  };
  const open = async () => {
    const [devices, sessions] = await Promise.all([listed('devices'), listed('sessions')]);
    fill(
      devices,
      sessions.filter((s) => !s.this && !s.paired),
    );
    if (!dialog.open) dialog.showModal();
  };
  byID('devices').onclick = open;
}
