// What people read: in both languages, and in one at a time.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Away, Refused } from '../../../static/shared/api.js';
import { language, t, texts } from '../../../static/shared/i18n.js';
import { acceptFailed, clockOff, contentOf, lasts, who, why } from '../../../static/shared/say.js';

const folder = new URL('../../../static/', import.meta.url);
const scripts = readdirSync(folder, { recursive: true }).filter((f) => f.endsWith('.js') && !/texts\.(zh|en)\.js$/.test(f));
const source = (name) => readFileSync(new URL(name, folder), 'utf8');
const HAN = /\p{Script=Han}/u;
const keys = Object.keys(texts.en);

test('every key is in both languages, with the same values', () => {
  assert.deepEqual(Object.keys(texts.zh).sort(), [...keys].sort());
  const values = (text) => [...new Set([...text.matchAll(/\{(\w+)/g)].map((m) => m[1]))].sort();
  for (const key of keys) assert.deepEqual(values(texts.zh[key]), values(texts.en[key]), key);
});

test('a text is of its own language', () => {
  const names = new Set(['d_websocket', 'd_secure']); // what is called so in both
  for (const key of keys) {
    assert.doesNotMatch(texts.en[key], HAN, key);
    assert.doesNotMatch(texts.en[key], /[，。：；！？（）“]\s*$/u, key);
    const bare = texts.zh[key].replace(/\{[^}]*\}/g, '');
    if (!names.has(key) && /\p{L}/u.test(bare)) assert.match(bare, HAN, key);
    // Names and commands stand in a Chinese text as they are; a sentence does not.
    const commands = bare.replace(/doorbell \w+( --\w+ \S+)*/g, '');
    assert.doesNotMatch(commands, /[a-z]{2,} [a-z]{2,}/i, key);
    assert.doesNotMatch(commands, /console|wake lock|push|token/i, key);
  }
});

test('no text is forgotten, and none is left over', () => {
  const code = scripts.map(source).join('\n');
  const made = [...code.matchAll(/`(\w+_?)\$\{/g)].map((m) => m[1]); // t(`open_${transport}`)
  const used = (key) => code.includes(`'${key}'`) || made.some((start) => key.startsWith(start) && key !== start);
  for (const key of keys) assert.ok(used(key), `${key} is used nowhere`);
  for (const [, key] of code.matchAll(/[^\w.]t\('(\w+)'/g)) assert.ok(key in texts.en, `t('${key}') has no text`);
});

// The demonstration shows both languages side by side; the worker has no module
// to import; an alert's text by doorbell itself is recognized.
const BOTH = { 'demo/demo.js': /.*/su, 'sw.js': /来单提醒|客户催单|订单号: /gu, 'shared/say.js': /订单号: /gu, 'console/board/words.js': /订单号: /gu };

test('no module says something past the texts', () => {
  for (const name of scripts) {
    const code = source(name)
      .replace(/\/\*[\s\S]*?\*\//g, '')
      .replace(/(^|\s)\/\/.*$/gm, '');
    const rest = code.replace(BOTH[name] ?? /$^/, '');
    assert.equal(HAN.exec(rest)?.[0], undefined, `${name} has a Chinese text that texts.zh.js does not`);
    // They would be in the browser's language, or the server's log's.
    const own = /t\('\w*[fF]ailed'.*(err\.message|String\(err\))/.exec(code);
    assert.equal(own?.[0], undefined, `${name} shows an error's own words: why() and acceptFailed() of say.js have the page's`);
  }
});

test('a failure is told in the language of the page', () => {
  const away = new Away(new TypeError('Failed to fetch'));
  const hung = new Away(new DOMException('signal timed out', 'TimeoutError'));
  const refused = new Refused(409, { detail: '订单 7 已取消。', code: 'conflict' });
  const token = new Refused(401, { detail: 'The token was not signed with this key.', code: 'token_unknown_key' });
  assert.equal(language, 'zh');
  assert.equal(acceptFailed(away), '未接单成功：网络断开，恢复后请再按一次');
  assert.equal(acceptFailed(refused), '未接单成功：订单 7 已取消');
  assert.equal(t('signInFailed', { why: why(token) }), '登录失败：令牌无效');
  assert.equal(why(hung), '服务器没有响应');
  assert.equal(why(new Refused(502, {})), '服务器返回错误 502');
  const { error } = console;
  const told = [];
  console.error = (e) => told.push(e);
  assert.equal(why(new TypeError('x is undefined')), '页面出错，请重新加载');
  console.error = error;
  assert.equal(told.length, 1, 'a fault of ours is in the browser\'s log');
});

test('people, times and clocks in words', () => {
  assert.deepEqual(['console:厨房平板', 'console:link', 'service:till', 'provider:wechat', 'customer:7', '厨房:1'].map(who), [
    '厨房平板',
    '用链接登录的设备',
    '系统 till',
    '支付平台',
    '顾客',
    '厨房:1',
  ]);
  assert.deepEqual([31, 89, 90, 3290, 3600, 5400, 86_400, 864_000].map(lasts), ['31 秒', '89 秒', '2 分钟', '55 分钟', '1 小时', '1.5 小时', '24 小时', '10 天']);
  assert.match(clockOff(3599), /^本机时间快了 1 小时/);
  assert.match(clockOff(-120), /^本机时间慢了 2 分钟/);
  assert.equal(contentOf({ content: '订单号: A-1', number: 'A-1', orderId: 1 }), t('ourContent', { n: 'A-1' }));
  assert.equal(contentOf({ content: '订单号: 9', number: '', orderId: 9 }), t('ourContent', { n: '9' }));
  assert.equal(contentOf({ content: '桌号 5', number: 'A-1', orderId: 1 }), '桌号 5');
});

test('a word goes with its number', () => {
  const english = (key, values) => texts.en[key].replace(/\{(\w+)(?:\|([^|}]*)\|([^}]*))?\}/g, (_, n, one, many) => (one === undefined ? values[n] : values[n] === 1 ? one : many));
  assert.equal(english('heardBy', { n: 1, s: 2 }), '1 device rang, the first after 2 s');
  assert.equal(english('lastsHours', { n: 1 }), '1 hour');
  assert.equal(english('lastsHours', { n: 1.5 }), '1.5 hours');
});
