// @ts-check
import { t } from '../shared/i18n.js';
import { byID, element } from '../shared/page.js';
import { TUNES } from './settings.js';

/** @typedef {import('./settings.js').Settings} Settings */

/** @param {string} text @param {HTMLElement} control */
function row(text, control) {
  const label = element('label', 'row', '');
  label.append(element('span', '', text), control);
  return label;
}

/** @param {string} type @param {Record<string, string>} [attributes] @returns {HTMLInputElement} */
function input(type, attributes = {}) {
  const made = document.createElement('input');
  made.type = type;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/**
 * The dialog of this device's settings; each change counts at once.
 * @param {() => Settings} get @param {(s: Settings) => void} set @param {(type: 1 | 2) => void} ring
 */
export function settingsPanel(get, set, ring) {
  const dialog = /** @type {HTMLDialogElement} */ (byID('settings-dialog'));
  /** @param {Partial<Settings>} edit */
  const change = (edit) => set({ ...get(), ...edit });
  const now = get();
  const volume = input('range', { min: '0.1', max: '1', step: '0.1' });
  volume.value = String(now.volume);
  volume.oninput = () => change({ volume: Number(volume.value) });

  /** @param {'voice' | 'number' | 'awake' | 'microphone' | 'quiet'} key */
  const box = (key) => {
    const made = input('checkbox');
    made.checked = now[key];
    made.onchange = () => change({ [key]: made.checked });
    return made;
  };
  /** @param {'1' | '2'} type */
  const tune = (type) => {
    const made = document.createElement('select');
    for (const name of TUNES) {
      const option = document.createElement('option');
      option.value = name;
      option.textContent = t(name);
      made.append(option);
    }
    made.value = now.tunes[type];
    made.onchange = () => change({ tunes: { ...get().tunes, [type]: /** @type {import('./settings.js').Tune} */ (made.value) } });
    return made;
  };
  /** @param {'quietFrom' | 'quietTo'} key */
  const clock = (key) => {
    const made = input('time');
    made.value = now[key];
    made.onchange = () => made.value && change({ [key]: made.value });
    return made;
  };
  /** @param {1 | 2} type */
  const attempt = (type) => {
    const made = /** @type {HTMLButtonElement} */ (element('button', '', t(type === 1 ? 'tryType1' : 'tryType2')));
    made.type = 'button';
    made.onclick = () => ring(type);
    return made;
  };
  const close = /** @type {HTMLButtonElement} */ (element('button', 'primary', t('close')));
  close.type = 'button';
  close.onclick = () => dialog.close();
  const tries = element('div', 'buttons', '');
  tries.append(attempt(1), attempt(2));
  const pushes = element('p', 'hint', '');
  pushes.id = 'push';
  const microphone = element('p', 'hint', '');
  microphone.id = 'microphone';
  const title = element('h2', '', t('settings'));
  title.id = 'settings-title';
  dialog.replaceChildren(
    title,
    row(t('volume'), volume),
    row(t('tune1'), tune('1')),
    row(t('tune2'), tune('2')),
    tries,
    row(t('voice'), box('voice')),
    row(t('sayNumber'), box('number')),
    row(t('awake'), box('awake')),
    row(t('earSetting'), box('microphone')),
    microphone,
    pushes,
    row(t('quietHours'), box('quiet')),
    row(t('from'), clock('quietFrom')),
    row(t('to'), clock('quietTo')),
    close,
  );
  byID('settings').onclick = () => dialog.showModal();
}
