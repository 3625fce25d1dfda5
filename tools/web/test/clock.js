import FakeTimers from '@sinonjs/fake-timers';

/**
 * Time that goes on by tick alone: Date and setTimeout, from now on until end.
 * Node 18's own mock of timers has no Date.
 */
export function virtualTime(now) {
  const clock = FakeTimers.install({ now, toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
  return { tick: (ms) => clock.tick(ms), end: () => clock.uninstall() };
}
