// @ts-check
/** @param {string} id @returns {HTMLElement} */
export function byID(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id} on this page`);
  return found;
}

/** Text goes in as text only. @param {string} selector @param {string} text */
export function fill(selector, text) {
  const found = document.querySelector(selector);
  if (found && found.textContent !== text) found.textContent = text;
}

/** @param {string} selector @param {boolean} on */
export function show(selector, on) {
  const found = /** @type {HTMLElement | null} */ (document.querySelector(selector));
  if (found) found.hidden = !on;
}

/**
 * @param {string} name @param {string} className @param {string} text
 * @returns {HTMLElement}
 */
export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = text;
  return made;
}
