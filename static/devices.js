// @ts-check
import { call } from './api.js';
import { language, t } from './i18n.js';
import { byID, element } from './page.js';

/** @typedef {{id: string, name: string, label: string, shops: {id: number, name: string}[], since: string, this: boolean}} Device */

/** The dialog of paired devices, each with a button that signs it out. */
export function devicesPanel() {
  const dialog = /** @type {HTMLDialogElement} */ (byID('devices-dialog'));
  /** @param {Device[]} devices */
  const fill = (devices) => {
    const title = element('h2', '', t('devices'));
    title.id = 'devices-title';
    const list = element('ul', '', '');
    for (const d of devices) {
      const li = element('li', 'row', '');
      const text = element('div', '', '');
      const since = new Date(d.since).toLocaleDateString(language);
      text.append(element('strong', '', d.this ? `${d.name} (${t('thisDevice')})` : d.name), element('p', '', `${d.label} · ${since}`));
      const button = /** @type {HTMLButtonElement} */ (element('button', '', t('revoke')));
      button.type = 'button';
      button.setAttribute('aria-label', `${t('revoke')} ${d.name}`);
      button.onclick = async () => {
        await call('DELETE', `api/v1/devices/${d.id}`, {});
        await open();
      };
      li.append(text, button);
      list.append(li);
    }
    const close = /** @type {HTMLButtonElement} */ (element('button', 'primary', t('close')));
    close.type = 'button';
    close.onclick = () => dialog.close();
    dialog.replaceChildren(title, devices.length > 0 ? list : element('p', '', t('noDevices')), element('p', 'hint', t('pairHint')), close);
  };
  const open = async () => {
    const { devices } = await call('GET', 'api/v1/devices');
    fill(devices);
    if (!dialog.open) dialog.showModal();
  };
  byID('devices').onclick = open;
}
