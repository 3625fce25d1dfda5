// The wall of cards: what stands where, and which press counts, frame by frame.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Accepts, UNDO } from '../../../static/console/board/accepts.js';
import { HOLD } from '../../../static/console/board/hold.js';
import { Orders } from '../../../static/console/board/orders.js';
import { SETTLED, STILL } from '../../../static/console/board/press.js';
import { Wall } from '../../../static/console/board/wall.js';
import { openPage, ROW } from './dom.js';

const START = Date.parse('2026-11-24T19:00:00.000Z');
const alert = (type, seq, orderId = seq) => ({
  type, seq, orderId, source: 'order', shopId: 1, number: `A${orderId}`, content: `订单号: A${orderId}`,
  time: new Date(START + seq * 1000).toISOString(),
});

/** A wall, its orders, and a hand. */
function kitchen() {
  const page = openPage(START);
  const k = { page, orders: new Orders(), sent: [] };
  k.accepts = new Accepts({
    send: async (card) => void k.sent.push(card.newest.orderId),
    failed: () => {},
    changed: (order) => k.wall.draw(order),
    tell: () => {},
  });
  k.wall = new Wall({ list: page.list, card: (order) => k.orders.card(order), cards: () => [...k.orders.list()], accepts: () => k.accepts });
  k.take = (...alerts) => {
    for (const a of alerts) {
      k.orders.take(a);
      k.wall.draw(`1 order ${a.orderId}`);
    }
  };
  /** The orders as they stand; those that went in brackets. */
  k.stands = () => page.list.children.map((li) => (li.className === 'ghost' ? '()' : li.dataset.order.split(' ')[2])).join(' ');
  k.card = (n) => k.wall.shown.get(`1 order ${n}`);
  k.top = (n) => k.card(n).li.getBoundingClientRect().top;
  const at = (n) => ({ clientX: 80, clientY: k.top(n) + ROW / 2 });
  const event = (over) => ({ pointerId: 1, pointerType: 'touch', button: 0, timeStamp: performance.now(), ...over });
  k.down = (where, over = {}) => {
    const target = document.elementFromPoint(where.clientX, where.clientY);
    target.dispatch('pointerdown', event({ target, ...where, ...over }));
    return target; // a touch is told to where it began
  };
  k.up = (target, where, over = {}) => target.dispatch('pointerup', event({ target, ...where, ...over }));
  k.at = at;
  k.press = async (n, over) => {
    const where = at(n);
    const target = k.down(where, over);
    await page.pass(60);
    k.up(target, where, over);
    await page.pass(40);
  };
  k.move = (where) => document.elementFromPoint(where.clientX, where.clientY).dispatch('pointermove', event({ ...where, pointerType: 'mouse' }));
  k.enter = () => {
    const target = document.activeElement;
    target.dispatch('keydown', { key: 'Enter', code: 'Enter', target, timeStamp: performance.now(), repeat: false });
    target.dispatch('keyup', { key: 'Enter', code: 'Enter', target, timeStamp: performance.now() });
  };
  k.pending = () => [...k.accepts.pending.keys()].map((order) => order.split(' ')[2]).join(' ');
  k.missed = (n) => k.card(n)?.missed.textContent ?? '';
  return k;
}

/** @param {(k: ReturnType<typeof kitchen>) => Promise<void>} body */
const atWork = (body) => async () => {
  const k = kitchen();
  try {
    await body(k);
  } finally {
    k.wall.close();
    assert.equal(k.page.observed.size, 0, 'a wall that is closed watches no card');
    for (const order of [...k.accepts.pending.keys()]) k.accepts.drop(order);
    k.page.end();
  }
};

test('what comes is appended; what goes leaves its place for a second', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2), alert(1, 3));
  await k.page.pass(50);
  assert.equal(k.stands(), '1 2 3');
  k.take(alert(3, 9, 1), alert(1, 4));
  await k.page.pass(50);
  assert.equal(k.stands(), '() 2 3 4');
  const before = k.top(2);
  await k.page.pass(HOLD - 100);
  assert.deepEqual([k.stands(), k.top(2)], ['() 2 3 4', before]);
  await k.page.pass(200);
  assert.deepEqual([k.stands(), k.top(2), k.page.observed.size], ['2 3 4', 0, 3]);
}));

test('nothing moves under a finger, nor under a mouse, nor for a second after', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2), alert(1, 3));
  await k.page.pass(2000);
  const where = k.at(3);
  const target = k.down(where);
  k.take(alert(3, 9, 1));
  await k.page.pass(3000);
  assert.equal(k.stands(), '() 2 3', 'a finger that is down');
  k.up(target, where);
  await k.page.pass(HOLD - 50);
  assert.equal(k.stands(), '() 2 3');
  await k.page.pass(100);
  assert.equal(k.stands(), '2 3');
  k.take(alert(3, 10, 2));
  for (let ms = 0; ms < 5000; ms += 200) {
    k.move(k.at(3));
    await k.page.pass(200);
    assert.equal(k.stands(), '() 3', `a mouse that moves, at ${ms} ms`);
  }
  await k.page.pass(HOLD);
  assert.equal(k.stands(), '3');
}));

test('an older order that comes late goes to its place when no hand is near', atWork(async (k) => {
  k.take(alert(1, 5), alert(1, 6));
  await k.page.pass(2000);
  k.move(k.at(5));
  k.take(alert(1, 2));
  await k.page.pass(500);
  assert.equal(k.stands(), '5 6 2');
  await k.page.pass(1000);
  assert.equal(k.stands(), '2 5 6');
}));

test('a press counts on a card that stood; on one that has just come it is seen not to', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2));
  await k.page.pass(STILL + 100);
  await k.press(2);
  assert.equal(k.pending(), '2');
  k.take(alert(1, 3));
  await k.page.pass(STILL - 100);
  await k.press(3);
  assert.equal(k.pending(), '2');
  assert.notEqual(k.missed(3), '');
  await k.page.pass(200);
  await k.press(3);
  assert.equal(k.pending(), '2 3');
  await k.page.pass(UNDO);
  assert.deepEqual(k.sent, [2, 3]);
}));

test('a second press that does not count is told as the first was, while that still stands there', atWork(async (k) => {
  k.take(alert(1, 1));
  await k.page.pass(STILL / 4);
  const e = k.card(1).missed;
  let words = e.textContent;
  let told = 0;
  Object.defineProperty(e, 'textContent', { get: () => words, set: (to) => ((words = to), told++) });
  await k.press(1);
  const once = told;
  k.take(alert(2, 2, 1)); // the card moves on, and does not count again
  await k.press(1);
  assert.deepEqual([once, told > once, words !== '', k.pending()], [1, true, true, '']);
}));

test('down on one card and up on another is no press of either', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2));
  await k.page.pass(STILL + 100);
  const target = k.down(k.at(1));
  await k.page.pass(60);
  k.up(target, k.at(2));
  await k.page.pass(50);
  assert.equal(k.pending(), '');
  assert.notEqual(k.missed(1), '', 'the one that it began on says so');
}));

test('down between the cards and up on one is seen not to count', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2));
  await k.page.pass(STILL + 100);
  k.up(k.down({ x: -50, y: -50 }), k.at(2));
  await k.page.pass(50);
  assert.equal(k.pending(), '');
  assert.notEqual(k.missed(2), '');
}));

test('after the gaps closed, what came there is not pressed for a while', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2), alert(1, 3));
  await k.page.pass(2000);
  k.take(alert(3, 9, 1));
  const place = k.at(2);
  await k.page.pass(HOLD + 60); // 3 glides to where 2 was
  assert.equal(k.stands(), '2 3');
  const target = k.down(place);
  await k.page.pass(60);
  k.up(target, place);
  await k.page.pass(50);
  assert.equal(k.pending(), '');
  await k.page.pass(1000);
  await k.press(3);
  assert.equal(k.pending(), '3');
}));

test('a card that grew has moved those below it', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2));
  await k.page.pass(2000);
  k.card(1).li.needs = ROW + 40;
  k.wall.resized([{ target: k.card(1).li, borderBoxSize: [{ blockSize: ROW + 40 }] }]);
  await k.page.pass(50);
  await k.press(2);
  assert.deepEqual([k.pending(), k.missed(2) !== ''], ['', true]);
  await k.press(1);
  assert.equal(k.pending(), '1', 'it stands where it stood');
}));

test('what is written on a card moves the others only when no hand is near', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2));
  await k.page.pass(2000);
  k.move(k.at(2));
  const before = k.top(2);
  k.card(1).li.needs = ROW + 40; // as its reminder's words would
  k.take(alert(2, 3, 1));
  await k.page.pass(HOLD - 200);
  assert.equal(k.top(2), before);
  await k.page.pass(500);
  assert.equal(k.top(2), before + 40);
}));

test('a mouse that rests takes no card that came under it, until it is pressed twice', atWork(async (k) => {
  k.take(alert(1, 1));
  await k.page.pass(1000);
  k.move({ clientX: 80, clientY: ROW + 10 + ROW / 2 }); // below the only card
  await k.page.pass(2000);
  k.take(alert(1, 2));
  await k.page.pass(2000);
  await k.press(2, { pointerType: 'mouse' });
  assert.equal(k.pending(), '');
  await k.press(2, { pointerType: 'mouse' });
  assert.equal(k.pending(), '2');
}));

test('a reminder takes the press back, and the card says why', atWork(async (k) => {
  k.take(alert(1, 1));
  await k.page.pass(1000);
  await k.press(1);
  k.orders.take(alert(2, 2, 1));
  assert.ok(k.accepts.raised('1 order 1'));
  k.wall.takenBack('1 order 1');
  await k.page.pass(50);
  assert.deepEqual([k.pending(), k.missed(1) !== '', k.card(1).accept.hidden], ['', true, false]);
}));

test('the focus goes on when its card goes, and Enter counts there after a second', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2), alert(1, 3));
  await k.page.pass(1000);
  k.card(1).li.focus();
  k.take(alert(3, 9, 1));
  await k.page.pass(50);
  assert.equal(document.activeElement, k.card(2).li);
  await k.page.pass(SETTLED - 200);
  k.enter();
  await k.page.pass(50);
  assert.deepEqual([k.pending(), k.missed(2) !== ''], ['', true]);
  await k.page.pass(SETTLED);
  k.enter();
  await k.page.pass(50);
  assert.equal(k.pending(), '2');
  k.take(alert(3, 10, 2), alert(3, 11, 3));
  await k.page.pass(50);
  assert.equal(document.activeElement, k.page.list, 'the last one leaves it to the list');
}));

test('an order that is open again is another card, and a press that was aimed at the first takes neither', atWork(async (k) => {
  k.take(alert(1, 1), alert(1, 2));
  await k.page.pass(1000);
  const where = k.at(1);
  const target = k.down(where);
  k.take(alert(3, 3, 1), alert(2, 4, 1));
  k.up(target, where); // before the change is drawn
  await k.page.pass(50);
  assert.equal(k.pending(), '');
  assert.equal(k.stands(), '() 2 1');
}));
