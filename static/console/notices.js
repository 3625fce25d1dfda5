// @ts-check
import { t } from '../shared/i18n.js';
import { byID, element } from '../shared/page.js';

/**
 * Banners stand in a room of one line that is always there, the gravest first,
 * so that none of them moves a button; a press shows them all.
 */
export function watchNotices() {
  const room = byID('notices');
  const more = /** @type {HTMLButtonElement} */ (element('button', 'more-notices', ''));
  more.type = 'button';
  more.hidden = true;
  more.setAttribute('aria-expanded', 'false');
  const strip = byID('strip');
  const open = (/** @type {boolean} */ on) => {
    strip.classList.toggle('all', on);
    more.setAttribute('aria-expanded', String(on));
  };
  const count = () => {
    const shown = [...room.children].filter((e) => !(/** @type {HTMLElement} */ (e).hidden));
    more.hidden = shown.length < 1;
    more.textContent = shown.length > 1 ? `+${shown.length - 1}` : '…';
    more.setAttribute('aria-label', t('moreNotices', { n: Math.max(0, shown.length - 1) }));
    strip.classList.toggle('noticed', shown.length > 0);
    if (shown.length === 0) open(false);
  };
  more.onclick = () => open(more.getAttribute('aria-expanded') !== 'true');
  strip.append(more);
  new MutationObserver(count).observe(room, { subtree: true, attributes: true, attributeFilter: ['hidden'] });
  count();
}
