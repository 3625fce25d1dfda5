// The ring's rules, in virtual time, with orders that come faster than it rings.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ringer } from '../../../static/console/sound/ringer.js';
import { due, how, LEVELS, level, QUIET_ENDS } from '../../../static/console/sound/ringing.js';
import { defaults } from '../../../static/console/settings.js';
import { virtualTime } from './clock.js';

/** The time of the test that runs. */
let clock;

const START = new Date(2026, 10, 24, 19, 0, 0).getTime();
const LONG = 4000; // ms that a ring takes

/** A kitchen: orders, a speaker that takes its time, and what was heard. */
function kitchen(over = {}) {
  const k = { open: [], rings: [], heard: [], settings: defaults(''), speaker: 'clip', seq: 0, ...over };
  k.order = () => {
    const alert = { type: 1, shopId: 1, seq: ++k.seq, time: String(Date.now()) };
    k.open.push({ key: String(alert.seq), order: String(alert.seq), since: Date.now(), alerts: [alert] });
    k.ringer.look();
  };
  k.ringer = new Ringer({
    speaker: {
      say: async ({ now }) => {
        const sentence = now();
        if (!sentence) return 'nothing';
        if (k.speaker !== 'blocked') k.rings.push({ at: Date.now() - START, gain: sentence.gain, speak: sentence.speak });
        await new Promise((done) => setTimeout(done, LONG));
        return k.speaker;
      },
    },
    settings: () => k.settings,
    ringing: () => k.open,
    waited: (card) => Date.now() - card.since,
    sentence: (a) => ({ type: a.type, lang: 'zh', text: '' }),
    onRang: (r) => k.heard.push({ at: Date.now() - START, seqs: r.alerts.map((a) => a.seq), heard: r.heard, quiet: r.quiet }),
  });
  return k;
}

/** Time goes on in steps of a tenth of a second, with the console's clock of 0.9 s. */
async function pass(k, ms, each = () => {}) {
  for (let i = 0; i < ms / 100; i++) {
    clock.tick(100);
    for (let n = 0; n < 8; n++) await null;
    if ((Date.now() - START) % 900 === 0) k.ringer.look();
    each(Date.now() - START);
    for (let n = 0; n < 8; n++) await null;
  }
}

const virtual = (name, body) =>
  test(name, async () => {
    clock = virtualTime(START);
    try {
      await body();
    } finally {
      clock.end();
    }
  });

test('ringing gets louder and shorter apart, and never stops', () => {
  let gain = 0;
  let every = Number.POSITIVE_INFINITY;
  for (const l of LEVELS) {
    assert.ok(l.gain > gain && l.every < every);
    gain = l.gain;
    every = l.every;
  }
  assert.equal(level(0), LEVELS[0]);
  assert.equal(level(86_400_000), LEVELS.at(-1));
  assert.equal(due({ waited: 0, fresh: false, last: 0, now: 11_999 }), false);
  assert.equal(due({ waited: 0, fresh: false, last: 0, now: 12_000 }), true);
  assert.equal(due({ waited: 0, fresh: true, last: 0, now: 1 }), true);
  assert.equal(how(100_000, { now: START, settings: defaults('') }).gain, defaults('').volume * LEVELS.at(-1).gain);
});

virtual('a rush gets as loud as one order alone, at every moment', async () => {
  for (const every of [500, 5000]) {
    const k = kitchen();
    const began = Date.now();
    k.order();
    await pass(k, 130_000, (now) => (now - (began - START)) % every === 0 && k.order());
    for (const at of [30, 60, 120]) {
      const ring = k.rings.find((r) => r.at - (began - START) >= at * 1000);
      assert.equal(ring.gain, 0.8 * level(at * 1000).gain, `orders each ${every} ms, after ${at} s`);
    }
    let before = began - START;
    for (const r of k.rings) {
      assert.ok(r.at - before <= LEVELS[0].every, `a silence of ${r.at - before} ms`);
      before = r.at;
    }
    k.open = [];
    await pass(k, LONG);
  }
});

virtual('without arrivals: at once, then each 12, 9 and 6 s', async () => {
  const k = kitchen();
  k.order();
  await pass(k, 120_000);
  const gaps = k.rings.slice(1).map((r, i) => r.at - k.rings[i].at);
  assert.equal(k.rings[0].at, 0);
  const clock = 900; // the console's own
  for (const [i, gap] of gaps.entries()) {
    const { every } = level(k.rings[i + 1].at);
    assert.ok(gap >= every && gap <= every + clock, `${gap} ms at ${k.rings[i + 1].at}`);
  }
});

virtual('a ring that nobody could hear counts for nothing', async () => {
  const k = kitchen({ speaker: 'blocked' });
  k.order();
  await pass(k, 10_000);
  assert.deepEqual([k.rings.length, k.heard.every((h) => h.heard === 'blocked'), k.ringer.last], [0, true, Number.NEGATIVE_INFINITY]);
  k.speaker = 'clip';
  const from = Date.now() - START;
  await pass(k, 8000);
  assert.ok(k.rings[0].at - from <= LONG + 2000, `rang ${k.rings[0].at - from} ms after it could`);
});

virtual('what is told as heard is what was open when the sound began', async () => {
  const k = kitchen();
  k.order();
  await pass(k, 100);
  for (let i = 0; i < 19; i++) k.order(); // while the first ring sounds
  k.open.shift(); // and the first is accepted
  await pass(k, 3 * LONG);
  assert.deepEqual(k.heard[0].seqs, [1]);
  assert.equal(k.heard[1].seqs.length, 19);
  assert.ok(k.heard[1].at <= 2 * LONG + 1000, `a burst of 20 was told after ${k.heard[1].at} ms, a second after its ring`);
});

virtual('what was accepted before the sound began does not ring', async () => {
  const k = kitchen();
  let begin;
  k.ringer.o.speaker = { say: ({ now }) => new Promise((done) => { begin = () => done(now() === null ? 'nothing' : 'clip'); }) };
  k.order();
  k.open = [];
  begin();
  await pass(k, 200);
  assert.deepEqual([k.heard, k.ringer.last], [[], Number.NEGATIVE_INFINITY]);
});

virtual('quiet hours end when they say, whatever arrives', async () => {
  const quiet = { ...defaults(''), quiet: true, quietFrom: '18:00', quietTo: '20:00' };
  const k = kitchen({ settings: quiet });
  k.order();
  await pass(k, 90_000, (now) => now % 5000 === 0 && k.order());
  for (const r of k.rings) {
    const hushed = r.at < QUIET_ENDS;
    assert.deepEqual([r.speak, r.gain < 0.15], [!hushed, hushed], `${r.gain} at ${r.at}`);
  }
  assert.ok(k.rings.find((r) => r.at >= QUIET_ENDS).at <= QUIET_ENDS + LONG + 1000);
});

virtual('quiet hours that begin or end by the clock count from the next ring', async () => {
  const k = kitchen({ settings: { ...defaults(''), quiet: true, quietFrom: '18:00', quietTo: '19:01' } });
  clock.tick(61_000); // 19:01:01
  k.order();
  await pass(k, 100);
  assert.equal(k.rings[0].speak, true);
});
