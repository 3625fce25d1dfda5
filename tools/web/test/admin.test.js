// What the administrator's page says of each thing, and what it marks.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { alertRow, behind, callbackRow, consoleRow, messageRow, sessionRow, shopRow, tokenRow, unheard } from '../../../static/admin/rows.js';

const NOW = Date.parse('2026-11-22T12:00:00Z');
const ago = (seconds) => new Date(NOW - seconds * 1000).toISOString();

test('a console is behind by what its log has more', () => {
  assert.equal(behind('k3.1:40', 'k3.1:42'), 2);
  assert.equal(behind('k3.1:42', 'k3.1:42'), 0);
  assert.equal(behind('k3.1:43', 'k3.1:42'), 0, 'it came further while the list was read');
  for (const [at, head] of [['', 'k3.1:1'], ['k3.1:1', 'k4.1:9'], ['k3.', 'k3.1:1']]) assert.equal(behind(at, head), null, `${at} ${head}`);
});

const device = (over) => ({ console: 'c', sid: 's', label: '', transport: 'sse', since: ago(30), cursor: 'k.1:5', audible: true, sub: 'till', ...over });

test('a device that cannot ring, or is behind, is marked', () => {
  const good = consoleRow(device({ lastReceipt: ago(5) }), 'k.1:5', NOW);
  assert.equal(good.bad, false);
  assert.match(good.facts.join(), /SSE.*30 秒.*没有落后.*能响铃.*最近回执/);
  assert.equal(good.title, 's');
  assert.equal(consoleRow(device({ label: '厨房' }), 'k.1:5', NOW).title, '厨房');
  const silent = consoleRow(device({ audible: false }), 'k.1:5', NOW);
  assert.deepEqual([silent.bad, silent.facts.includes('不能响铃'), silent.facts.includes('还没有回执')], [true, true, true]);
  assert.equal(consoleRow(device({ audible: null }), 'k.1:5', NOW).bad, false, 'a program says nothing, and is no fault');
  assert.match(consoleRow(device({}), 'k.1:9', NOW).facts.join(), /落后 4 条/);
  assert.equal(consoleRow(device({}), 'k.1:9', NOW).bad, true);
});

test('a shop where nothing can ring is marked', () => {
  assert.deepEqual(shopRow({ id: 7, name: '' }, { attentive: 0, consoles: [{}] }), { title: '门店 7', facts: ['0 / 1 台设备能响铃'], bad: true });
  assert.equal(shopRow({ id: 7, name: '总店' }, { attentive: 1, since: ago(60), consoles: [{}] }).bad, false);
});

const order = (over) => ({ seq: 1, number: 'A-1', orderId: 1, type: 1, time: ago(90), reached: [{ state: 'stored', at: ago(90) }], ...over });

test('an order that rang nowhere for a minute is marked, with who was told', () => {
  assert.equal(unheard(order({ time: ago(59) }), NOW), false, 'it may ring yet');
  assert.equal(unheard(order({ reached: [{ state: 'sounded', at: ago(80) }] }), NOW), false);
  const row = alertRow(order({ told: [{ to: 'owner', rung: 2, round: 1, at: ago(1), state: 'given_up' }] }), NOW);
  assert.equal(row.bad, true);
  assert.equal(row.title, '来单提醒 A-1');
  assert.match(row.facts.join(), /无人听到.*90|已等待.*已入库.*第 2 级通知 owner：发送失败/);
  assert.match(alertRow(order({ number: '', type: 2, reached: [] }), NOW).title, /客户催单 1/);
});

test('a callback that waits, and a message that was given up, are marked', () => {
  const callback = { provider: 'wechat', kind: 'payment', transactionId: 't-1', number: 'A-1', amount: 1250, currency: 'CNY', verdict: 'settled', waits: false, times: 1, last: ago(9) };
  assert.match(callbackRow(callback).facts.join(), /^已处理（settled）,支付 ¥12\.50,wechat,t-1/);
  const held = callbackRow({ ...callback, number: '', verdict: 'amount_differs', waits: true, times: 3, reason: 'why' });
  assert.deepEqual([held.bad, held.title], [true, 't-1']);
  assert.match(held.facts.join(), /需要处理（amount_differs）.*收到 3 次,why$/);
  const message = { id: 1, hook: 'printer', event: 'order.paid', shopId: 1, state: 'waiting', attempts: 2, created: ago(60), next: ago(-60) };
  assert.match(messageRow(message).facts.join(), /等待发送,order.paid,门店 1,已尝试 2 次,下次/);
  assert.equal(messageRow({ ...message, state: 'given_up', next: null, error: 'HTTP 500' }).bad, true);
});

test('sessions and tokens say whose, for which shops and until when', () => {
  const session = { id: 'a', name: '前台', label: 'Chrome', role: 'console', shops: [{ id: 1, name: '总店' }], all: false, since: ago(60), expires: ago(-60), paired: false, this: true };
  assert.match([sessionRow(session).title, ...sessionRow(session).facts].join(), /前台 \(本机\),控制台,总店.*有效期至.*Chrome/);
  assert.match(sessionRow({ ...session, paired: true }).facts.join(), /已配对/);
  const token = { id: '0123456789abcdef', sub: 'backend', role: 'service', shops: [], all: true, issued: null, expires: ago(-60), used: null, revoked: null, this: false };
  const row = tokenRow(token);
  assert.deepEqual([row.bad, row.title], [false, 'backend']);
  assert.match(row.facts.join(), /系统,全部门店,未使用,有效期至.*01234567$/);
  const gone = tokenRow({ ...token, issued: ago(9), used: ago(5), revoked: ago(1), revokedBy: 'admin:boss' });
  assert.equal(gone.bad, true);
  assert.match(gone.facts.join(), /boss 吊销.*签发.*最近使用/);
});
