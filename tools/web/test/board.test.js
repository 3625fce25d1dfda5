// The board's rules: cards, layout, presses, accepts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Accepts, UNDO } from '../../../static/console/board/accepts.js';
import { GAPS, HOLD, Hold, LOST } from '../../../static/console/board/hold.js';
import { step } from '../../../static/console/board/keys.js';
import { Orders } from '../../../static/console/board/orders.js';
import { alertKey, orderKey } from '../../../static/console/board/alert.js';
import { Presses, SETTLED, STILL } from '../../../static/console/board/press.js';
import { Standing } from '../../../static/console/board/standing.js';
import { fold, isOurs, numberParts, shade } from '../../../static/console/board/words.js';
import { virtualTime } from './clock.js';
import { receive } from './fold.js';

/** The time of the test that runs. */
let clock;

const START = Date.parse('2026-11-24T19:00:00.000Z');
const alert = (type, seq, orderId, over = {}) => ({
  type, seq, orderId, source: 'order', shopId: 1, number: `20261124${orderId}`, content: `订单号: 20261124${orderId}`,
  time: new Date(START + seq * 1000).toISOString(), ...over,
});
const board = (...alerts) => {
  const o = new Orders();
  for (const a of alerts) o.take(a);
  return o;
};
const orders = (o) => o.list().map((c) => c.alerts[0].orderId);

test('an order is one card, however often its customer asks', () => {
  const o = board(alert(1, 1, 7), alert(1, 2, 8), alert(2, 3, 7), alert(2, 4, 7));
  assert.deepEqual(orders(o), [7, 8], 'oldest first; a reminder moves nothing');
  const card = o.card('1 order 7');
  assert.deepEqual([card.reminders, card.remindedSince, card.since, card.kind, card.newest.seq], [2, START + 3000, START + 1000, 'order', 4]);
  assert.equal(o.take(alert(2, 4, 7)), null, 'once however often it comes');
  for (let i = 5; i < 13; i++) o.take(alert(2, i, 8));
  assert.equal(o.size, 2, 'eight reminders push no order off the board');
});

test('a closing takes the earlier alerts only; what is left is a card at its own place', () => {
  const o = board(alert(1, 1, 7), alert(1, 2, 8), alert(2, 5, 7));
  const before = o.card('1 order 7').key;
  assert.equal(o.take(alert(3, 4, 7)).what, 'closed');
  assert.notEqual(o.card('1 order 7').key, before);
  assert.deepEqual([orders(o), o.card('1 order 7').kind], [[8, 7], 'reminder']);
  assert.equal(o.take(alert(3, 1, 8)), null, 'a late one closes nothing that came after it');
  assert.equal(o.take(alert(4, 9, 99)), null);
});

test('cards hold exactly what the log says is open, in any history', () => {
  let seed = 42;
  const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
  for (let round = 0; round < 200; round++) {
    const o = new Orders();
    let open = [];
    const log = [];
    for (let seq = 1; seq < 60; seq++) {
      const repeat = seq > 1 && random(5) === 0; // a stream that was cut says some things twice
      if (!repeat) log.push(alert(1 + random(4), log.length + 1, 1 + random(6), { source: random(2) ? 'order' : 'external' }));
      const a = log[Math.max(0, log.length - 1 - (repeat ? random(4) : 0))];
      open = receive(open, a);
      o.take(a);
      assert.deepEqual(o.list().flatMap((c) => c.alerts).map(alertKey).sort(), open.map(alertKey).sort());
      assert.equal(o.size, new Set(open.map(orderKey)).size);
    }
  }
});

test('a new snapshot closes what is not in it, and keeps what was ordered', () => {
  const known = new Map([[alertKey(alert(1, 1, 7)), { lines: ['汤'] }]]);
  const o = new Orders((a) => known.get(alertKey(a)) ?? null);
  for (const a of [alert(1, 1, 7), alert(1, 2, 8)]) o.take(a);
  const fresh = o.replace([alert(1, 3, 9), alert(1, 1, 7)]);
  assert.deepEqual([fresh.map((a) => a.seq), orders(o), o.card('1 order 7').detail.lines], [[3], [7, 9], ['汤']]);
  known.set(alertKey(alert(1, 3, 9)), { lines: [], note: '快' });
  assert.equal(o.describe(alertKey(alert(1, 3, 9))).detail.note, '快');
  assert.equal(o.describe(alertKey(alert(1, 2, 8))), null, 'what is open no more stays closed');
  const restored = alert(1, 1, 7, { time: '2026-11-25T10:00:00.000Z' });
  assert.deepEqual(o.replace([restored]).map((a) => a.seq), [1], 'the same seq after a restore is another alert');
});

test('the layout is held while a hand is near, and a second longer', () => {
  const h = new Hold();
  assert.equal(h.held(0), false);
  h.down('p1', 1000);
  assert.ok(h.held(5000), 'a finger that is down');
  h.up('p1', 6000);
  assert.deepEqual([h.held(6000 + HOLD - 1), h.held(6000 + HOLD)], [true, false]);
  h.down('kEnter', 20_000);
  h.left();
  assert.equal(h.held(20_000 + HOLD), false, 'a page that was left hears of no lifting');
  h.down('p2', 40_000);
  assert.equal(h.held(40_000 + LOST), false, 'a lifting that was never told holds it not for ever');
});

test('a mouse that never rests holds the layout for ten seconds', () => {
  const h = new Hold();
  let now = 0;
  for (; now < LOST; now += 100) {
    h.seen(now);
    assert.ok(h.held(now), String(now));
  }
  h.seen(now);
  assert.equal(h.held(now), false);
  h.settled(now);
  for (const end = now + LOST; now < end; now += 100) {
    h.seen(now);
    assert.ok(h.held(now), `it moved, and stands for as long again, at ${now}`);
  }
  h.seen(now);
  assert.equal(h.held(now), false);
  h.seen(now + 5000);
  assert.ok(h.held(now + 5000), 'after a rest it counts anew');
});

test('what went leaves its place for a second', () => {
  const h = new Hold();
  h.removed(5000);
  assert.deepEqual([h.held(5000 + HOLD - 1), h.held(5000 + HOLD)], [true, false]);
});

test('removals that never end do not keep the gaps for ever', () => {
  const h = new Hold();
  let now = 0;
  for (; now < GAPS; now += 500) {
    h.removed(now);
    assert.ok(h.held(now));
  }
  h.removed(now);
  assert.equal(h.held(now), false);
  h.settled(now);
  h.removed(now);
  assert.ok(h.held(now), 'the next gap counts anew');
});

test('a press counts on a card that stood still, was under the finger, and stayed there', () => {
  const press = (downOn, upOn, movedAt, at = 1000) => {
    const p = new Presses();
    if (downOn) p.down(1, { target: downOn, at });
    return Presses.finger(p.lift(1), upOn, movedAt);
  };
  assert.equal(press('a accept', 'a accept', 1000 - STILL), 'counts');
  assert.equal(press('a accept', 'a accept', 1001 - STILL), 'moved', 'it came while the hand was on its way');
  assert.equal(press('a accept', 'a accept', 1050), 'moved', 'it moved under the finger');
  assert.equal(press('a accept', 'b accept', 0), 'slid', 'down on A, up on B');
  assert.equal(press('a accept', 'a undo', 0), 'slid');
  assert.equal(press('a accept', '', 0), 'slid');
  assert.equal(press(null, 'a accept', 0), 'slid', 'a finger that came down elsewhere');
  assert.equal(press('a accept', 'a accept', Number.POSITIVE_INFINITY), 'moved', 'no frame has shown yet where it is');
  const down = { target: 'a accept', at: 5000 };
  assert.equal(Presses.mouse(down, 'a accept', 3000, 3000, 4000), 'counts');
  assert.equal(Presses.mouse(down, 'a accept', 3000, 3000, 2900), 'moved', 'it came under a mouse that rests');
  assert.equal(Presses.mouse(down, 'a accept', 4000, 3000, 3500), 'counts', 'the wheel brought it there');
  assert.equal(Presses.mouse(down, 'a accept', 4700, 3000, 3500), 'moved', 'just now');
  assert.equal(Presses.key(1000, 0, Number.NEGATIVE_INFINITY), 'counts');
  assert.equal(Presses.key(1000, 700, Number.NEGATIVE_INFINITY), 'moved');
  assert.equal(Presses.key(1000, 0, 1001 - SETTLED), 'moved', 'the focus was brought there by the page');
});

test('a card that moved stands from when a frame has shown it, not from when the page moved it', () => {
  let asked = 0;
  const s = new Standing(() => asked++);
  const [a, b] = [0, 1].map(() => ({ movedAt: Number.POSITIVE_INFINITY, cameAt: Number.POSITIVE_INFINITY }));
  const finger = (card, at) => Presses.finger({ target: 'a accept', at }, 'a accept', s.movedAt(card));
  s.moves(a);
  s.moves(b);
  assert.equal(asked, 1, 'one frame shows both');
  assert.equal(finger(a, 9000), 'moved', 'a page that is too busy to paint has shown it to nobody');
  s.painted(9000);
  assert.deepEqual([a.movedAt, a.cameAt], [9000, 9000]);
  assert.equal(finger(a, 8900), 'moved', 'the finger came down before, and was told to the page late');
  assert.equal(finger(a, 9000 + STILL), 'counts');
  s.moves(b, 180);
  s.moves(b);
  s.painted(10_000);
  assert.deepEqual([a.movedAt, b.movedAt, b.cameAt], [9000, 10_180, 9000], 'it glides until then; the other one stood');
  s.shift();
  assert.equal(finger(a, 20_000), 'moved', 'the page is scrolled, and not painted yet');
  s.painted(20_100);
  assert.deepEqual([finger(a, 20_100 + STILL - 1), finger(a, 20_100 + STILL)], ['moved', 'counts']);
  s.moves(a);
  s.forget(a);
  s.painted(30_000);
  assert.equal(a.movedAt, Number.POSITIVE_INFINITY, 'what went is pressed no more');
});

const accepting = (over = {}) => {
  const log = [];
  const a = new Accepts({
    send: async (card) => void log.push(`sent ${card.newest.seq}`),
    failed: (card, err) => log.push(`failed ${card.newest.seq} ${err.message}`),
    changed: () => {},
    tell: (m) => log.push(`${m.on ? 'on' : 'off'} ${m.pending}`),
    ...over,
  });
  return { a, log };
};
const settled = () => new Promise((done) => setImmediate(done));
const virtual = (body) => async () => {
  clock = virtualTime(START);
  try {
    await body();
  } finally {
    clock.end();
  }
};

test('one press takes all alerts that the order has, after the time to undo', virtual(async () => {
  const { a, log } = accepting();
  const card = board(alert(1, 1, 7), alert(2, 2, 7)).card('1 order 7');
  assert.ok(a.press(card));
  assert.equal(a.press(card), false, 'once');
  clock.tick(UNDO - 1);
  assert.deepEqual([log, a.state('1 order 7')], [['on 1 order 7'], 'undo']);
  clock.tick(1);
  await settled();
  assert.deepEqual(log, ['on 1 order 7', 'sent 2']);
}));

test('undo takes a press back, and only while it is still here', virtual(async () => {
  const { a, log } = accepting({ send: () => new Promise(() => {}) });
  const card = board(alert(1, 1, 7)).card('1 order 7');
  a.press(card);
  assert.equal(a.last(), '1 order 7');
  assert.ok(a.undo('1 order 7'));
  clock.tick(UNDO);
  assert.deepEqual([log.at(-1), a.state('1 order 7')], ['off 1 order 7', 'open']);
  a.press(card);
  clock.tick(UNDO);
  assert.deepEqual([a.state('1 order 7'), a.undo('1 order 7'), a.last()], ['sending', false, undefined]);
}));

test('a reminder that comes before the accept went out is not swallowed by it', virtual(async () => {
  const { a, log } = accepting();
  const o = board(alert(1, 1, 7));
  a.press(o.card('1 order 7'));
  clock.tick(3000);
  o.take(alert(2, 2, 7));
  assert.ok(a.raised('1 order 7'), 'taken back: nobody has seen the reminder');
  clock.tick(UNDO);
  await settled();
  assert.deepEqual(log, ['on 1 order 7', 'off 1 order 7']);
  assert.equal(o.card('1 order 7').reminders, 1);
}));

test('a reminder that is committed while the accept is on its way stays open where it was pressed', virtual(async () => {
  const { a } = accepting({ send: () => new Promise(() => {}) });
  const o = board(alert(1, 1, 7));
  a.press(o.card('1 order 7'));
  clock.tick(UNDO);
  o.take(alert(2, 2, 7)); // the server has it before the accept, this page while the accept is under way
  assert.equal(a.raised('1 order 7'), false);
  const answer = alert(3, 3, 7);
  for (const came of ['by the answer', 'by the stream']) {
    o.take(answer, a.upTo(answer));
    assert.deepEqual(o.card('1 order 7')?.alerts.map((x) => x.seq), [2], came);
  }
  a.drop('1 order 7');
  const others = alert(3, 4, 7);
  o.take(others, a.upTo(others));
  assert.equal(o.size, 0, 'what another console accepts after that is closed to its end');
}));

test('the same, when the answer comes before the reminder, and in another tab', virtual(async () => {
  for (const where of ['here', 'elsewhere']) {
    const { a } = accepting({ send: () => new Promise(() => {}) });
    const o = board(alert(1, 1, 7));
    if (where === 'here') a.press(o.card('1 order 7'));
    else a.told({ pending: '1 order 7', on: true, seen: 1 });
    clock.tick(UNDO);
    const answer = alert(3, 3, 7);
    o.take(answer, a.upTo(answer));
    a.drop('1 order 7');
    assert.equal(o.size, 0);
    o.take(alert(2, 2, 7));
    o.take(answer, a.upTo(answer));
    assert.deepEqual(o.card('1 order 7')?.alerts.map((x) => x.seq), [2], where);
    a.press(o.card('1 order 7'));
    o.take(answer, a.upTo(answer)); // the server gives it again: that order is closed
    assert.equal(o.size, 0, where);
    const cancelled = alert(4, 9, 7);
    assert.equal(a.upTo(cancelled), 9);
  }
}));

test('a press that was undone, and one of long ago, say nothing about what closes the order', virtual(async () => {
  const { a } = accepting({ send: () => new Promise(() => {}) });
  a.press(board(alert(1, 1, 7)).card('1 order 7'));
  a.undo('1 order 7');
  assert.equal(a.upTo(alert(3, 3, 7)), 3);
  a.press(board(alert(1, 4, 8)).card('1 order 8'));
  clock.tick(60_000);
  assert.equal(a.upTo(alert(3, 9, 8)), 9);
}));

test('an accept that fails rings on; a page that goes sends at once', virtual(async () => {
  const { a, log } = accepting({ send: async () => { throw new Error('away'); } });
  a.press(board(alert(1, 1, 7)).card('1 order 7'));
  a.flush();
  await settled();
  assert.deepEqual([log.slice(1), a.state('1 order 7')], [['off 1 order 7', 'failed 1 away'], 'open']);
}));

test('what another tab takes is not taken here, and rings on here when that tab is gone', virtual(async () => {
  const { a } = accepting();
  a.told({ pending: '1 order 7', on: true });
  assert.deepEqual([a.state('1 order 7'), a.press(board(alert(1, 1, 7)).card('1 order 7'))], ['elsewhere', false]);
  a.told({ pending: '1 order 7', on: false });
  assert.equal(a.state('1 order 7'), 'open');
  a.told({ pending: '1 order 7', on: true });
  clock.tick(60_000);
  assert.equal(a.state('1 order 7'), 'open');
}));

test('the last four digits are what people call out', () => {
  assert.deepEqual(numberParts('202611240001987654'), { rest: '20261124000198', tail: '7654' });
  assert.deepEqual(numberParts('7'), { rest: '', tail: '7' });
  assert.deepEqual(numberParts('桌 3 要加水'), { rest: '', tail: '桌 3 要加水' });
  assert.ok(isOurs({ content: '订单号: 42', number: '42' }));
  assert.ok(!isOurs({ content: '桌 5', number: '42' }));
  assert.deepEqual([0, 299_999, 300_000, 600_000].map(shade), [0, 0, 1, 2]);
});

test('what was ordered is folded after six lines, the note first', () => {
  const lines = Array.from({ length: 9 }, (_, i) => `菜 ${i}`);
  const folded = fold({ lines, note: '不要辣' }, '', false);
  assert.deepEqual([folded.lines.length, folded.lines[0], folded.hidden], [5, { text: '不要辣', note: true }, 5]);
  assert.equal(fold({ lines, note: '不要辣' }, '', true).lines.length, 10);
  assert.deepEqual([fold({ lines: lines.slice(0, 6) }, '', false).hidden, fold(null, '', false).lines.length], [0, 0]);
  assert.ok(fold({ lines: ['x'.repeat(80)] }, '', false).cut);
});

test('arrows go over the cards as they stand', () => {
  const go = (key, at) => step(key, at, 7, 3);
  assert.deepEqual([go('ArrowRight', 0), go('ArrowDown', 0), go('ArrowUp', 4), go('ArrowLeft', 0), go('ArrowDown', 6)], [1, 3, 1, 0, 6]);
  assert.deepEqual([go('ArrowDown', -1), go('x', 1), step('ArrowDown', 0, 0, 3)], [0, -1, -1]);
});
