// What a link may replace.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refused } from '../../../static/shared/api.js';
import { endedBecause, replacesNothing, shopNames } from '../../../static/console/signin.js';

const who = (over) => ({ sub: 'link', role: 'console', all: false, shops: [{ id: 1, name: '总店' }], ...over });

test('a link for the same shops replaces nothing, but on a paired device', () => {
  assert.equal(replacesNothing(who({}), who({ sub: 'another' })), true);
  const two = [
    { id: 1, name: '' },
    { id: 10, name: '' },
    { id: 9, name: '' },
  ];
  assert.equal(replacesNothing(who({ shops: two }), who({ shops: [...two].reverse() })), true);
  assert.equal(replacesNothing(who({ device: true }), who({})), false);
  for (const other of [{ shops: [{ id: 2, name: '总店' }] }, { shops: two }, { all: true, shops: [] }, { role: 'admin' }])
    assert.equal(replacesNothing(who({}), who(other)), false, JSON.stringify(other));
});

test('shops are named as the server names them', () => {
  assert.match(shopNames(who({})), /^总店$/);
  assert.match(shopNames(who({ shops: [{ id: 7, name: '' }] })), /7/);
  const many = Array.from({ length: 60 }, (_, i) => ({ id: i + 1, name: `s${i}` }));
  assert.match(shopNames(who({ shops: many })), /s4 … \(60\)$/);
});

test('the page says why a sign-in ended only where the server does', () => {
  assert.equal(endedBecause(new Refused(401, { code: 'session_removed', detail: 'removed' })), 'removed');
  assert.equal(endedBecause(new Refused(401, { code: 'session_outdated', detail: 'pair again' })), 'pair again');
  assert.equal(endedBecause(new Refused(401, { code: 'token_expired', detail: 'over' })), '');
  assert.equal(endedBecause(new TypeError('network')), '');
});
