// What was ordered: asked for once per burst.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Details, readDetail } from '../../../static/console/board/details.js';
import { fold, money } from '../../../static/console/board/words.js';
import { alertKey } from '../../../static/console/board/alert.js';
import { virtualTime } from './clock.js';

const alert = (seq, type = 1) => ({
  type,
  orderId: seq,
  content: 'x',
  shopId: 1,
  seq,
  number: 'n',
  source: 'order',
  time: '2026-01-01T00:00:00.000Z',
});
const told = (seq, note) => ({ ...alert(seq), detail: note ? { note } : undefined });

/** A server that has these alerts open, and the details of a shop that asks it. */
function shop(open, answer = async (page) => page) {
  const clock = virtualTime(1_000_000);
  const asked = [];
  const came = [];
  const details = new Details({
    shop: 1,
    random: () => 1,
    onRead: (alerts) => came.push(...alerts.map((a) => `${a.shopId}:${a.seq} ${a.detail.note}`)),
    ask: (path) => {
      asked.push(path);
      const q = new URLSearchParams(path.split('?')[1]);
      const found = open.filter((a) => a.seq > Number(q.get('after')) && a.seq < Number(q.get('before') ?? Number.MAX_SAFE_INTEGER));
      found.sort((a, b) => b.seq - a.seq);
      const limit = Number(q.get('limit'));
      return answer({ alerts: found.slice(0, limit), next: found.length > limit ? found[limit - 1].seq : null });
    },
  });
  const pass = async (ms) => {
    for (let left = ms; left > 0; left -= 10) {
      clock.tick(Math.min(10, left));
      for (let i = 0; i < 6; i++) await Promise.resolve();
    }
  };
  return { asked, came, details, pass, end: () => (details.close(), clock.end()) };
}

test('a burst is one question, and the next one waits for the answer', async () => {
  const open = Array.from({ length: 40 }, (_, i) => told(i + 1, `n${i + 1}`));
  const s = shop(open);
  for (let i = 10; i < 30; i++) s.details.want([alert(i)]);
  await s.pass(200);
  assert.deepEqual(s.asked, ['api/v1/alerts?shop=1&state=open&after=9&limit=500']);
  assert.equal(s.details.of(alert(29)).note, 'n29');
  assert.equal(s.came.length, 31, 'the answer has those after the burst too');
  s.details.want([alert(35)]);
  await s.pass(2000);
  assert.equal(s.asked.length, 1, 'what is known is not asked for');
  s.end();
});

test('a rush of a minute is a few questions a second at most', async () => {
  const open = [];
  const s = shop(open);
  for (let i = 1; i <= 500; i++) {
    open.push(told(i, 'n'));
    s.details.want([alert(i)]);
    await s.pass(120);
  }
  await s.pass(1000);
  assert.equal(s.came.length, 500);
  assert.ok(s.asked.length <= 160 && s.asked.length >= 60, `${s.asked.length} questions in a minute`);
  s.end();
});

test('two questions never run at once, and what comes meanwhile is asked for next', async () => {
  let release = () => {};
  const s = shop(
    [told(1, 'a'), told(2, 'b')],
    (page) => new Promise((done) => (release = () => done({ alerts: page.alerts.filter((a) => a.seq === 1), next: null }))),
  );
  s.details.want([alert(1)]);
  await s.pass(200);
  s.details.want([alert(2)]);
  await s.pass(5000);
  assert.equal(s.asked.length, 1);
  release();
  await s.pass(1000);
  assert.equal(s.asked.length, 2, 'alert 2 came after the question');
  s.end();
});

test('a failure is asked again, later and later, until it is answered', async () => {
  let up = false;
  const s = shop([told(1, 'a')], async (page) => {
    if (!up) throw new TypeError('Failed to fetch');
    return page;
  });
  s.details.want([alert(1)]);
  await s.pass(60_000);
  assert.ok(s.asked.length >= 5 && s.asked.length <= 9, `${s.asked.length} questions in a minute without a server`);
  up = true;
  s.details.again();
  await s.pass(200);
  assert.deepEqual(s.came, ['1:1 a']);
  const before = s.asked.length;
  await s.pass(60_000);
  assert.equal(s.asked.length, before, 'what was answered is not asked again');
  s.end();
});

test('what was closed is neither asked for nor kept', async () => {
  const s = shop([]);
  s.details.want([alert(1), alert(2, 3)]);
  s.details.keep(new Set());
  await s.pass(1000);
  assert.equal(s.asked.length, 0);
  s.details.want([alert(3)]); // open when it came, closed when it is asked for
  await s.pass(10_000);
  assert.equal(s.asked.length, 1);
  s.details.learn([told(4, 'd')]);
  assert.equal(s.details.of(alert(4)).note, 'd');
  s.details.keep(new Set([alertKey(alert(4))]));
  assert.equal(s.details.known.size, 1);
  s.details.keep(new Set());
  assert.equal(s.details.known.size, 0);
  s.end();
});

test('more than a page is read page by page', async () => {
  const open = Array.from({ length: 1100 }, (_, i) => told(i + 1, 'n'));
  const s = shop(open);
  s.details.want([alert(1)]);
  await s.pass(300);
  assert.equal(s.came.length, 1100);
  assert.equal(s.asked.length, 3);
  s.end();
});

test('a part that is refunded while the card is open is seen with the next refresh', async () => {
  const open = [told(1, 'a'), { ...told(2, 'b'), source: 'external' }];
  const s = shop(open);
  const alerts = [alert(1), { ...alert(2), source: 'external' }];
  s.details.want(alerts);
  await s.pass(2000);
  assert.deepEqual([s.asked.length, s.came.length], [1, 2]);
  open[0] = { ...open[0], refundedAmount: 250, currency: 'CNY' };
  s.details.refresh(alerts);
  await s.pass(2000);
  assert.deepEqual([s.asked.length, s.came.length], [2, 3]);
  assert.equal(s.details.of(alert(1)).refunded.amount, 250);
  s.details.learn([told(1, 'a')]);
  assert.equal(s.details.of(alert(1)).refunded.amount, 250, 'an older answer that comes late takes nothing back');
  s.details.refresh([{ ...alert(2), source: 'external' }]);
  await s.pass(2000);
  assert.equal(s.asked.length, 2, 'orders of other systems are not paid through this server');
  s.end();
});

test('details are whole, or null', () => {
  assert.deepEqual(readDetail({ lines: ['a', ' ', ''], table: ' 5 ' }), { lines: ['a'], note: '', table: '5', pickup: '' });
  for (const none of [undefined, {}, { lines: [] }, { lines: [' '] }, { note: ' ' }, { lines: 'x' }]) assert.equal(readDetail(none), null);
});

test('what was refunded stands on the card, and again when more was', () => {
  const seen = [];
  const d = new Details({ shop: 1, ask: async () => ({ alerts: [], next: null }), onRead: (alerts) => seen.push(...alerts.map((a) => a.detail.refunded?.amount)) });
  const open = (refundedAmount) => [{ type: 1, orderId: 7, content: 'x', shopId: 1, seq: 1, number: 'A-1', source: 'order', time: '2026-01-01T00:00:00Z', refundedAmount, currency: 'CNY' }];
  for (const amount of [undefined, 1, 1, 2801]) d.learn(open(amount));
  assert.deepEqual(seen, [1, 2801]);
  const folded = fold(d.of(open(0)[0]), '', false);
  assert.deepEqual(folded.lines.map((l) => l.note), [true]);
  assert.match(folded.lines[0].text, /28\.01/);
  assert.match(money({ amount: 500, currency: 'JPY' }), /500/);
  d.close();
});
