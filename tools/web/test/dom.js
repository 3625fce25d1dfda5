// A page in small, for tests of what stands where: elements in one column, each as
// high as it says, and frames that are drawn when the test says so.
import FakeTimers from '@sinonjs/fake-timers';

export const ROW = 100; // px, the height of a card
const GAP = 10;

class Node {
  static DOCUMENT_POSITION_PRECEDING = 2;
}

class FakeElement extends Node {
  constructor(name) {
    super();
    Object.assign(this, { name, children: [], parent: null, dataset: {}, style: {}, attributes: new Map(), words: '', className: '', id: '', hidden: false, tabIndex: 0, listeners: new Map(), needs: ROW });
    this.classList = {
      contains: (c) => this.className.split(' ').includes(c),
      toggle: (c, on) => {
        const names = this.className.split(' ').filter((n) => n && n !== c);
        this.className = [...names, ...(on ? [c] : [])].join(' ');
      },
    };
  }
  get textContent() {
    return this.words + this.children.map((c) => c.textContent).join('');
  }
  set textContent(text) {
    this.replaceChildren();
    this.words = text;
  }
  append(...nodes) {
    for (const node of nodes) {
      for (const e of node.name === '#fragment' ? [...node.children] : [node]) {
        e.remove();
        e.parent = this;
        this.children.push(e);
      }
    }
  }
  replaceChildren(...nodes) {
    for (const c of [...this.children]) c.remove();
    this.append(...nodes);
  }
  remove() {
    if (!this.parent) return;
    if (this.contains(document.activeElement)) document.activeElement = document.body;
    this.parent.children.splice(this.parent.children.indexOf(this), 1);
    this.parent = null;
  }
  contains(e) {
    for (let at = e; at; at = at.parent) if (at === this) return true;
    return false;
  }
  matches(selector) {
    return selector.split(', ').some((s) => {
      if (s === '#open > .alert') return this.classList.contains('alert') && this.parent?.id === 'open';
      if (s.startsWith('.')) return this.classList.contains(s.slice(1));
      return s === this.name;
    });
  }
  closest(selector) {
    for (let at = this; at; at = at.parent) if (at.matches(selector)) return at;
    return null;
  }
  get nextElementSibling() {
    return this.parent?.children[this.parent.children.indexOf(this) + 1] ?? null;
  }
  get previousElementSibling() {
    return this.parent?.children[this.parent.children.indexOf(this) - 1] ?? null;
  }
  compareDocumentPosition(other) {
    return this.parent.children.indexOf(other) < this.parent.children.indexOf(this) ? Node.DOCUMENT_POSITION_PRECEDING : 0;
  }
  /** As high as it was told to be, else as it needs. */
  get height() {
    return Number.parseFloat(this.style.height) || this.needs;
  }
  getBoundingClientRect() {
    let top = 0;
    for (const li of this.parent.children.slice(0, this.parent.children.indexOf(this))) top += li.height + GAP;
    return { left: 0, top, height: this.height };
  }
  setAttribute(name, value) {
    this.attributes.set(name, value);
  }
  getAttribute(name) {
    return this.attributes.get(name) ?? null;
  }
  removeAttribute(name) {
    this.attributes.delete(name);
  }
  focus() {
    document.activeElement = this;
  }
  animate() {
    const glide = { onfinish: null };
    setTimeout(() => glide.onfinish?.(), 180);
    return glide;
  }
  addEventListener(type, listen, options) {
    const unless = (e) => options?.signal?.aborted || listen(e);
    this.listeners.set(type, [...(this.listeners.get(type) ?? []), unless]);
  }
  /** Tells those who listen here and above, then the window. */
  dispatch(type, e) {
    const event = { type, preventDefault() {}, ...e };
    for (let at = this; at; at = at.parent) for (const listen of at.listeners.get(type) ?? []) listen(event);
    for (const listen of page.listeners.get(type) ?? []) listen(event);
  }
}

let page;

/** A page with a list #open; frames come each 16 ms of the virtual time. */
export function openPage(now) {
  page = new FakeElement('window');
  const body = new FakeElement('body');
  const list = new FakeElement('ul');
  list.id = 'open';
  body.append(list);
  const observed = new Set();
  const stands = {
    Node,
    Element: FakeElement,
    HTMLElement: FakeElement,
    document: {
      activeElement: body,
      body,
      hidden: false,
      documentElement: body,
      createElement: (name) => new FakeElement(name),
      createDocumentFragment: () => new FakeElement('#fragment'),
      addEventListener: () => {},
      /** The button in a card: accept in its right half, undo in its left. */
      elementFromPoint: (x, y) => {
        for (const li of list.children) {
          const { top, height } = li.getBoundingClientRect();
          if (y < top || y >= top + height) continue;
          const b = li.children.find((c) => c.classList.contains(x > 50 ? 'accept' : 'undo'));
          return b && !b.hidden ? b : li;
        }
        return list;
      },
    },
    addEventListener: page.addEventListener.bind(page),
    ResizeObserver: class {
      constructor(tell) {
        this.tell = tell;
      }
      observe(li) {
        observed.add(li);
        const height = li.height;
        queueMicrotask(() => this.tell([{ target: li, borderBoxSize: [{ blockSize: height }] }]));
      }
      unobserve(li) {
        observed.delete(li);
      }
      disconnect() {
        observed.clear();
      }
    },
    matchMedia: () => ({ matches: false }),
    innerHeight: 1000,
    scrollY: 0,
    visualViewport: undefined,
    window: globalThis,
    requestAnimationFrame: (f) => setTimeout(f, 16),
    cancelAnimationFrame: (id) => clearTimeout(id),
    navigator: { language: 'zh-CN' },
  };
  const real = new Map();
  for (const [name, value] of Object.entries(stands)) {
    real.set(name, Object.getOwnPropertyDescriptor(globalThis, name));
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  const clock = FakeTimers.install({ now, toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] });
  return {
    list,
    observed,
    pass: (ms) => clock.tickAsync(ms),
    end() {
      clock.uninstall();
      for (const [name, had] of real) {
        if (had) Object.defineProperty(globalThis, name, had);
        else delete globalThis[name];
      }
    },
  };
}
