// @ts-check
/** Returns localStorage, or the page's own memory where it is forbidden. @returns {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>} */
export function storage() {
  try {
    const s = globalThis.localStorage;
    s.setItem('doorbell.probe', '1');
    s.removeItem('doorbell.probe');
    return s;
  } catch {
    /** @type {Map<string, string>} */
    const m = new Map();
    return { getItem: (k) => m.get(k) ?? null, setItem: (k, v) => void m.set(k, v), removeItem: (k) => void m.delete(k) };
  }
}
