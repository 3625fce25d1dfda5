// The microphone's check: which recordings hold a chime, and what follows from it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notesOf } from '../../../static/console/sound/chime.js';
import { chimeIn } from '../../../static/console/sound/chimein.js';
import { Ear } from '../../../static/console/sound/ear.js';

const RATE = 48_000;
const LENGTH = 2; // s of a recording
const TUNES = ['bell', 'marimba', 'beep'];
const SHAPES = {
  bell: (turn) => Math.sin(2 * Math.PI * turn),
  marimba: (turn) => 4 * Math.abs((turn % 1) - 0.5) - 1,
  beep: (turn) => (turn % 1 < 0.5 ? 0.5 : -0.5),
};

/** Numbers from 0 to 1, the same in each run. */
function random(seed) {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

/** A recording of a chime that begins at a time; without a tune, of nothing. */
function recording(tune, { gain = 0.3, at = 0.4, rate = RATE, leave = [] } = {}) {
  const out = new Float32Array(LENGTH * rate);
  for (const [k, n] of (tune ? notesOf(tune) : []).entries()) {
    if (leave.includes(k)) continue;
    for (let i = 0; i < n.length * rate; i++) {
      const t = i / rate;
      const loud = t < 0.01 ? (gain * t) / 0.01 : gain * (0.001 / gain) ** ((t - 0.01) / (n.length - 0.01));
      const to = Math.floor((at + n.at) * rate) + i;
      if (to < out.length) out[to] += loud * SHAPES[tune](n.frequency * t);
    }
  }
  return out;
}

/** The same with a kitchen's noise. */
const noisy = (samples, loud, next) => samples.map((v) => v + loud * Math.sqrt(-2 * Math.log(next() + 1e-12)) * Math.cos(2 * Math.PI * next()));

/** The same in a room that echoes for so many seconds. */
function echoing(samples, seconds) {
  const next = random(3);
  const out = samples.slice();
  for (let n = 0; n < 200; n++) {
    const delay = next() * seconds;
    const gain = 0.3 * (next() - 0.5) * 10 ** ((-3 * delay) / seconds);
    const by = Math.floor(delay * RATE);
    for (let i = by; i < out.length; i++) out[i] += gain * samples[i - by];
  }
  return out;
}

const hears = (samples, tune, rate = RATE) => chimeIn(samples, rate, notesOf(tune));

test('each chime is found where it is, and no other', () => {
  for (const tune of TUNES) {
    for (const other of TUNES) assert.equal(hears(recording(tune), other), tune === other, `${other} in a recording of ${tune}`);
    for (const at of [0.1, 0.5, 0.9]) assert.ok(hears(recording(tune, { at }), tune), `${tune} after ${at} s`);
    for (const rate of [8000, 16_000, 44_100]) assert.ok(hears(recording(tune, { rate }), tune, rate), `${tune} at ${rate} Hz`);
  }
});

test('a chime is found in noise, from afar, and in a room that echoes', () => {
  const next = random(7);
  for (const tune of TUNES) {
    for (let n = 0; n < 10; n++) {
      assert.ok(hears(noisy(recording(tune), 0.1, next), tune), `${tune} beside noise a third as loud`);
      assert.ok(hears(noisy(recording(tune, { gain: 0.01 }), 0.003, next), tune), `${tune} from afar`);
    }
    assert.ok(hears(echoing(recording(tune), 1), tune), `${tune} in an echo of a second`);
  }
});

test('silence, noise and half a chime are none', () => {
  const next = random(9);
  for (const tune of TUNES) {
    assert.ok(!hears(recording(null), tune), 'silence');
    assert.ok(!hears(new Float32Array(0), tune), 'nothing');
    for (let n = 0; n < 60; n++) assert.ok(!hears(noisy(recording(null), 0.1, next), tune), `${tune} in noise`);
    for (let left = 0; left < notesOf(tune).length; left++) assert.ok(!hears(recording(tune, { leave: [left] }), tune), `${tune} without note ${left}`);
    assert.ok(!hears(noisy(recording(tune, { gain: 0.003 }), 0.2, next), tune), `${tune} that drowns`);
    const steady = Float32Array.from({ length: LENGTH * RATE }, (_, i) => notesOf(tune).reduce((sum, n) => sum + 0.2 * Math.sin((2 * Math.PI * n.frequency * i) / RATE), 0));
    assert.ok(!hears(steady, tune), `${tune}'s notes, held all the time`);
  }
});

test('two chimes in a row that were not heard make a console deaf, and one that was heard ends it', () => {
  const ear = new Ear();
  const states = [];
  ear.addEventListener('change', () => states.push(`${ear.state}${ear.deaf ? ' deaf' : ''}`));
  ear.found('missed');
  assert.deepEqual(states, [], 'off, it says nothing');
  ear.turn(true);
  for (const found of ['missed', 'heard', 'missed', 'unavailable', 'missed', 'unavailable', 'heard']) ear.found(found);
  ear.turn(false);
  assert.deepEqual(states, ['untried', 'missed', 'heard', 'missed', 'unavailable', 'missed deaf', 'unavailable deaf', 'heard', 'off']);
});
