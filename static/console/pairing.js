// @ts-check
/**
 * A link that signs a device in for good: #pair=TICKET. What it opens the server
 * says, not the link: whoever sends one could write any shop's name into it.
 *
 * @typedef {{ticket: string}} Pairing
 */

/** @param {string} hash @returns {Pairing | null} */
export function parsePairing(hash) {
  const ticket = new URLSearchParams(hash.replace(/^#/, '')).get('pair') ?? '';
  return /^[0-9A-Za-z]{8,64}$/.test(ticket) ? { ticket } : null;
}

/**
 * An app's own browser forgets its sign-in, has no sound in the background and
 * closes with the app: nothing is spent in it.
 * @param {string} agent
 */
export function inApp(agent) {
  return /MicroMessenger|AlipayClient|DingTalk|Lark\/|Feishu|Weibo|\bQQ\/|QQTheme|aweme|ToutiaoMicroApp|baiduboxapp|FBAN|FBAV|Instagram|\bLine\//i.test(
    agent,
  );
}

/** Returns what a device says that it is, in a few words. @param {string} agent */
export function deviceLabel(agent) {
  const system = ['Android', 'iPad', 'iPhone', 'Windows', 'Macintosh', 'CrOS', 'Linux'].find((s) => agent.includes(s)) ?? '?';
  const browser =
    ['Edg', 'HuaweiBrowser', 'MiuiBrowser', 'SamsungBrowser', 'Firefox', 'Chrome', 'Safari'].find((b) => agent.includes(b)) ?? '?';
  return `${system} ${browser === 'Edg' ? 'Edge' : browser}`;
}
