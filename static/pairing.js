// @ts-check
/**
 * A link that signs a device in for good: #pair=TICKET&shop=NAME&name=NAME.
 * The names are only shown; the ticket decides.
 *
 * @typedef {{ticket: string, shop: string, name: string}} Pairing
 */

/** @param {string} hash @returns {Pairing | null} */
export function parsePairing(hash) {
  const q = new URLSearchParams(hash.replace(/^#/, ''));
  const ticket = q.get('pair') ?? '';
  if (!/^[0-9A-Za-z]{8,64}$/.test(ticket)) return null;
  return { ticket, shop: (q.get('shop') ?? '').slice(0, 100), name: (q.get('name') ?? '').slice(0, 100) };
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

/** What a device says that it is, in a few words. @param {string} agent */
export function deviceLabel(agent) {
  const system = ['Android', 'iPad', 'iPhone', 'Windows', 'Macintosh', 'CrOS', 'Linux'].find((s) => agent.includes(s)) ?? '?';
  const browser =
    ['Edg', 'HuaweiBrowser', 'MiuiBrowser', 'SamsungBrowser', 'Firefox', 'Chrome', 'Safari'].find((b) => agent.includes(b)) ?? '?';
  return `${system} ${browser === 'Edg' ? 'Edge' : browser}`;
}
