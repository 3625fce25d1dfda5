// @ts-check
import { build } from '../build.js';
import { t } from '../shared/i18n.js';
import { byID, fill, show } from '../shared/page.js';

/**
 * Tells, calmly, that the server is another program than this page. Nothing is
 * loaded anew by itself: the page would fall silent until somebody presses for
 * sound again.
 * @param {string} version the server's, of its hello
 */
export function showNewer(version) {
  const another = build.version !== '' && version !== '' && version !== build.version;
  if (another === !byID('newer').hidden) return;
  show('#newer', another);
  fill('#newer span', t('newer'));
  fill('#reload', t('reload'));
  byID('reload').onclick = reload;
}

function reload() {
  if (document.querySelector('#open .alert')) fill('#newer span', t('newerLater'));
  else location.reload();
}
