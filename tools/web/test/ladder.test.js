// When the console dials again. The transports are stand-ins, the time is not real.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ladder } from '../../../static/client/ladder.js';
import { virtualTime } from './clock.js';

/** A WebSocket that is told last, if anything, and closed. */
const refusing = (last, code) =>
  class {
    constructor() {
      setTimeout(() => {
        if (last) this.onmessage({ data: JSON.stringify(last) });
        this.onclose({ code });
      }, 1);
    }
    close() {}
  };

const turns = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
  await new Promise((r) => setImmediate(r));
};

/** Runs a ladder; answer is what fetch gets, dials are the times of the calls. */
async function climb(t, transports, answer, socket) {
  const clock = virtualTime(1_700_000_000_000);
  const start = Date.now();
  const dials = [];
  const real = { fetch: globalThis.fetch, WebSocket: globalThis.WebSocket };
  globalThis.fetch = async (url) => {
    const way = new URL(url).pathname.slice(1);
    dials.push([way, Date.now() - start]);
    return answer(dials.filter(([w]) => w === way).length, way);
  };
  globalThis.WebSocket = class extends (socket ?? refusing(null, 1006)) {
    constructor(...a) {
      super(...a);
      dials.push(['ws', Date.now() - start]);
    }
  };
  const states = [];
  const ladder = new Ladder({ url: 'http://shop.test/', transports, storageKey: null, onAlert() {}, onState: (s) => states.push(s.state) });
  t.after(() => {
    ladder.close();
    clock.end();
    Object.assign(globalThis, real);
  });
  const pass = async (ms) => {
    for (let gone = 0; gone < ms; gone += 50) {
      await turns();
      clock.tick(50);
    }
    await turns();
  };
  return { ladder, dials, states, pass };
}

const answer = (status, headers = {}) => new Response('{}', { status, headers });

for (const transport of ['sse', 'poll']) {
  for (const [what, after, least, most] of [
    ['seconds', '7', 7000, 10_500],
    ['a date', new Date(1_700_000_009_000).toUTCString(), 9000, 13_500],
    ['an hour, a mistake of somebody', '3600', 30_000, 30_000],
  ]) {
    test(`${transport} comes again when Retry-After says: ${what}`, async (t) => {
      const { dials, pass } = await climb(t, [transport], () => answer(429, { 'Retry-After': after }));
      await pass(least - 100);
      assert.equal(dials.length, 1, `dialled at ${JSON.stringify(dials)}`);
      await pass(most - least + 300);
      assert.ok(dials.length >= 2, `dialled at ${JSON.stringify(dials)}`);
    });
  }
  test(`${transport} backs off as ever without a Retry-After, or with one that says nothing`, async (t) => {
    const { dials, pass } = await climb(t, [transport], (n) => answer(429, n % 2 ? {} : { 'Retry-After': 'soon' }));
    await pass(6000);
    assert.ok(dials.length >= 3, `dialled at ${JSON.stringify(dials)}`);
  });
}

test('a WebSocket that is refused for now tries the other ways once, then waits as it was told', async (t) => {
  const bye = { event: 'bye', reason: 'too_many', retryMs: 12_000 };
  const { dials, states, pass } = await climb(t, undefined, () => answer(429, { 'Retry-After': '1' }), refusing(bye, 1013));
  await pass(11_800);
  assert.deepEqual(
    dials.map(([way]) => way),
    ['ws', 'events', 'poll'],
    `dialled at ${JSON.stringify(dials)}`,
  );
  assert.equal(states.at(-1), 'offline');
  await pass(1000);
  assert.equal(dials.filter(([way]) => way === 'ws').length, 2, `dialled at ${JSON.stringify(dials)}`);
});

test('a transport that was told to wait holds up none that gets through', async (t) => {
  let away = false;
  const poll = { cursor: 'k.1:1', epoch: 'k', console: 'c', alerts: [], events: [] };
  const { ladder, dials, pass } = await climb(t, ['sse', 'poll'], (n, way) => {
    if (away) return answer(502);
    if (way === 'events') return answer(429, { 'Retry-After': '25' });
    return n === 1 ? new Response(JSON.stringify(poll)) : new Promise(() => {});
  });
  await pass(500);
  assert.equal(ladder.state.state, 'open');
  away = true;
  const before = dials.length;
  ladder.lost('cut');
  await pass(5500);
  assert.ok(dials.length > before, 'it comes again within the ordinary time, whatever the other one was told before');
});

/** Opens and says hello, unless it is away; live holds those that are open. */
const greeting = (live, away) =>
  class {
    constructor() {
      setTimeout(() => {
        if (away()) return this.onclose({ code: 1006 });
        live.push(this);
        this.beat = setInterval(() => this.onmessage({ data: '{"event":"ping"}' }), 5000);
        this.onmessage({ data: JSON.stringify({ event: 'hello', console: 'c', cursor: 'k.1:1', epoch: 'k', heartbeatMs: 15_000, alerts: [] }) });
      }, 1);
    }
    send() {}
    close() {
      clearInterval(this.beat);
    }
  };

for (const [what, worked, at] of [
  ['where it got through before', true, 5000],
  ['where it never got through', false, 60_000],
]) {
  test(`WebSocket is tried again in the background ${at / 1000} s after another way won, ${what}`, async (t) => {
    let away = !worked;
    const live = [];
    const poll = { cursor: 'k.1:1', epoch: 'k', console: 'c', alerts: [], events: [] };
    const { ladder, dials, pass } = await climb(
      t,
      ['websocket', 'poll'],
      (n) => new Promise((done) => setTimeout(() => done(new Response(JSON.stringify(poll))), n === 1 ? 1 : 5000)),
      greeting(live, () => away),
    );
    await pass(200);
    if (worked) {
      assert.equal(ladder.state.transport, 'websocket');
      await pass(31_000); // one that dies young counts against the way
      away = true;
      live[0].close();
      live[0].onclose({ code: 1006 });
      await pass(1500);
    }
    assert.equal(ladder.state.transport, 'poll');
    const before = dials.filter(([way]) => way === 'ws').length;
    away = false;
    await pass(at - 2000);
    assert.equal(dials.filter(([way]) => way === 'ws').length, before, `dialled at ${JSON.stringify(dials)}`);
    await pass(2500);
    assert.equal(ladder.state.transport, 'websocket', `dialled at ${JSON.stringify(dials)}`);
  });
}
