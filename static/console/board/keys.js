// @ts-check
import { t } from '../../shared/i18n.js';
import { byID, element } from '../../shared/page.js';

/** @typedef {{undo: () => void, sound: () => void}} Acts */

const KEYS = /** @type {const} */ ([
  ['↑ ↓ ← →', 'keyArrows'],
  ['Enter', 'keyEnter'],
  ['U', 'keyUndo'],
  ['M', 'keySound'],
  ['?', 'keyHelp'],
]);

/**
 * Returns the card that an arrow leads to, in a grid that is filled row by row.
 * @param {string} key @param {number} at where the focus is, -1 for nowhere @param {number} count @param {number} columns
 */
export function step(key, at, count, columns) {
  const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns }[key];
  if (by === undefined || count === 0) return -1;
  if (at < 0) return 0;
  const to = at + by;
  return to < 0 || to >= count ? at : to;
}

/** Tells whether somebody is writing, or in a dialog, which get the keys then. @param {EventTarget | null} at */
const busy = (at) => at instanceof Element && at.closest('input, select, textarea, dialog[open]') !== null;

/** Opens the dialog that shows the keys. */
function help() {
  const dialog = /** @type {HTMLDialogElement} */ (byID('keys-dialog'));
  const title = element('h2', '', t('keysTitle'));
  title.id = 'keys-title';
  const list = element('dl', 'keys', '');
  for (const [key, word] of KEYS) list.append(element('dt', '', key), element('dd', '', t(word)));
  const close = /** @type {HTMLButtonElement} */ (element('button', 'primary', t('close')));
  close.type = 'button';
  close.onclick = () => dialog.close();
  dialog.replaceChildren(title, list, close);
  if (!dialog.open) dialog.showModal();
}

/** Lets a till without a mouse work the board: arrows, Enter, U, M and ?. @param {Acts} acts */
export function boardKeys(acts) {
  const list = byID('open');
  byID('keys').onclick = help;
  document.addEventListener('keydown', (e) => {
    if (e.ctrlKey || e.altKey || e.metaKey || busy(e.target) || byID('board').hidden) return;
    if (e.key === '?') help();
    else if (e.key === 'u' || e.key === 'U') acts.undo();
    else if ((e.key === 'm' || e.key === 'M') && !e.repeat) acts.sound();
    else move(e, list);
  });
}

/** Moves the focus as an arrow says. @param {KeyboardEvent} e @param {HTMLElement} list */
function move(e, list) {
  const cards = /** @type {HTMLElement[]} */ ([...list.querySelectorAll(':scope > .alert')]);
  const at = cards.findIndex((li) => li.contains(document.activeElement));
  const columns = getComputedStyle(list).gridTemplateColumns.split(' ').length;
  const to = step(e.key, at, cards.length, columns);
  if (to < 0 || (at < 0 && document.activeElement !== document.body && document.activeElement !== list)) return;
  e.preventDefault();
  cards[to].focus({ preventScroll: true });
  cards[to].scrollIntoView({ block: 'nearest' });
}
