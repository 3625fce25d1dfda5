// @ts-check
// The answer to the daily question whether a sound was heard on this device.

const KEY = 'doorbell.heard'; // "yes DAY" or "no DAY"

let word = ''; // the same, as long as the page lives: where storage is forbidden it is all there is

/** Returns today in this device's words. */
const today = () => new Date().toDateString();

/** Returns what somebody answered today, 'yes' or 'no'; empty while nobody has. */
export function heardToday() {
  let kept = '';
  try {
    kept = localStorage.getItem(KEY) ?? '';
  } catch {
    // Private mode: the page's own memory.
  }
  const [answer] = [word, kept].map((k) => k.split(' ')).find(([, ...day]) => day.join(' ') === today()) ?? [''];
  return answer;
}

/** Keeps today's answer. @param {'yes' | 'no'} said */
export function keepHeard(said) {
  word = `${said} ${today()}`;
  try {
    localStorage.setItem(KEY, word);
  } catch {
    // Private mode: asked again when the page is loaded again.
  }
}
