// The pure modules of the console.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { formatCursor, parseCursor, place } from '../../../static/client/cursor.js';
import { eventStream } from '../../../static/client/eventstream.js';
import { age } from '../../../static/console/board/alert.js';
import { receive } from './fold.js';

const read = (chunks) => {
  const events = [];
  const feed = eventStream((e) => events.push(e));
  for (const c of chunks) feed(c);
  return events;
};

test('an event stream is read the same however it is cut', () => {
  const text = '\ufeff: hi\r\nretry: 5\n\nid: a.1:1\ndata: {"x":1}\n\nevent: ping\rdata: y\rdata:z\r\r\ndata\n\nid: b\0\ndata: last\n\ndata: unfinished';
  const want = [
    { id: 'a.1:1', event: 'message', data: '{"x":1}' },
    { id: 'a.1:1', event: 'ping', data: 'y\nz' },
    { id: 'a.1:1', event: 'message', data: '' },
    { id: 'a.1:1', event: 'message', data: 'last' },
  ];
  assert.deepEqual(read([text]), want);
  assert.deepEqual(read([...text]), want);
  for (let i = 1; i < text.length; i++) assert.deepEqual(read([text.slice(0, i), text.slice(i)]), want, `cut at ${i}`);
});

test("the web platform's tests of the format", () => {
  const cases = JSON.parse(readFileSync(new URL('../../../transport/transporttest/testdata/eventstream.json', import.meta.url), 'utf8'));
  assert.ok(cases.length >= 25);
  for (const c of cases) {
    assert.deepEqual(read(c.chunks), c.events, c.name);
    assert.deepEqual(read([...c.chunks.join('')]), c.events, `${c.name}, a character at a time`);
  }
});

test('a cursor reads back, and what is none is null', () => {
  assert.equal(formatCursor(parseCursor('k3f9.7:9,1:42')), 'k3f9.1:42,7:9');
  assert.equal(formatCursor(parseCursor('k3f9.')), 'k3f9.');
  for (const bad of ['', '0', null, undefined, 'k.1', 'k.1:x', 'K.1:1', 'k.1:1,']) assert.equal(parseCursor(bad), null, String(bad));
});

test('an alert is next, seen before, or behind a hole', () => {
  const c = parseCursor('k.1:5');
  assert.equal(place(c, { shopId: 1, seq: 6 }, false), 'next');
  assert.equal(place(c, { shopId: 1, seq: 5 }, false), 'seen');
  assert.equal(place(c, { shopId: 1, seq: 8 }, false), 'hole');
  assert.equal(place(c, { shopId: 1, seq: 8 }, true), 'next');
  assert.equal(place(c, { shopId: 2, seq: 8 }, false), 'next');
});

const alert = (type, seq, orderId, source = 'order') => ({ type, seq, orderId, source, shopId: 1, content: '', number: '', time: '2026-11-22T12:00:00.000Z' });
const seqs = (open) => open.map((a) => a.seq);

test('what is open is a fold over the log', () => {
  let open = [];
  for (const a of [alert(1, 1, 7), alert(1, 2, 8), alert(1, 3, 7, 'external'), alert(2, 4, 7)]) open = receive(open, a);
  assert.deepEqual(seqs(open), [1, 2, 3, 4]);
  assert.equal(receive(open, alert(1, 2, 8)), open, 'added once however often it arrives');
  open = receive(open, alert(3, 5, 7));
  assert.deepEqual(seqs(open), [2, 3], 'a 3 silences its own order only');
  open = receive(open, alert(2, 6, 7));
  assert.deepEqual(seqs(open), [2, 3, 6], 'a later 2 rings anew');
  assert.deepEqual(seqs(receive(open, alert(4, 5, 7))), [2, 3, 6], 'a late 4 does not silence what came after it');
  const restored = { ...alert(1, 2, 9), time: '2026-11-23T12:00:00.000Z' };
  assert.equal(receive(open, restored).length, open.length + 1, 'the same seq after a restore is another alert');
});

test('an age reads like a clock', () => {
  assert.deepEqual([-5, 0, 61_000, 3_599_000, 3_600_000].map(age), ['0:00', '0:00', '1:01', '59:59', '1:00:00']);
});
