// @ts-check

import { call, Refused } from '../../shared/api.js';
import { serverNow } from '../../shared/clock.js';
import { language, t } from '../../shared/i18n.js';
import { byID, fill, show } from '../../shared/page.js';
import { acceptFailed, contentOf } from '../../shared/say.js';
import { History } from '../history.js';
import { LinkStatus } from '../linkstatus.js';
import { isQuiet } from '../settings.js';
import { SharedStream } from '../sharedstream.js';
import { Ringer } from '../sound/ringer.js';
import { Voice } from '../sound/voice.js';
import { Accepts, ANSWER } from './accepts.js';
import { alertKey, orderKey, rings } from './alert.js';
import { Count } from './count.js';
import { Details } from './details.js';
import { HearingReport } from './hearingreport.js';
import { Orders } from './orders.js';
import { Receipts } from './receipts.js';
import { readOpen } from './snapshot.js';
import { Wall } from './wall.js';

/**
 * @typedef {import('./alert.js').Alert} Alert
 * @typedef {import('./orders.js').Card} Card
 * @typedef {import('../settings.js').Settings} Settings
 */

const TICK = '750'; // ms: the frame is as long there as away
// ms. The server takes a console for frozen 70 s after its last word: three words may be lost before that.
const HEARING_EVERY = 20_000;
const TOLD = 8000; // ms that an error stands

/** Shows one shop: its orders, its ringing, its link. */
export class Board {
  /**
   * @param {{shop: number, speaker: import('../sound/speaker.js').Speaker, speech: Record<string, {zh: string, en: string}>,
   *   settings: () => Settings, notHeard: () => boolean, onDenied: () => void, onVoice: () => void}} options
   */
  constructor(options) {
    this.shop = options.shop;
    this.o = options;
    this.status = new LinkStatus(options);
    this.details = new Details({
      shop: this.shop,
      ask: (path) => call('GET', path, undefined, { signal: AbortSignal.timeout(ANSWER) }),
      onRead: (alerts) => {
        for (const a of alerts) {
          const card = this.orders.describe(alertKey(a));
          if (card) this.wall.draw(card.order);
        }
      },
    });
    this.orders = new Orders((a) => this.details.of(a));
    /** @type {{alert: Alert, upTo: number}[] | null} what came while a snapshot was being read */
    this.meanwhile = null;
    /** @type {SharedStream | null} */
    this.link = null;
    this.closed = false;
    this.hearingReport = new HearingReport({ console: () => this.link?.state.console ?? '', hearing: () => this.hearing() });
    this.count = new Count(() => this.orders.size);
    /** @type {Map<string, number>} when this device first saw each order's card */
    this.arrived = new Map();
    this.receipts = new Receipts(() => this.link?.state.console ?? '');
    this.accepts = this.makeAccepts();
    this.wall = new Wall({
      list: byID('open'),
      card: (order) => this.orders.card(order),
      cards: () => [...this.orders.list()],
      accepts: () => this.accepts,
    });
    this.voice = new Voice({
      shop: this.shop,
      speaker: options.speaker,
      tell: (m) => this.link?.tell(m),
      onChange: () => {
        if (this.speaks === 'here') this.ringer.look();
        this.reportHearing();
        options.onVoice();
      },
    });
    this.ringer = this.makeRinger();
    this.history = new History(this.shop, (alerts) => this.details.learn(alerts));
    this.clock = new Worker(new URL('../ticker.js', import.meta.url), { name: TICK });
    this.clock.onmessage = () => {
      byID('frame').classList.toggle('off');
      this.tick();
    };
    this.onLeave = () => this.accepts.flush();
    addEventListener('pagehide', this.onLeave);
    this.begin();
  }

  makeAccepts() {
    return new Accepts({
      send: (card) => this.send(card),
      failed: (_, err) => this.showError(err),
      changed: (order) => {
        this.wall.draw(order);
        this.ringing();
      },
      tell: (m) => this.link?.tell(m),
    });
  }

  makeRinger() {
    const { speaker, settings } = this.o;
    return new Ringer({
      speaker,
      settings,
      ringing: () => this.waiting(),
      waited: (card) => this.waited(card),
      sentence: (a) => this.sentence(a),
      onRang: ({ heard, quiet, gain, newest, alerts }) => {
        document.dispatchEvent(new CustomEvent('doorbell', { detail: { heard, alert: newest, gain, quiet, alerts } }));
        for (const a of alerts) {
          if (heard === 'blocked') this.receipts.once(a, 'silent', 'sound_not_unlocked');
          else if (quiet) this.receipts.once(a, 'silent', 'quiet_hours');
          else if (heard === 'missed') this.receipts.once(a, 'silent', 'chime_not_heard');
          else this.receipts.once(a, 'sounded', heard);
        }
      },
    });
  }

  close() {
    this.closed = true;
    this.accepts.flush();
    this.ringer.close();
    this.voice.stop();
    this.link?.close();
    this.clock.terminate();
    this.count.close();
    this.history.close();
    this.details.close();
    this.receipts.close();
    this.wall.close();
    removeEventListener('pagehide', this.onLeave);
  }

  /** Reads the snapshot first, then follows the stream from its cursor. */
  async begin() {
    const after = await this.readSnapshot();
    if (this.closed) return;
    this.link = new SharedStream({
      shop: this.shop,
      after,
      onAlert: (a) => this.arrive(a),
      onReset: () => this.readSnapshot(),
      onState: (s) => this.showLink(s),
      onTell: (m) => this.told(m),
    });
    this.soundChanged();
  }

  /** Asks to be the tab that speaks, or gives that up, as sound was unlocked or lost. */
  soundChanged() {
    if (!this.link || this.closed) return;
    this.voice.follow();
    this.reportHearing();
  }

  /** @returns {'here' | 'elsewhere' | 'nowhere'} which tab of this browser speaks */
  get speaks() {
    return this.voice.speaks;
  }

  /** Takes a message of another tab. @param {any} m */
  told(m) {
    if (m.voice !== undefined) this.voice.told(m.voice);
    else if (m.pending !== undefined) this.accepts.told(m);
  }

  /** Reads every open alert, and returns the cursor that they are of. @returns {Promise<string>} */
  async readSnapshot() {
    this.meanwhile = [];
    for (let wait = 500; !this.closed; wait = Math.min(wait * 2, 8000)) {
      try {
        const { found, cursor } = await readOpen(this.shop);
        if (this.closed) break;
        this.showSnapshot(found);
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

  /** Makes the board show this snapshot, with what came while it was read. @param {Alert[]} found */
  showSnapshot(found) {
    const next = new Orders();
    next.replace(found);
    for (const { alert, upTo } of this.meanwhile ?? []) next.take(alert, upTo);
    this.meanwhile = null;
    this.details.learn(found);
    const before = [...this.orders.cards.values()];
    const fresh = this.orders.replace([...next.cards.values()].flatMap((c) => c.alerts));
    for (const card of before) if (this.orders.card(card.order)?.key !== card.key) this.cardClosed(card);
    for (const order of this.orders.cards.keys()) this.wall.draw(order);
    this.details.want(fresh);
    this.details.keep(new Set(this.orders.orderOf.keys()));
    if (fresh.length > 0) this.announce(fresh);
    this.ringing();
    this.count.changed();
  }

  /** @param {Alert} alert */
  arrive(alert) {
    const upTo = this.accepts.upTo(alert);
    this.meanwhile?.push({ alert, upTo });
    const change = this.orders.take(alert, upTo);
    this.history.readSoon();
    if (!change) return;
    if (change.what === 'closed') this.cardClosed(change.card);
    if (change.what === 'raised' && this.accepts.raised(change.card.order)) this.wall.takenBack(change.card.order);
    this.wall.draw(change.card.order);
    if (rings(alert)) {
      this.details.want([alert]);
      this.announce([alert]);
    }
    this.ringing();
    this.count.changed();
  }

  /** Forgets a card that is no longer open. @param {Card} card */
  cardClosed(card) {
    this.accepts.drop(card.order);
    this.arrived.delete(card.key);
    this.receipts.forget(card.alerts);
    this.ringer.forget(card.alerts);
    if (this.orders.size === 0) this.details.keep(new Set());
    this.wall.draw(card.order);
  }

  /** Returns the orders that nobody here is just accepting, oldest first. */
  waiting() {
    return this.orders.list().filter((c) => this.accepts.state(c.order) === 'open');
  }

  /** Returns how long an order has been open, in ms: by the server's clock, and at least since this device saw it. @param {Card} card */
  waited(card) {
    return Math.max(serverNow() - card.since, Date.now() - (this.arrived.get(card.key) ?? Date.now()));
  }

  /**
   * Shows and rings new alerts, and reports both. Several at once, as after a
   * night, are one ring with the sentence of the newest.
   * @param {Alert[]} fresh
   */
  announce(fresh) {
    for (const alert of fresh) {
      const key = this.orders.card(orderKey(alert))?.key ?? '';
      if (!this.arrived.has(key)) this.arrived.set(key, Date.now());
    }
    const newest = fresh[fresh.length - 1];
    this.count.say(`${newest.type === 1 ? t('type1') : t('type2')} ${contentOf(newest)}`);
    for (const alert of fresh) document.dispatchEvent(new CustomEvent('doorbell', { detail: { shown: alert } }));
    this.receipts.shown(fresh);
    this.notify(newest);
    if (this.speaks === 'here') this.ringer.look();
    else if (this.speaks === 'nowhere') for (const alert of fresh) this.receipts.once(alert, 'silent', 'sound_not_unlocked');
  }

  /** Shows a pop-up of the system where nobody looks at the page. @param {Alert} a */
  notify(a) {
    if (document.visibilityState === 'visible' || globalThis.Notification?.permission !== 'granted' || !this.link?.leads) return;
    try {
      const n = new Notification(a.type === 1 ? t('type1') : t('type2'), { body: contentOf(a), tag: alertKey(a) });
      n.onclick = () => window.focus();
    } catch {
      // Android takes them from a service worker only, which gets a push.
    }
  }

  /** Flashes the frame as long as something rings that nobody is accepting. */
  ringing() {
    const rings = [...this.orders.cards.keys()].some((order) => this.accepts.state(order) === 'open');
    if (document.body.classList.contains('ringing') !== rings) document.body.classList.toggle('ringing', rings);
  }

  /** @param {Alert} a */
  sentence(a) {
    const name = a.type === 1 ? t('type1') : t('type2');
    const said = this.o.speech[String(a.type)]?.[language] ?? '';
    const text = said.startsWith(name) ? said : `${name}，${said}`;
    const { number } = this.o.settings();
    const tail = number && a.number ? `，${t('endingIn', { n: [...a.number.slice(-4)].join(' ') })}` : '';
    return { type: a.type, lang: language, text: text + tail };
  }

  /** Sends an accept: one call closes all alerts that the order has. @param {Card} card */
  async send({ newest }) {
    const { alert } = await call(
      'POST',
      `api/v1/alerts/${newest.shopId}/${newest.seq}/accept`,
      {},
      {
        keepalive: true,
        signal: AbortSignal.timeout(ANSWER),
      },
    );
    this.arrive(alert);
  }

  /** @param {unknown} err */
  showError(err) {
    fill('#error', acceptFailed(err));
    show('#error', true);
    setTimeout(() => show('#error', false), TOLD);
  }

  /** Takes the last press back, as by a key. */
  undo() {
    const order = this.accepts.last();
    if (order) this.accepts.undo(order);
  }

  tick() {
    const now = Date.now();
    if (this.link) this.showLink(this.link.state);
    const waiting = this.waiting();
    this.wall.tick(waiting.length > 0);
    this.voice.tick(now);
    if (this.speaks === 'here') {
      this.ringer.look();
      this.status.alarm(now);
    }
    this.receipts.again(now);
    if (now - this.hearingReport.at < HEARING_EVERY) return;
    this.details.keep(new Set(this.orders.orderOf.keys()));
    this.details.refresh(this.orders.list().flatMap((c) => c.alerts));
    this.reportHearing();
  }

  /** @param {import('../../client/ladder.js').State} s */
  showLink(s) {
    const known = byID('link').dataset.console === s.console;
    const back = !known || byID('link').dataset.state !== 'open';
    this.status.show(s, this.link?.leads ?? false);
    if (s.state === 'open') {
      if (!known) {
        this.reportHearing();
        this.details.again();
      }
      if (back) this.receipts.send(); // this is called at each tick
    }
    if (s.state === 'denied') this.o.onDenied();
  }

  /** Tells the server whether this console can be heard: the tab that speaks says yes, the one that leads says no. */
  reportHearing() {
    if (!this.link?.state.console || this.closed) return;
    const { speaks } = this;
    if (speaks === 'elsewhere' || (speaks === 'nowhere' && !this.link?.leads)) return;
    this.hearingReport.send();
  }

  hearing() {
    const deaf = this.deaf();
    const quiet = isQuiet(this.o.settings(), new Date()) ? 'quiet_hours' : '';
    const heard = this.o.speaker.ear.state === 'heard' ? 'chime_heard' : '';
    return { audible: deaf === '', reason: deaf || quiet || heard, label: navigator.platform.slice(0, 60) };
  }

  /** Says why this console can't be heard; empty if it can. */
  deaf() {
    if (this.speaks === 'nowhere') return 'sound_not_unlocked';
    if (this.o.notHeard()) return 'not_heard';
    return this.speaks === 'here' && this.o.speaker.ear.deaf ? 'chime_not_heard' : '';
  }
}
