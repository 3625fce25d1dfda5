// @ts-check
import { en } from './texts.en.js';
import { zh } from './texts.zh.js';

export const texts = { zh, en };

/** @typedef {keyof typeof en} Key */

const asked = new URLSearchParams(globalThis.location?.search ?? '').get('lang') ?? globalThis.navigator?.language ?? 'zh';

/** @type {'zh' | 'en'} */
export const language = asked.toLowerCase().startsWith('zh') ? 'zh' : 'en';

/**
 * The text of a key: {name} is a value, {n|one|many} the word that goes with a number.
 * @param {Key} key @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  return texts[language][key].replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, name, one, many) =>
    one === undefined ? String(values[name] ?? '') : Number(values[name]) === 1 ? one : many,
  );
}
