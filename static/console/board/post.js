// @ts-check
import { Away, call, Refused } from '../../shared/api.js';
import { language } from '../../shared/i18n.js';

/**
 * Posts from a worker (postworker.js): what is asked here costs the main thread two
 * short messages. For what nobody waits for.
 *
 * @typedef {{done: (v: null) => void, failed: (err: unknown) => void}} Asked
 */

/** @type {Worker | null} one for the page: what is under way outlives a board */
let worker = null;
let broken = false; // it could not be loaded: the page posts by itself
let last = 0;

/** @type {Map<number, Asked>} */
const asked = new Map();

function startWorker() {
  const worker = new Worker(new URL('./postworker.js', import.meta.url));
  worker.onmessage = ({ data: { id, status, problem } }) => {
    const a = asked.get(id);
    asked.delete(id);
    if (status === 0) a?.failed(new Away(null));
    else if (status >= 300) a?.failed(new Refused(status, problem));
    else a?.done(null);
  };
  worker.onerror = () => {
    broken = true;
    for (const a of asked.values()) a.failed(new Away(null));
    asked.clear();
  };
  return worker;
}

/** @param {string} path @param {unknown} body @returns {Promise<null>} */
export function post(path, body) {
  if (broken) return call('POST', path, body);
  worker ??= startWorker();
  const id = ++last;
  worker.postMessage({ id, path, body: JSON.stringify(body), language });
  return new Promise((done, failed) => asked.set(id, { done, failed }));
}
