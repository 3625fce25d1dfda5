// A device subscribes to pushes under the key that the server has now.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { subscribe } from '../../../static/console/subscribe.js';

/** A push manager refuses another key beside a subscription, as browsers do. */
class Manager {
  /** @type {any} */ now = null;
  ended = 0;
  async getSubscription() {
    return this.now;
  }
  async subscribe({ applicationServerKey: key }) {
    if (this.now && Buffer.compare(Buffer.from(this.now.options.applicationServerKey), Buffer.from(key))) {
      throw new DOMException('another key', 'InvalidStateError');
    }
    this.now ??= {
      options: { applicationServerKey: key.slice().buffer },
      unsubscribe: async () => {
        this.ended++;
        this.now = null;
        return true;
      },
    };
    return this.now;
  }
}

test('a server with new push keys is subscribed to again', async () => {
  const manager = new Manager();
  const first = await subscribe(manager, Uint8Array.of(1, 2));
  assert.equal(await subscribe(manager, Uint8Array.of(1, 2)), first);
  assert.equal(manager.ended, 0);
  const second = await subscribe(manager, Uint8Array.of(3, 4));
  assert.notEqual(second, first);
  assert.equal(manager.ended, 1);
});
