// @ts-check
import { call, Refused } from './api.js';
import { language, t } from './i18n.js';
import { connect } from './ladder.js';
import { byID, element, fill, show } from './page.js';
import { age, alertKey, receive, rings } from './picture.js';

/**
 * @typedef {import('./picture.js').Alert} Alert
 * @typedef {import('./picture.js').Open} Open
 */

const RING_EVERY = 12_000; // ms, until accepted
const OFFLINE_AFTER = 5000; // ms before the red banner
const HEARING_EVERY = 60_000; // ms, as the contract has it
const HISTORY = 20;

/** One shop on the screen: its open alerts, its ringing, its link. */
export class Board {
  /** @param {{shop: number, speaker: import('./speaker.js').Speaker, speech: Record<string, {zh: string, en: string}>, onDenied: () => void}} options */
  constructor(options) {
    this.shop = options.shop;
    this.speaker = options.speaker;
    this.speech = options.speech;
    this.onDenied = options.onDenied;
    /** @type {Open} */
    this.open = [];
    /** @type {Alert[] | null} what came while a picture was being taken */
    this.meanwhile = null;
    /** @type {ReturnType<typeof connect> | null} */
    this.ladder = null;
    this.closed = false;
    this.offlineAt = 0;
    this.lastRing = 0;
    this.historyTimer = 0;
    /** @type {{a: Alert, stage: string, reason: string}[]} */
    this.reports = [];
    this.ticker = setInterval(() => this.tick(), 1000);
    this.hearing = setInterval(() => this.audible(), HEARING_EVERY);
    this.begin();
  }

  close() {
    this.closed = true;
    this.ladder?.close();
    clearInterval(this.ticker);
    clearInterval(this.hearing);
    clearTimeout(this.historyTimer);
  }

  /** The picture first, then the stream from its cursor. */
  async begin() {
    const cursor = await this.takePicture();
    if (this.closed) return;
    const storageKey = `doorbell.cursor ${this.shop}`;
    try {
      localStorage.setItem(storageKey, cursor);
    } catch {
      // Private mode: the cursor lives as long as the page.
    }
    this.ladder = connect({
      shops: [this.shop],
      after: cursor,
      storageKey,
      onAlert: (a) => this.arrive(/** @type {Alert} */ (a)),
      onReset: () => this.takePicture(),
      onState: (s) => this.showLink(s),
    });
  }

  /** Every open alert, and the cursor that it is of. @returns {Promise<string>} */
  async takePicture() {
    this.meanwhile = [];
    for (let wait = 500; !this.closed; wait = Math.min(wait * 2, 8000)) {
      try {
        /** @type {Alert[]} */
        const found = [];
        let cursor = '';
        for (let before = ''; before !== null; ) {
          const page = await call('GET', `api/v1/alerts?shop=${this.shop}&state=open&limit=500${before && `&before=${before}`}`);
          found.push(...page.alerts);
          cursor ||= page.cursor; // the first page's: later ones reach no further back than it
          before = page.next;
        }
        this.show(this.fold(found));
        this.readHistory();
        return cursor;
      } catch (err) {
        if (err instanceof Refused && err.status === 401) {
          this.onDenied();
          break;
        }
        await new Promise((done) => setTimeout(done, Math.random() * wait));
      }
    }
    return '';
  }

  /** @param {Alert[]} found @returns {Open} */
  fold(found) {
    /** @type {Open} */
    let open = [];
    for (const a of found) open = receive(open, a);
    for (const a of this.meanwhile ?? []) open = receive(open, a);
    this.meanwhile = null;
    return open;
  }

  /** @param {Alert} alert */
  arrive(alert) {
    this.meanwhile?.push(alert);
    this.show(receive(this.open, alert));
    clearTimeout(this.historyTimer);
    this.historyTimer = window.setTimeout(() => this.readHistory(), 300);
  }

  /**
   * Brings the screen to open; what was not there before is announced.
   * @param {Open} open
   */
  show(open) {
    const before = new Set(this.open.map(alertKey));
    const fresh = open.filter((a) => !before.has(alertKey(a)));
    this.open = open;
    const list = byID('open');
    const keep = new Set(open.map(alertKey));
    for (const li of [...list.children]) if (!keep.has(/** @type {HTMLElement} */ (li).dataset.key ?? '')) li.remove();
    for (const a of fresh) list.prepend(this.card(a));
    if (fresh.length > 0) this.announce(fresh);
    show('#empty', open.length === 0);
    document.title = open.length > 0 ? `(${open.length}) ${t('title')}` : t('title');
    this.tick();
  }

  /** @param {Alert} a */
  card(a) {
    const li = element('li', `alert type${a.type}`, '');
    li.dataset.key = alertKey(a);
    li.dataset.time = a.time;
    const name = a.type === 1 ? t('type1') : t('type2');
    const heading = element('h3', '', a.test ? `${name} · ${t('test')}` : name);
    const button = /** @type {HTMLButtonElement} */ (
      element('button', 'primary', a.type === 1 && a.source === 'order' ? t('accept') : t('gotIt'))
    );
    button.type = 'button';
    button.setAttribute('aria-label', `${button.textContent} ${a.content}`);
    button.onclick = () => this.accept(a, button);
    li.append(heading, element('p', 'content', a.content), element('p', 'facts', ''), button);
    return li;
  }

  /**
   * Shown, heard, and both reported. Several at once, as after a night, are
   * one ring with the sentence of the newest.
   * @param {Alert[]} fresh
   */
  async announce(fresh) {
    const newest = fresh[fresh.length - 1];
    fill('#announced', `${newest.type === 1 ? t('type1') : t('type2')} ${newest.content}`);
    for (const alert of fresh) {
      document.dispatchEvent(new CustomEvent('doorbell', { detail: { shown: alert } }));
      this.report(alert, 'shown', '');
    }
    this.lastRing = Date.now();
    const heard = await this.speaker.say(this.sentence(newest));
    document.dispatchEvent(new CustomEvent('doorbell', { detail: { heard, alert: newest } }));
    for (const alert of fresh) {
      if (heard === 'blocked') this.report(alert, 'silent', 'sound_not_unlocked');
      else this.report(alert, 'sounded', heard);
    }
  }

  /** @param {Alert} a */
  sentence(a) {
    const name = a.type === 1 ? t('type1') : t('type2');
    const said = this.speech[String(a.type)]?.[language] ?? '';
    return { type: a.type, lang: language, text: said.startsWith(name) ? said : `${name}，${said}` };
  }

  /** @param {Alert} a @param {string} stage @param {string} reason */
  report(a, stage, reason) {
    this.reports.push({ a, stage, reason });
    this.sendReports();
  }

  /** What the picture showed is reported after the first hello, which names this console. */
  sendReports() {
    const console = this.ladder?.state.console;
    if (!console) return;
    for (const { a, stage, reason } of this.reports.splice(0)) {
      call('POST', `api/v1/alerts/${a.shopId}/${a.seq}/receipts`, { console, stage, reason }).catch(() => {});
    }
  }

  /** @param {Alert} a @param {HTMLButtonElement} button */
  async accept(a, button) {
    button.disabled = true;
    try {
      const { alert } = await call('POST', `api/v1/alerts/${a.shopId}/${a.seq}/accept`, {});
      this.show(receive(this.open, alert));
    } catch (err) {
      button.disabled = false;
      fill('#error', t('failed', { why: err instanceof Error ? err.message : String(err) }));
      show('#error', true);
      setTimeout(() => show('#error', false), 8000);
    }
  }

  tick() {
    const now = Date.now();
    for (const li of byID('open').children) {
      const facts = li.querySelector('.facts');
      if (facts) facts.textContent = age(now - Date.parse(/** @type {HTMLElement} */ (li).dataset.time ?? ''));
    }
    if (this.ladder) this.showLink(this.ladder.state);
    if (this.open.length === 0 || now - this.lastRing < RING_EVERY) return;
    this.lastRing = now;
    this.speaker.say(this.sentence(this.open[this.open.length - 1]));
  }

  /** @param {import('./ladder.js').State} s */
  showLink(s) {
    const link = byID('link');
    link.dataset.state = s.state;
    link.dataset.transport = s.transport ?? '';
    if (s.state === 'open') {
      if (link.dataset.console !== s.console) {
        link.dataset.console = s.console;
        this.audible();
        this.sendReports();
      }
      this.offlineAt = 0;
      fill('#link', t(/** @type {import('./i18n.js').Key} */ (`open_${s.transport}`)));
    } else {
      this.offlineAt ||= Date.now();
      const key = s.state === 'connecting' && Date.now() - this.offlineAt > OFFLINE_AFTER ? 'offline' : s.state;
      fill('#link', t(key, { t: age(Date.now() - this.offlineAt) }));
    }
    show('#offline', this.offlineAt > 0 && Date.now() - this.offlineAt > OFFLINE_AFTER && s.state !== 'denied');
    if (s.state === 'denied') this.onDenied();
  }

  /** Tells the server whether this console can be heard. */
  audible() {
    const id = this.ladder?.state.console;
    if (!id || this.closed) return;
    const audible = this.speaker.unlocked;
    const body = { audible, reason: audible ? '' : 'sound_not_unlocked', label: navigator.platform.slice(0, 60) };
    call('PUT', `api/v1/consoles/${id}`, body).catch(() => {});
  }

  async readHistory() {
    try {
      const { alerts } = await call('GET', `api/v1/alerts?shop=${this.shop}&limit=${HISTORY}`);
      if (this.closed) return;
      show('#history-title', alerts.length > 0);
      byID('history').replaceChildren(
        ...alerts.map((/** @type {any} */ a) => {
          const li = element('li', '', '');
          const time = element('time', '', new Date(a.time).toLocaleTimeString(language));
          const state = rings(a) && a.state === 'open' ? t('waiting', { n: '' }).trim() : a.by ? `${t('by')} ${a.by}` : '';
          li.append(
            time,
            element('span', '', t(/** @type {import('./i18n.js').Key} */ (`type${a.type}`))),
            element('span', '', a.content),
            element('span', 'state', state),
          );
          return li;
        }),
      );
    } catch {
      // The list is a convenience: the next alert reads it again.
    }
  }
}
