// @ts-check
import { heardTime } from './clock.js';
import { language } from './i18n.js';

/** Where the server is, whatever path it is under. */
export const base = new URL('../..', import.meta.url).href;

/** What the server said no to. */
export class Refused extends Error {
  /** @param {number} status @param {{detail?: string, code?: string}} problem */
  constructor(status, problem) {
    super(problem.detail ?? `HTTP ${status}`);
    this.status = status;
    this.code = problem.code ?? '';
  }
}

/** The server did not answer: it is away, the way to it is cut, or it took too long. */
export class Away extends Error {
  /** @param {unknown} cause */
  constructor(cause) {
    super('no answer', { cause });
    this.hung = cause instanceof DOMException && cause.name === 'TimeoutError';
  }
}

/**
 * @param {string} method @param {string} path @param {unknown} [body] @param {{keepalive?: boolean, signal?: AbortSignal}} [how]
 * @returns {Promise<any>} the answer, null when it has no body
 */
export async function call(method, path, body, how = {}) {
  const res = await ask(path, {
    method,
    ...how,
    cache: 'no-store',
    credentials: 'same-origin',
    // The server says what is wrong in the page's language, which may not be the browser's.
    headers: { 'Accept-Language': language, ...(body !== undefined && { 'Content-Type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  // What a worker kept of the shell has the time of when it was kept.
  if (path.startsWith('api/')) heardTime(Date.parse(res.headers.get('Date') ?? ''));
  if (!res.ok) throw new Refused(res.status, await res.json().catch(() => ({})));
  return res.status === 204 ? null : res.json();
}

/** @param {string} path @param {RequestInit} how */
async function ask(path, how) {
  try {
    return await fetch(base + path, how);
  } catch (err) {
    throw new Away(err);
  }
}
