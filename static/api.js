// @ts-check
/** Where the server is, whatever path it is under. */
export const base = new URL('..', import.meta.url).href;

/** What the server said no to. */
export class Refused extends Error {
  /** @param {number} status @param {{detail?: string, code?: string}} problem */
  constructor(status, problem) {
    super(problem.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? '';
  }
}

/**
 * @param {string} method @param {string} path @param {unknown} [body] @param {{keepalive?: boolean, signal?: AbortSignal}} [how]
 * @returns {Promise<any>} the answer, null when it has no body
 */
export async function call(method, path, body, how = {}) {
  const res = await fetch(base + path, {
    method,
    ...how,
    cache: 'no-store',
    credentials: 'same-origin',
    headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (!res.ok) throw new Refused(res.status, await res.json().catch(() => ({})));
  return res.status === 204 ? null : res.json();
}
