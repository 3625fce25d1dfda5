// What a sign-out takes away: what is ours, and nothing of others on this origin.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { base } from '../../../static/shared/api.js';
import { forgetDevice } from '../../../static/console/device.js';

const above = new URL('..', base).href;

test('a sign-out removes our own worker, pushes and caches, and no other', async (t) => {
  const gone = [];
  const registration = (scope) => ({
    scope,
    pushManager: { getSubscription: async () => ({ unsubscribe: async () => gone.push(`push ${scope}`) }) },
    unregister: async () => gone.push(`worker ${scope}`),
  });
  const others = [above, `${base}shop/`, 'https://other.test/'];
  const names = (scope) => [`doorbell-notes ${scope}`, `doorbell-shell ${scope} v1`, `doorbell-shell ${scope} v2`];
  const foreign = ['workbox-precache', 'doorbell', 'doorbell-shell-of-somebody', ...others.flatMap(names)];
  const before = {
    navigator: Object.getOwnPropertyDescriptor(globalThis, 'navigator'),
    caches: Object.getOwnPropertyDescriptor(globalThis, 'caches'),
  };
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true,
    value: { serviceWorker: { getRegistrations: async () => [...others, base].map(registration) } },
  });
  Object.defineProperty(globalThis, 'caches', {
    configurable: true,
    value: { keys: async () => [...foreign, ...names(base)], delete: async (name) => gone.push(`cache ${name}`) },
  });
  t.after(() => {
    for (const [name, d] of Object.entries(before)) {
      if (d) Object.defineProperty(globalThis, name, d);
      else delete globalThis[name];
    }
  });
  await forgetDevice();
  assert.deepEqual(gone, [`push ${base}`, `worker ${base}`, ...names(base).map((name) => `cache ${name}`)]);
});
