// @ts-check
import { Away, base, Refused } from '../shared/api.js';
import { byID, element, fill } from '../shared/page.js';
import { why } from '../shared/say.js';

/**
 * The tutorial's demonstration made whole: the browser's own objects with
 * their four callbacks, and nothing between them and the screen.
 *
 * @typedef {{send: ((text: string) => void) | null, close: () => void}} Wire
 * @typedef {(callback: string, text: string) => void} Say
 */

const sid = Math.random().toString(36).slice(2);
const MOST_LINES = 200;

/** @type {Say} */
function say(callback, text) {
  const li = element('li', '', '');
  li.append(element('b', '', callback), text);
  byID('lines').prepend(li);
  while (byID('lines').children.length > MOST_LINES) byID('lines').lastElementChild?.remove();
}

/** @returns {Wire} */
function webSocket() {
  const socket = new WebSocket(`${base.replace(/^http/, 'ws')}ws/${sid}`, ['doorbell.v1']);
  socket.onopen = () => connected('onopen', '连接成功 · connected');
  socket.onmessage = (e) => say('onmessage', e.data);
  socket.onerror = () => say('onerror', '连接发生错误 · error');
  socket.onclose = (e) => disconnected('onclose', `连接已关闭 · closed ${e.code} ${e.reason}`);
  return { send: (text) => socket.send(text), close: () => socket.close(1000) };
}

/** @returns {Wire} */
function eventSource() {
  const source = new EventSource(`${base}events/${sid}`, { withCredentials: true });
  source.onopen = () => connected('onopen', '连接成功 · connected');
  source.onmessage = (e) => say('onmessage', e.data);
  for (const name of ['hello', 'ping', 'reset', 'announce', 'bye']) {
    source.addEventListener(name, (e) => say(name, /** @type {MessageEvent} */ (e).data));
  }
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) disconnected('onerror', '连接失败 · refused');
    else say('onerror', '连接断开，浏览器正在重连 · lost, the browser comes again');
  };
  return {
    send: null,
    close() {
      source.close();
      disconnected('close()', '连接已关闭 · closed');
    },
  };
}

/** @returns {Wire} */
function longPoll() {
  const abort = new AbortController();
  const read = async () => {
    let after = '';
    for (let first = true; !abort.signal.aborted; first = false) {
      const query = new URLSearchParams({ sid, ...(after && { after }), ...(first && { wait: '0' }) });
      const res = await fetch(`${base}poll?${query}`, { signal: abort.signal, cache: 'no-store', credentials: 'include' });
      if (!res.ok) throw new Refused(res.status, await res.json().catch(() => ({})));
      const answer = await res.json();
      if (first) connected('200', `连接成功 · connected ${answer.cursor}`);
      for (const m of [...answer.events, ...answer.alerts]) say('onmessage', JSON.stringify(m));
      after = answer.cursor;
    }
  };
  read().catch((err) =>
    disconnected(
      abort.signal.aborted ? 'close()' : 'onerror',
      abort.signal.aborted ? '连接已关闭 · closed' : why(err instanceof Refused ? err : new Away(err)),
    ),
  );
  return { send: null, close: () => abort.abort() };
}

const wires = { websocket: webSocket, sse: eventSource, poll: longPoll };

/** @type {Wire | null} */
let wire = null;

/** @typedef {HTMLElement & {disabled: boolean, value: string}} Field */
const field = (/** @type {string} */ id) => /** @type {Field} */ (byID(id));

/** @param {string} callback @param {string} text */
function connected(callback, text) {
  say(callback, text);
  fill('#link', '已连接 · connected');
  byID('link').dataset.state = 'open';
  field('send').disabled = wire?.send === null;
}

/** @param {string} callback @param {string} text */
function disconnected(callback, text) {
  say(callback, text);
  wire = null;
  fill('#link', '未连接 · not connected');
  byID('link').dataset.state = 'offline';
  field('connect').disabled = false;
  field('transport').disabled = false;
  field('close').disabled = true;
  field('send').disabled = true;
}

function explain() {
  const oneWay = field('transport').value !== 'websocket';
  fill(
    '#why',
    oneWay
      ? 'SSE 和长轮询只能由服务器发给浏览器，因此不能发送消息。· SSE and long poll go one way, from the server: there is nothing to send on.'
      : '',
  );
  field('send').disabled = oneWay || byID('link').dataset.state !== 'open';
}

byID('connect').onclick = () => {
  field('connect').disabled = true;
  field('transport').disabled = true;
  field('close').disabled = false;
  wire = wires[/** @type {keyof typeof wires} */ (field('transport').value)]();
};
byID('close').onclick = () => wire?.close();
byID('send').onclick = () => {
  const text = field('text').value;
  if (wire?.send) {
    wire.send(text);
    say('send()', text);
    field('text').value = '';
  }
};
byID('transport').onchange = explain;
explain();

fetch(`${base}api/v1/me`, { credentials: 'same-origin' }).then(
  (res) => {
    if (!res.ok) fill('#why', '请先在控制台登录。· Sign in on the console first.');
  },
  () => {},
);
