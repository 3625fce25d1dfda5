// @ts-check
import { base, call } from './api.js';
import { language } from './i18n.js';

/** @typedef {'on' | 'denied' | 'unreachable' | 'unsupported'} PushState what a closed page would get */

const REACH = 8000; // ms; where the push service is blocked, subscribing hangs

/** The worker that keeps the page's shell; plain http has none. */
export async function keepShell() {
  try {
    await navigator.serviceWorker?.register(`${base}sw.js`);
  } catch {
    // The page works without.
  }
}

/** @param {string} key base64url */
function bytes(key) {
  const text = atob(key.replace(/-/g, '+').replace(/_/g, '/'));
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}

/**
 * Asks for pushes of a shop's alerts; call after a press, which the question
 * for permission needs.
 * @param {number} shop @param {string} key the server's @returns {Promise<PushState>}
 */
export async function askForPushes(shop, key) {
  if (!navigator.serviceWorker || !('PushManager' in globalThis) || !globalThis.Notification) return 'unsupported';
  if ((await Notification.requestPermission()) !== 'granted') return 'denied';
  try {
    const registration = await navigator.serviceWorker.ready;
    const subscription = await Promise.race([
      registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(key) }),
      new Promise((_, fail) => setTimeout(() => fail(new Error('no answer')), REACH)),
    ]);
    const { endpoint, keys } = subscription.toJSON();
    await call('PUT', 'api/v1/push', { endpoint, keys, shopId: shop, language });
    return 'on';
  } catch {
    return 'unreachable';
  }
}

/** A device that is signed out gets nothing any more, and keeps nothing. */
export async function forgetDevice() {
  try {
    for (const registration of (await navigator.serviceWorker?.getRegistrations()) ?? []) {
      await (await registration.pushManager?.getSubscription())?.unsubscribe();
      await registration.unregister();
    }
    for (const name of (await globalThis.caches?.keys()) ?? []) await caches.delete(name);
  } catch {
    // What can't be undone here is refused by the server.
  }
}
