// @ts-check
import { language, t } from '../shared/i18n.js';
import { byID, fill, show } from '../shared/page.js';
import { age } from './board/alert.js';
import { showNewer } from './newer.js';
import { isQuiet } from './settings.js';

const OFFLINE_AFTER = 4500; // ms before the red banner, so that it stands at 5 s
const ALARM_EVERY = 15_000; // ms, while offline

/**
 * Shows the state of the link: in words, by the red banner, and by an alarm
 * while the page hears nothing from its server.
 */
export class LinkStatus {
  /** @param {{speaker: import('./sound/speaker.js').Speaker, settings: () => import('./settings.js').Settings}} options */
  constructor({ speaker, settings }) {
    this.speaker = speaker;
    this.settings = settings;
    this.offlineAt = 0; // since when, 0 while connected
    this.alarmAt = 0;
  }

  /** @param {import('../client/ladder.js').State} s @param {boolean} leads this tab holds the connection */
  show(s, leads) {
    const link = byID('link');
    const says = { state: s.state, transport: s.transport ?? '', leads: String(leads), console: s.console };
    for (const [name, value] of Object.entries(says)) if (link.dataset[name] !== value) link.dataset[name] = value;
    const now = Date.now();
    if (s.state === 'open') {
      this.offlineAt = 0;
      showNewer(s.version ?? '');
      fill('#link', t(/** @type {import('../shared/i18n.js').Key} */ (`open_${s.transport}`)));
    } else if (s.state === 'denied') {
      this.offlineAt = 0; // the server is there, and says no
      fill('#link', t('denied'));
    } else {
      this.offlineAt ||= now;
      const key = s.state === 'connecting' && now - this.offlineAt > OFFLINE_AFTER ? 'offline' : s.state;
      fill('#link', t(key, { t: age(now - this.offlineAt) }));
    }
    show('#offline', this.offlineAt > 0 && now - this.offlineAt > OFFLINE_AFTER);
    const { quiet, quietTo } = this.settings();
    const hushed = quiet && isQuiet(this.settings(), new Date(now));
    show('#quiet', hushed);
    if (hushed) fill('#quiet', t('quietUntil', { t: quietTo }));
  }

  /** Sounds while the page is offline; call it from a clock that hidden tabs have too. @param {number} now */
  alarm(now) {
    if (this.offlineAt === 0 || now - this.offlineAt < ALARM_EVERY || now - this.alarmAt < ALARM_EVERY) return;
    this.alarmAt = now;
    if (!this.speaker.unlocked) {
      // Some browsers let an installed page sound without a press; its test tone is the alarm then.
      this.speaker.unlock();
      return;
    }
    const { volume } = this.settings();
    this.speaker.say({ type: 0, text: '', lang: language, gain: volume, speak: false, tune: 'beep', wake: false, check: false });
  }
}
