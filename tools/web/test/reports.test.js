// A report of what was shown or sounded gets through in the end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refused } from '../../../static/shared/api.js';
import { AT_ONCE, MOST, Reports, WAIT } from '../../../static/console/board/reports.js';

const report = (seq) => ({ a: { shopId: 1, seq }, stage: 'sounded', reason: '' });

test('a report that is cut off, or comes under an old id, is sent again', async () => {
  const got = [];
  const answers = [new TypeError('no network'), new Refused(503, {}), new Refused(403, {}), new Refused(429, {}), null];
  const reports = new Reports(async (path, body) => {
    got.push(`${path} ${body.console}`);
    const answer = answers.shift();
    if (answer) throw answer;
  });
  reports.add(report(7));
  await reports.send('');
  assert.deepEqual(got, []);
  for (const id of ['c1', 'c1', 'c1', 'c2', 'c2', 'c2']) await reports.send(id);
  assert.deepEqual(got, ['c1', 'c1', 'c1', 'c2', 'c2'].map((id) => `api/v1/alerts/1/7/receipts ${id}`));
});

test('a report that can never get through is not', async () => {
  let calls = 0;
  const reports = new Reports(async () => {
    calls++;
    throw new Refused(404, {});
  });
  reports.add(report(7));
  await reports.send('c1');
  await reports.send('c1');
  assert.equal(calls, 1);
});

test('those that wait are tried now and then, not at every tick', async () => {
  let calls = 0;
  const reports = new Reports(async () => {
    calls++;
    throw new TypeError('no network');
  });
  reports.add(report(7));
  await reports.send('c1');
  const start = Date.now();
  for (let ms = 0; ms < WAIT - 1000; ms += 100) reports.again('c1', start + ms);
  assert.equal(calls, 1);
  reports.again('c1', start + WAIT);
  assert.equal(calls, 2);
});

test('what waits is bounded', async () => {
  const reports = new Reports(async () => {
    throw new TypeError('no network');
  });
  for (let seq = 1; seq <= MOST + 50; seq++) reports.add(report(seq));
  await reports.send('c1');
  assert.equal(reports.waiting.length, MOST);
  assert.equal(reports.waiting.at(-1).a.seq, MOST + 50);
});

test('a ring of a full board is a few requests at a time, and none is lost', async () => {
  let under = 0;
  let most = 0;
  const got = [];
  const reports = new Reports(async (path) => {
    most = Math.max(most, ++under);
    await null;
    under--;
    got.push(Number(path.split('/')[4]));
  });
  const sent = [];
  for (let seq = 1; seq <= 500; seq++) {
    reports.add(report(seq));
    sent.push(reports.send('c1')); // each as it comes, as the page does
  }
  await Promise.all(sent);
  assert.equal(most, AT_ONCE);
  assert.deepEqual(
    got,
    Array.from({ length: 500 }, (_, i) => i + 1),
  );
});

test('one that was cut off goes again as the console of then, while others are under way', async () => {
  const got = [];
  let open = () => {};
  const hung = new Promise((done) => {
    open = done;
  });
  const reports = new Reports(async (path, body) => {
    got.push(`${path.split('/')[4]} ${body.console}`);
    if (got.length === 1) throw new TypeError('no network');
    if (got.length === 2) await hung;
  });
  reports.add(report(1));
  await reports.send('c1');
  reports.add(report(2));
  const second = reports.send('c2'); // both: one hangs, the other gets through
  await reports.send('c2');
  open();
  await second;
  assert.deepEqual(got, ['1 c1', '1 c2', '2 c2']);
});
