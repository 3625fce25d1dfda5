// The console's rules about sound and tabs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ahead, heardTime, serverNow } from '../../../static/shared/clock.js';
import { CURES, judge, verdict } from '../../../static/doctor/diagnosis.js';
import { bars } from '../../../static/console/figures.js';
import { hearing, outcome } from '../../../static/console/history.js';
import { deviceLabel, inApp, parsePairing } from '../../../static/console/pairing.js';
import { defaults, isQuiet, read } from '../../../static/console/settings.js';
import { claim } from '../../../static/console/tabs.js';

const alert = (seq) => ({ type: 1, orderId: seq, content: 'x', shopId: 1, seq, number: 'n', source: 'order', time: '2026-01-01T00:00:00.000Z' });
test('quiet hours may pass midnight', () => {
  const s = { ...defaults(''), quiet: true, quietFrom: '22:00', quietTo: '07:00' };
  const at = (h, m) => isQuiet(s, new Date(2026, 0, 1, h, m));
  assert.deepEqual([at(21, 59), at(22, 0), at(3, 0), at(6, 59), at(7, 0)], [false, true, true, true, false]);
  assert.equal(isQuiet({ ...s, quiet: false }, new Date(2026, 0, 1, 23, 0)), false);
  assert.equal(isQuiet({ ...s, quietTo: '22:00' }, new Date(2026, 0, 1, 22, 0)), false);
});

test('settings that are none are left out', () => {
  assert.deepEqual(read('{"volume":9,"voice":"no","quietFrom":"25:00","tunes":{"1":"gong","2":"beep"}}', ''), {
    ...defaults(''),
    volume: 1,
    tunes: { 1: 'bell', 2: 'beep' },
  });
  for (const text of [null, '', '1', 'null', '{']) assert.deepEqual(read(text, ''), defaults(''));
  assert.equal(defaults('Linux; Android 14').awake, true);
});

test("a time is the server's, whatever this device's clock says", () => {
  const device = 1_000_000_000;
  heardTime(device - 3_600_000, device);
  assert.deepEqual([serverNow(device), serverNow(device + 5000), ahead()], [device - 3_600_000, device - 3_595_000, 3_600_000]);
  heardTime(device - 3_600_000 - 900, device); // whole seconds, and on its way: no news
  assert.equal(ahead(), 3_600_000);
  heardTime(Number.NaN, device);
  assert.equal(ahead(), 3_600_000);
  heardTime(device, device);
  assert.equal(serverNow(device), device);
});

test('a lease has one holder, who renews it; the next one waits for its end', () => {
  assert.deepEqual(claim(null, 'a', 1000), { mine: false, write: 'a 1600' });
  assert.deepEqual(claim('a 1600', 'a', 1250), { mine: true, write: 'a 1850' });
  assert.deepEqual(claim('a 1600', 'b', 1250), { mine: false, write: null });
  assert.deepEqual(claim('a 1600', 'b', 1600), { mine: false, write: 'b 2200' });
  assert.deepEqual(claim('a 999999', 'b', 1000), { mine: false, write: 'b 1600' }, 'a clock that was set back');
  assert.deepEqual(claim('rubbish', 'b', 1000), { mine: false, write: 'b 1600' });
});

test('the bars of a day', () => {
  const hours = Array.from({ length: 24 }, (_, i) => ({ alerts: i === 12 ? 4 : i === 13 ? 2 : 0, accepted: { p50: 1, p95: 2, n: i === 12 ? 4 : 0 } }));
  const got = bars(hours);
  assert.deepEqual([got.length, got[12].height, got[13].height, got[0].height], [24, 1, 0.5, 0]);
  assert.match(got[12].label, /^12:00 4 · 1\.0/);
  assert.equal(bars([{ alerts: 0, accepted: { p50: 0, p95: 0, n: 0 } }])[0].height, 0);
});

test('who heard an alert, in words', () => {
  const a = { ...alert(1), state: 'open', receipts: [] };
  assert.match(hearing(a), /No device|还没有设备/);
  const at = (s) => `2026-01-01T00:00:0${s}.000Z`;
  const receipts = [
    { console: 'c1', stage: 'shown', by: 'x', at: at(1) },
    { console: 'c1', stage: 'sounded', by: 'x', at: at(3) },
    { console: 'c2', stage: 'sounded', by: 'x', at: at(4) },
  ];
  assert.match(hearing({ ...a, receipts }), /2.*3/);
  assert.match(outcome({ ...a, state: 'closed', by: 'cook' }), /cook/);
  assert.doesNotMatch(outcome(a), /\{n\}/);
});

test('a pairing link is read, and what is none is null', () => {
  assert.deepEqual(parsePairing('#pair=ABCDEFGH12&shop=%E6%80%BB%E5%BA%97&name=a+b'), { ticket: 'ABCDEFGH12' });
  for (const bad of ['', '#', '#pair=', '#pair=a b', '#pair=<b>', '#ticket=ABCDEFGH12', `#pair=${'x'.repeat(65)}`]) assert.equal(parsePairing(bad), null, bad);
});

test("apps' own browsers are told from real ones", () => {
  for (const agent of [
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.44(0x18002c2f) NetType/WIFI Language/zh_CN',
    'Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/110 Mobile Safari/537.36 AlipayClient/10.5.20',
    'Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 Chrome/110 Mobile DingTalk/7.0',
    'Mozilla/5.0 (Linux; Android 13) Chrome/110 Mobile Safari/537.36 V1_AND_SQ_8.9.0 QQ/8.9.0.8000',
    'Mozilla/5.0 (iPhone) AppleWebKit/605 [FBAN/FBIOS;FBAV/440.0]',
  ])
    assert.ok(inApp(agent), agent);
  for (const agent of [
    'Mozilla/5.0 (Linux; Android 14; SM-X200) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36',
    'Mozilla/5.0 (iPad; CPU OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1',
    'Mozilla/5.0 (Linux; Android 12; HarmonyOS) AppleWebKit/537.36 HuaweiBrowser/14.0 Mobile Safari/537.36',
  ])
    assert.ok(!inApp(agent), agent);
  assert.equal(deviceLabel('Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/130 Safari/537.36 Edg/130.0'), 'Windows Edge');
});

test('what the doctor makes of its measurements', () => {
  const fine = {
    signedIn: true,
    skew: 1,
    answer: 20,
    websocket: { hello: 30, refused: null },
    sse: { headers: 10, first: 20, gaps: [1000, 990], cut: null },
    poll: { took: 2010, wanted: 2000 },
    idle: { cut: null, watched: 20_000 },
    secure: true,
  };
  const words = (over) => judge({ ...fine, ...over }).filter((f) => f.grade !== 'ok');
  assert.deepEqual(verdict(judge(fine)), { grade: 'ok', proxy: false });
  for (const [over, check, key] of [
    [{ websocket: { hello: null, refused: 40 } }, 'websocket', 'dSocketRefused'],
    [{ websocket: { hello: null, refused: null } }, 'websocket', 'dSocketHangs'],
    [{ sse: { headers: null, first: null, gaps: [], cut: null } }, 'sse', 'dSSEHeld'],
    [{ sse: { headers: 5, first: null, gaps: [], cut: null } }, 'sse', 'dSSEBuffered'],
    [{ sse: { headers: 5, first: 9, gaps: [1000, 20], cut: null } }, 'held', 'dBunched'],
    [{ poll: { took: null, wanted: 2000 } }, 'poll', 'dPollBroken'],
    [{ idle: { cut: 5000, watched: 20_000 } }, 'idle', 'dIdleCut'],
  ]) {
    const [found, ...more] = words(over);
    assert.deepEqual([found.check, found.words, more.length], [check, key, 0]);
    assert.equal(verdict(judge({ ...fine, ...over })).proxy, true);
  }
  assert.equal(words({ skew: -31 })[0].check, 'clock');
  assert.equal(words({ secure: false })[0].check, 'secure');
  assert.deepEqual(
    judge({ ...fine, signedIn: false }).map((f) => f.words),
    ['dSignIn'],
  );
  assert.deepEqual(judge({}), [], 'nothing is measured yet');
  const soFar = judge({ signedIn: true, skew: 1, answer: 20, websocket: fine.websocket });
  assert.deepEqual(
    soFar.map((f) => f.check),
    ['clock', 'answer', 'websocket'],
    'what is known is told while the rest is looked at',
  );
  for (const [name, text] of Object.entries(CURES)) assert.match(text, /127\.0\.0\.1:8080/, name);
});
