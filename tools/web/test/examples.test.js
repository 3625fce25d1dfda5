// The reference's two examples for browsers, with stand-ins for what a browser has:
// e2e drives client.js and EventSource in a real one.
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

const folder = new URL('../../../', import.meta.url);
const load = (name) => import(new URL(`internal/reference/clients/${name}`, folder).href);
const alert = (seq) => ({ type: 1, orderId: seq, content: `x ${seq}`, shopId: 1, seq, number: '', source: 'external', time: '2026-12-01T00:00:00.000Z' });

test('eventsource.js rings for each alert once, and tells of a reset', async (t) => {
  const opened = [];
  const real = globalThis.EventSource;
  globalThis.EventSource = class extends EventTarget {
    constructor(url) {
      super();
      opened.push([url, this]);
    }
  };
  t.after(() => {
    globalThis.EventSource = real;
  });
  const { follow } = await load('eventsource.js');
  const rung = [];
  const resets = [];
  follow(
    (a) => rung.push(a.seq),
    (r) => resets.push(r.reason),
  );
  const [url, stream] = opened[0];
  assert.equal(url, 'events?shops=1&after=0');
  for (const seq of [1, 2, 2, 1, 3]) stream.onmessage({ data: JSON.stringify(alert(seq)) });
  stream.dispatchEvent(Object.assign(new Event('reset'), { data: JSON.stringify({ event: 'reset', reason: 'epoch' }) }));
  assert.deepEqual(rung, [1, 2, 3]);
  assert.deepEqual(resets, ['epoch']);
});

test('browser.js follows with client.js, each alert once and in order', async (t) => {
  const real = { fetch: globalThis.fetch, WebSocket: globalThis.WebSocket };
  const sockets = [];
  globalThis.fetch = async () => new Response('{"ticket":"t","expires":"2026-12-01T00:00:00Z"}', { headers: { 'Content-Type': 'application/json' } });
  globalThis.WebSocket = class {
    constructor(url, protocols) {
      sockets.push([String(url), protocols, this]);
    }
    close() {}
  };
  t.after(() => Object.assign(globalThis, real));
  const served = mkdtempSync(join(tmpdir(), 'doorbell-')); // the addresses as the server has them
  t.after(() => rmSync(served, { recursive: true }));
  copyFileSync(new URL('static/client.js', folder), join(served, 'client.js'));
  writeFileSync(join(served, 'package.json'), '{ "type": "module" }'); // a browser is told by the tag; Node by this
  symlinkSync(new URL('static', folder), join(served, 'static'));
  const { follow } = await load('browser.js');
  const rung = [];
  const link = await follow(pathToFileURL(served).href, () => 'token', (a) => rung.push(a.seq));
  t.after(() => link.close());
  for (let i = 0; i < 100 && sockets.length === 0; i++) await new Promise((r) => setImmediate(r));
  const [, protocols, socket] = sockets[0];
  assert.deepEqual(protocols, ['doorbell.v1']);
  const say = (m) => socket.onmessage({ data: JSON.stringify(m) });
  say({ event: 'hello', console: 'c', sid: '', cursor: 'k3f9.1:0', epoch: 'k3f9', version: 'x', heartbeat: 15 });
  for (const seq of [1, 2, 2, 1, 3]) say(alert(seq));
  for (let i = 0; i < 100 && rung.length < 3; i++) await new Promise((r) => setImmediate(r));
  assert.deepEqual(rung, [1, 2, 3]);
});
