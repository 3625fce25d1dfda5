// @ts-check
// What this page was made from. The server puts its own in this file's place;
// without one nothing is known to be newer.
export const build = { shell: '', version: '' };
