// @ts-check
import { call } from '../shared/api.js';
import { t } from '../shared/i18n.js';
import { byID, element, show } from '../shared/page.js';

/**
 * @typedef {{p50: number, p95: number, n: number}} Spread
 * @typedef {{day: string, orders: number, reminders: number, open: number, unheard: number, sounded: Spread, accepted: Spread, hours: {alerts: number, accepted: Spread}[]}} Figures
 */

const EVERY = 60_000; // ms
const SVG = 'http://www.w3.org/2000/svg';

/** @param {number} n */
const seconds = (n) => t('seconds', { n: n < 10 ? n.toFixed(1) : Math.round(n) });

/** @param {Spread} s */
const spread = (s) => (s.n === 0 ? '–' : `${seconds(s.p50)} / ${seconds(s.p95)}`);

/**
 * The bars of a day: x, height and what each says; heights are of 1.
 * @param {Figures['hours']} hours
 */
export function bars(hours) {
  const most = Math.max(1, ...hours.map((h) => h.alerts));
  return hours.map((h, i) => ({
    x: i,
    height: h.alerts / most,
    label: `${String(i).padStart(2, '0')}:00 ${h.alerts} · ${spread(h.accepted)}`,
  }));
}

/** Shows the day in figures and a small chart. */
export class FiguresPanel {
  /** @param {number} shop */
  constructor(shop) {
    this.shop = shop;
    this.closed = false;
    this.timer = window.setInterval(() => this.read(), EVERY);
    this.read();
  }

  close() {
    this.closed = true;
    clearInterval(this.timer);
  }

  async read() {
    try {
      /** @type {Figures} */
      const f = await call('GET', `api/v1/shops/${this.shop}/figures`);
      if (!this.closed) this.show(f);
    } catch {
      // Asked again in a minute.
    }
  }

  /** @param {Figures} f */
  show(f) {
    show('#figures-part', f.orders + f.reminders > 0);
    const facts = [
      [t('figOrders'), String(f.orders), ''],
      [t('figReminders'), String(f.reminders), ''],
      [t('figUnheard'), String(f.unheard), f.unheard > 0 ? 'bad-text' : ''],
      [t('figSounded'), spread(f.sounded), ''],
      [t('figAccepted'), spread(f.accepted), ''],
    ];
    const list = byID('figures');
    list.replaceChildren(
      ...facts.map(([name, value, kind]) => {
        const box = element('div', kind, '');
        box.append(element('dt', '', name), element('dd', '', value));
        return box;
      }),
    );
    const hours = element('p', 'hours', '');
    hours.append(...['0', '6', '12', '18', '24'].map((h) => element('span', '', h)));
    hours.setAttribute('aria-hidden', 'true');
    byID('chart').replaceChildren(this.chart(f), hours);
  }

  /** @param {Figures} f */
  chart(f) {
    const svg = document.createElementNS(SVG, 'svg');
    svg.setAttribute('viewBox', '0 0 240 40');
    svg.setAttribute('preserveAspectRatio', 'none');
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', t('figChart'));
    for (const bar of bars(f.hours)) {
      const rect = document.createElementNS(SVG, 'rect');
      const height = Math.max(bar.height * 38, 0.5);
      for (const [name, value] of Object.entries({ x: bar.x * 10 + 1, y: 40 - height, width: 8, height }))
        rect.setAttribute(name, String(value));
      const title = document.createElementNS(SVG, 'title');
      title.textContent = bar.label;
      rect.append(title);
      svg.append(rect);
    }
    return svg;
  }
}
