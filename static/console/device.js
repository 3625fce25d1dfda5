// @ts-check

import { build } from '../build.js';
import { base, call } from '../shared/api.js';
import { language } from '../shared/i18n.js';
import { subscribe } from './subscribe.js';

/** @typedef {'on' | 'denied' | 'unreachable' | 'unsupported'} PushState what a closed page would get */

const AGAIN = 60_000; // ms
const REACH = 8000; // ms; where the push service is blocked, subscribing hangs

/** Registers the worker that keeps the page's files; plain http has none. */
export async function keepShell() {
  try {
    const { serviceWorker } = navigator;
    // A page that came without the worker has the files it loads later from the same set.
    const tell = () => serviceWorker?.controller?.postMessage({ shell: build.shell });
    serviceWorker?.addEventListener('controllerchange', tell);
    setInterval(tell, AGAIN); // a set that did not come whole, over a bad line, is filled once more
    tell();
    await serviceWorker?.register(`${base}sw.js`);
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
      subscribe(registration.pushManager, bytes(key)),
      new Promise((_, fail) => setTimeout(() => fail(new Error('no answer')), REACH)),
    ]);
    const { endpoint, keys } = subscription.toJSON();
    await call('PUT', 'api/v1/push', { endpoint, keys, shopId: shop, language });
    return 'on';
  } catch {
    return 'unreachable';
  }
}

/** Ends the pushes and removes all kept files of a device that is signed out. */
export async function forgetDevice() {
  try {
    for (const registration of (await navigator.serviceWorker?.getRegistrations()) ?? []) {
      if (registration.scope !== base) continue; // another program's on this origin
      await (await registration.pushManager?.getSubscription())?.unsubscribe();
      await registration.unregister();
    }
    for (const name of (await globalThis.caches?.keys()) ?? []) {
      if (name === `doorbell-notes ${base}` || name.startsWith(`doorbell-shell ${base} `)) await caches.delete(name);
    }
  } catch {
    // What can't be undone here is refused by the server.
  }
}
