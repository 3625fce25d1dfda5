// @ts-check
/** Returns an element that must be on the page. @param {string} id @returns {HTMLElement} */
export function byID(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no #${id} on this page`);
  return found;
}

/** Writes text into an element, as text only. @param {string} selector @param {string} text */
export function fill(selector, text) {
  const found = document.querySelector(selector);
  if (found && found.textContent !== text) found.textContent = text;
}

/** Shows or hides an element. @param {string} selector @param {boolean} on */
export function show(selector, on) {
  const found = /** @type {HTMLElement | null} */ (document.querySelector(selector));
  if (found && found.hidden === on) found.hidden = !on; // written anew, it wakes who watches the page
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
