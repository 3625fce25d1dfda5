// @ts-check

/**
 * Subscribes to pushes under the server's key. A subscription under another key,
 * of a server before it was restored without its push keys, is ended first:
 * beside it a browser refuses the new one for ever.
 * @param {Pick<PushManager, 'getSubscription' | 'subscribe'>} manager
 * @param {Uint8Array<ArrayBuffer>} key the server's
 */
export async function subscribe(manager, key) {
  const old = await manager.getSubscription();
  const under = old?.options.applicationServerKey;
  if (old && under && !same(new Uint8Array(under), key)) await old.unsubscribe();
  return manager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
}

/** @param {Uint8Array} a @param {Uint8Array} b */
function same(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
