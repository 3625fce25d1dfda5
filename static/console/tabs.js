// @ts-check
/**
 * A role that one tab of a browser has at a time. Web Locks give it away at
 * once when a tab closes or crashes; pages on plain http have none, and share a
 * lease in localStorage instead, renewed by a worker's clock.
 *
 * @typedef {{onGain: () => void, onLose: () => void}} Holder
 */

const LEASE = 600; // ms; the holder renews it each 150. Its end, a look and a second one: 0.9 s without a holder at the most

/** @returns {string} crypto.randomUUID is missing on plain http */
export const tabID = () => Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join('');

/**
 * Returns who holds a lease now, after tab asked for it.
 * @param {string | null} kept what stands in storage: "TAB UNTIL"
 * @param {string} tab @param {number} now
 * @returns {{mine: boolean, write: string | null}} what to write, if anything
 */
export function claim(kept, tab, now) {
  const [holder, until] = (kept ?? '').split(' ');
  const free = !holder || !(Number(until) > now) || Number(until) > now + 10 * LEASE; // a clock that was set back
  if (holder === tab || free) return { mine: holder === tab, write: `${tab} ${now + LEASE}` };
  return { mine: false, write: null };
}

export class Role {
  /** @param {string} name @param {Holder} holder */
  constructor(name, holder) {
    this.name = `doorbell.role ${name}`;
    this.holder = holder;
    this.held = false;
    this.stopped = false;
    this.tab = tabID();
    this.release = () => {};
    this.onHide = () => this.give();
    if (navigator.locks) this.lock();
    else this.lease();
  }

  lock() {
    const abort = new AbortController();
    this.release = () => abort.abort();
    navigator.locks
      .request(this.name, { signal: abort.signal }, () => {
        if (this.stopped) return;
        this.gain();
        return new Promise((done) => {
          this.release = () => done(undefined);
        });
      })
      .catch(() => {}); // given up before it came
  }

  lease() {
    const look = () => {
      if (this.stopped) return;
      const { mine, write } = claim(localStorage.getItem(this.name), this.tab, Date.now());
      if (write) localStorage.setItem(this.name, write);
      // Mine only at the second look: of two that wrote at once, the last one stays.
      if (mine !== this.held) mine ? this.gain() : this.lose();
    };
    const clock = new Worker(new URL('./ticker.js', import.meta.url));
    clock.onmessage = look;
    const onStorage = (/** @type {StorageEvent} */ e) => e.key === this.name && e.newValue === null && look();
    addEventListener('storage', onStorage);
    addEventListener('pagehide', this.onHide);
    this.release = () => {
      clock.terminate();
      removeEventListener('storage', onStorage);
      removeEventListener('pagehide', this.onHide);
      this.give();
    };
    look();
  }

  /** Gives the lease up at once, not when its time is over. */
  give() {
    if (localStorage.getItem(this.name)?.startsWith(`${this.tab} `)) localStorage.removeItem(this.name);
  }

  gain() {
    this.held = true;
    this.holder.onGain();
  }

  lose() {
    this.held = false;
    if (!this.stopped) this.holder.onLose();
  }

  /** Gives the role up, or stops waiting for it. */
  stop() {
    this.stopped = true;
    this.held = false;
    this.release();
  }
}
