// @ts-check
// A worker that sends what the page has to tell its server. A request takes a
// slow device's main thread several milliseconds; in a rush there are dozens a
// second, and the page is to draw cards meanwhile.
const PATIENCE = 10_000; // ms for the server's answer

/** @typedef {{id: number, path: string, body: string, language: string}} Post */

const base = new URL('../../..', self.location.href).href;

/** @param {Post} letter @returns {Promise<{status: number, problem: unknown}>} status 0: no answer */
async function deliver({ path, body, language }) {
  try {
    const res = await fetch(base + path, {
      method: 'POST',
      cache: 'no-store',
      credentials: 'same-origin',
      headers: { 'Accept-Language': language, 'Content-Type': 'application/json' },
      body,
      signal: AbortSignal.timeout(PATIENCE),
    });
    return { status: res.status, problem: res.ok ? null : await res.json().catch(() => ({})) };
  } catch {
    return { status: 0, problem: null };
  }
}

self.onmessage = async (/** @type {MessageEvent<Post>} */ e) => postMessage({ id: e.data.id, ...(await deliver(e.data)) });
