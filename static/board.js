// @ts-check
import { call, Refused } from './api.js';
import { History } from './history.js';
import { language, t } from './i18n.js';
import { byID, element, fill, show } from './page.js';
import { age, alertKey, receive } from './picture.js';
import { due, how, LEVELS } from './ringing.js';
import { isQuiet } from './settings.js';
import { Shared } from './shared.js';
import { Role } from './tabs.js';

/**
 * @typedef {import('./picture.js').Alert} Alert
 * @typedef {import('./picture.js').Open} Open
 * @typedef {import('./settings.js').Settings} Settings
 */

const OFFLINE_AFTER = 5000; // ms before the red banner
const ALARM_EVERY = 15_000; // ms, while offline
const HEARING_EVERY = 60_000; // ms, as the contract has it
const VOICE_TOLD = 5000; // ms between two words of the tab that speaks
const VOICE_LOST = 12_000; // ms without a word: no tab speaks
const UNDO = 5000; // ms before an accept goes out
const ANSWER = 10_000; // ms for its answer: without one the alert rings on

/** One shop on the screen: its open alerts, its ringing, its link. */
export class Board {
  /**
   * @param {{shop: number, speaker: import('./speaker.js').Speaker, speech: Record<string, {zh: string, en: string}>,
   *   settings: () => Settings, notHeard: () => boolean, onDenied: () => void, onVoice: () => void}} options
   */
  constructor(options) {
    this.shop = options.shop;
    this.speaker = options.speaker;
    this.o = options;
    /** @type {Open} */
    this.open = [];
    /** @type {Alert[] | null} what came while a picture was being taken */
    this.meanwhile = null;
    /** @type {Shared | null} */
    this.link = null;
    /** @type {Role | null} asked for by tabs whose sound is unlocked */
    this.voice = null;
    this.voiceElsewhere = 0;
    this.voiceTold = 0;
    this.closed = false;
    this.offlineAt = 0;
    this.lastRing = 0;
    this.lastAlarm = 0;
    this.hearingAt = 0;
    /** @type {Map<string, number>} when this device first saw each */
    this.arrived = new Map();
    /** @type {Map<string, {timer: number, send: (() => void) | null}>} accepts under way; send is null for another tab's */
    this.pending = new Map();
    /** @type {Set<string>} what was reported of the open alerts: KEY STAGE */
    this.reported = new Set();
    this.sounding = 0; // rings that play or wait to
    /** @type {{a: Alert, stage: string, reason: string}[]} */
    this.reports = [];
    /** @type {Alert[]} on a page that nobody can look at just now */
    this.unseen = [];
    this.onLook = () => this.seen();
    document.addEventListener('visibilitychange', this.onLook);
    this.history = new History(this.shop);
    let ticks = 0;
    this.clock = new Worker(new URL('./ticker.js', import.meta.url));
    this.clock.onmessage = () => ++ticks % 6 === 0 && this.tick();
    this.onLeave = () => this.sendPending();
    addEventListener('pagehide', this.onLeave);
    this.begin();
  }

  close() {
    this.closed = true;
    this.sendPending();
    this.link?.close();
    this.voice?.stop();
    this.clock.terminate();
    this.history.close();
    removeEventListener('pagehide', this.onLeave);
    document.removeEventListener('visibilitychange', this.onLook);
  }

  /** The picture first, then the stream from its cursor. */
  async begin() {
    const after = await this.takePicture();
    if (this.closed) return;
    this.link = new Shared({
      shop: this.shop,
      after,
      onAlert: (a) => this.arrive(a),
      onReset: () => this.takePicture(),
      onState: (s) => this.showLink(s),
      onTell: (m) => this.told(m),
    });
    this.hear();
  }

  /** Asks to be the tab that speaks, once sound is unlocked. */
  hear() {
    if (!this.link || this.closed) return;
    if (this.speaker.unlocked && !this.voice) {
      this.speaker.preload(language);
      this.voice = new Role(`voice ${this.shop}`, { onGain: () => this.gainVoice(), onLose: () => this.o.onVoice() });
    } else if (!this.speaker.unlocked && this.voice) {
      this.voice.stop();
      this.voice = null;
      this.link.tell({ voice: false });
    }
    this.audible();
  }

  gainVoice() {
    this.voiceTold = 0;
    this.tick();
    this.audible();
    this.o.onVoice();
  }

  /** @returns {'here' | 'elsewhere' | 'nowhere'} which tab of this browser speaks */
  get speaks() {
    if (this.voice?.held && this.speaker.unlocked) return 'here';
    return Date.now() - this.voiceElsewhere < VOICE_LOST ? 'elsewhere' : 'nowhere';
  }

  /** What another tab says. @param {any} m */
  told(m) {
    if (m.voice !== undefined) {
      this.voiceElsewhere = m.voice ? Date.now() : 0;
      this.o.onVoice();
    } else if (m.pending !== undefined) {
      const card = this.cardOf(m.pending);
      if (card) card.dataset.elsewhere = m.on ? 'yes' : '';
      clearTimeout(this.pending.get(m.pending)?.timer);
      this.pending.delete(m.pending);
      // That tab may be gone before its accept: then it rings on here.
      if (m.on) this.pending.set(m.pending, { timer: window.setTimeout(() => this.pending.delete(m.pending), UNDO + ANSWER), send: null });
    }
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
        this.history.read();
        return cursor;
      } catch (err) {
        if (err instanceof Refused && err.status === 401) {
          this.o.onDenied();
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
    this.history.readSoon();
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
    for (const key of [...this.arrived.keys()]) if (!keep.has(key)) this.forget(key);
    for (const a of fresh) {
      this.arrived.set(alertKey(a), Date.now());
      list.prepend(this.card(a));
    }
    if (fresh.length > 0) this.announce(fresh);
    show('#empty', open.length === 0);
    const title = t('title');
    document.title = open.length > 0 ? `(${open.length}) ${title}` : title;
    document.body.classList.toggle('ringing', open.length > 0);
    const badge = /** @type {any} */ (navigator);
    (open.length > 0 ? badge.setAppBadge?.(open.length) : badge.clearAppBadge?.())?.catch(() => {});
    this.tick();
  }

  /** @param {string} key */
  forget(key) {
    clearTimeout(this.pending.get(key)?.timer);
    this.pending.delete(key);
    this.arrived.delete(key);
    for (const stage of ['sounded', 'silent']) this.reported.delete(`${key} ${stage}`);
  }

  /** @param {string} key @returns {HTMLElement | undefined} */
  cardOf(key) {
    return /** @type {HTMLElement[]} */ ([...byID('open').children]).find((li) => li.dataset.key === key);
  }

  /** @param {Alert} a */
  card(a) {
    const li = element('li', `alert type${a.type}`, '');
    li.dataset.key = alertKey(a);
    li.dataset.time = a.time;
    const name = a.type === 1 ? t('type1') : t('type2');
    const heading = element('h2', '', a.test ? `${name} · ${t('test')}` : name);
    const button = /** @type {HTMLButtonElement} */ (element('button', 'primary', this.acceptWord(a)));
    button.type = 'button';
    button.setAttribute('aria-label', `${button.textContent} ${a.content}`);
    button.onclick = () => this.accept(a, button);
    li.append(heading, element('p', 'content', a.content), element('p', 'facts', ''), button);
    return li;
  }

  /** @param {Alert} a */
  acceptWord(a) {
    return a.type === 1 && a.source === 'order' ? t('accept') : t('gotIt');
  }

  /**
   * Shown, heard, and both reported. Several at once, as after a night, are
   * one ring with the sentence of the newest.
   * @param {Alert[]} fresh
   */
  announce(fresh) {
    const newest = fresh[fresh.length - 1];
    fill('#announced', `${newest.type === 1 ? t('type1') : t('type2')} ${newest.content}`);
    for (const alert of fresh) document.dispatchEvent(new CustomEvent('doorbell', { detail: { shown: alert } }));
    this.unseen.push(...fresh);
    this.seen();
    this.notify(newest);
    if (this.speaks === 'here') {
      const s = { now: Date.now(), settings: this.o.settings() };
      this.ring(how(newest, 0, LEVELS[0].gain, s));
    } else if (this.speaks === 'nowhere') {
      for (const alert of fresh) this.reportOnce(alert, 'silent', 'sound_not_unlocked');
    }
  }

  /** What is on the screen now is reported as shown. */
  seen() {
    if (document.visibilityState !== 'visible') return;
    for (const alert of this.unseen.splice(0)) this.report(alert, 'shown', '');
  }

  /** A pop-up of the system where the page is not looked at. @param {Alert} a */
  notify(a) {
    if (document.visibilityState === 'visible' || globalThis.Notification?.permission !== 'granted' || !this.link?.leads) return;
    try {
      const n = new Notification(a.type === 1 ? t('type1') : t('type2'), { body: a.content, tag: alertKey(a) });
      n.onclick = () => window.focus();
    } catch {
      // Android takes them from a service worker only, which gets a push.
    }
  }

  /** @param {import('./ringing.js').Ring} ring */
  async ring({ alert, gain, speak, quiet }) {
    this.lastRing = Date.now();
    if (this.sounding > 1) return; // a rush of orders: the ring that waits speaks for them, and the next one soon
    const settings = this.o.settings();
    const of = this.open; // what comes while it sounds was not heard with it
    this.sounding++;
    const heard = await this.speaker.say({
      ...this.sentence(alert, settings.number),
      gain,
      speak,
      tune: settings.tunes[alert.type === 1 ? '1' : '2'],
      wake: settings.awake,
    });
    this.sounding--;
    document.dispatchEvent(new CustomEvent('doorbell', { detail: { heard, alert, gain, quiet } }));
    for (const a of of) {
      if (heard === 'blocked') this.reportOnce(a, 'silent', 'sound_not_unlocked');
      else if (quiet) this.reportOnce(a, 'silent', 'quiet_hours');
      else this.reportOnce(a, 'sounded', heard);
    }
  }

  /** However often it rings. @param {Alert} a @param {string} stage @param {string} reason */
  reportOnce(a, stage, reason) {
    const key = `${alertKey(a)} ${stage}`;
    if (this.reported.has(key)) return;
    this.reported.add(key);
    this.report(a, stage, reason);
  }

  /** @param {Alert} a @param {boolean} number */
  sentence(a, number) {
    const name = a.type === 1 ? t('type1') : t('type2');
    const said = this.o.speech[String(a.type)]?.[language] ?? '';
    const text = said.startsWith(name) ? said : `${name}，${said}`;
    const tail = number && a.number ? `，${t('endingIn', { n: [...a.number.slice(-4)].join(' ') })}` : '';
    return { type: a.type, lang: language, text: text + tail };
  }

  /** @param {Alert} a @param {string} stage @param {string} reason */
  report(a, stage, reason) {
    this.reports.push({ a, stage, reason });
    this.sendReports();
  }

  /** What the picture showed is reported after the first hello, which names this console. */
  sendReports() {
    const console = this.link?.state.console;
    if (!console) return;
    for (const { a, stage, reason } of this.reports.splice(0)) {
      call('POST', `api/v1/alerts/${a.shopId}/${a.seq}/receipts`, { console, stage, reason }).catch(() => {});
    }
  }

  /**
   * A tap silences at once here; it goes out when it can't be undone any more.
   * @param {Alert} a @param {HTMLButtonElement} button
   */
  accept(a, button) {
    const key = alertKey(a);
    const before = this.pending.get(key);
    const li = this.cardOf(key);
    if (before?.send) {
      clearTimeout(before.timer);
      this.pending.delete(key);
      this.link?.tell({ pending: key, on: false });
      button.textContent = this.acceptWord(a);
      li?.classList.remove('pending');
      return;
    }
    const send = () => this.send(a, button);
    clearTimeout(before?.timer);
    this.pending.set(key, { timer: window.setTimeout(send, UNDO), send });
    this.link?.tell({ pending: key, on: true });
    button.textContent = t('undo');
    li?.classList.add('pending');
  }

  /** @param {Alert} a @param {HTMLButtonElement} button */
  async send(a, button) {
    button.disabled = true;
    const key = alertKey(a);
    try {
      const { alert } = await call(
        'POST',
        `api/v1/alerts/${a.shopId}/${a.seq}/accept`,
        {},
        {
          keepalive: true,
          signal: AbortSignal.timeout(ANSWER),
        },
      );
      this.show(receive(this.open, alert));
    } catch (err) {
      this.pending.delete(key);
      this.link?.tell({ pending: key, on: false });
      this.cardOf(key)?.classList.remove('pending');
      button.disabled = false;
      button.textContent = this.acceptWord(a);
      fill('#error', t('failed', { why: err instanceof Error ? err.message : String(err) }));
      show('#error', true);
      setTimeout(() => show('#error', false), 8000);
    }
  }

  /** A page that goes takes its word back to nobody. */
  sendPending() {
    for (const { timer, send } of [...this.pending.values()]) {
      clearTimeout(timer);
      send?.();
    }
  }

  tick() {
    const now = Date.now();
    for (const li of byID('open').children) {
      const facts = li.querySelector('.facts');
      if (facts) facts.textContent = age(now - Date.parse(/** @type {HTMLElement} */ (li).dataset.time ?? ''));
    }
    if (this.link) this.showLink(this.link.state);
    if (this.speaks === 'here') {
      if (now - this.voiceTold >= VOICE_TOLD) {
        this.voiceTold = now;
        this.link?.tell({ voice: true });
      }
      const ring = due({
        open: this.open,
        pending: new Set(this.pending.keys()),
        key: alertKey,
        arrived: this.arrived,
        last: this.lastRing,
        now,
        settings: this.o.settings(),
      });
      if (ring) this.ring(ring);
      this.alarm(now);
    }
    if (now - this.hearingAt >= HEARING_EVERY) this.audible();
  }

  /** A console that hears nothing says so aloud. @param {number} now */
  alarm(now) {
    if (this.offlineAt === 0 || now - this.offlineAt < ALARM_EVERY || now - this.lastAlarm < ALARM_EVERY) return;
    this.lastAlarm = now;
    const { volume } = this.o.settings();
    this.speaker.say({ type: 0, text: '', lang: language, gain: volume, speak: false, tune: 'beep', wake: false });
  }

  /** @param {import('./ladder.js').State} s */
  showLink(s) {
    const link = byID('link');
    link.dataset.state = s.state;
    link.dataset.transport = s.transport ?? '';
    link.dataset.leads = String(this.link?.leads ?? false);
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
    const { quiet, quietTo } = this.o.settings();
    const hushed = quiet && isQuiet(this.o.settings(), new Date());
    show('#quiet', hushed);
    if (hushed) fill('#quiet', t('quietUntil', { t: quietTo }));
    if (s.state === 'denied') this.o.onDenied();
  }

  /** Tells the server whether this console can be heard: the tab that speaks says yes, the one that leads says no. */
  audible() {
    const id = this.link?.state.console;
    if (!id || this.closed) return;
    const { speaks } = this;
    if (speaks === 'elsewhere' || (speaks === 'nowhere' && !this.link?.leads)) return;
    this.hearingAt = Date.now();
    const deaf = speaks === 'nowhere' ? 'sound_not_unlocked' : this.o.notHeard() ? 'not_heard' : '';
    const quiet = isQuiet(this.o.settings(), new Date()) ? 'quiet_hours' : '';
    const body = { audible: deaf === '', reason: deaf || quiet, label: navigator.platform.slice(0, 60) };
    call('PUT', `api/v1/consoles/${id}`, body).catch(() => {});
  }
}
