// @ts-check
/**
 * What the doctor's measurements mean. Pure: the page measures, this judges.
 *
 * @typedef {'ok' | 'warn' | 'bad'} Grade
 * @typedef {object} Measured all times in ms; null: it never came
 * @property {boolean} signedIn
 * @property {number} skew seconds
 * @property {number} answer of a small request
 * @property {{hello: number | null, refused: number | null}} websocket refused: closed before a hello, after so long
 * @property {{headers: number | null, first: number | null, gaps: number[], cut: number | null}} sse gaps between heartbeats of a second
 * @property {{took: number | null, wanted: number}} poll
 * @property {{cut: number | null, watched: number}} idle watched 0: nothing came that could have been cut
 * @property {boolean} secure
 * @typedef {{check: 'signedIn' | 'clock' | 'answer' | 'websocket' | 'sse' | 'held' | 'poll' | 'idle' | 'secure', grade: Grade, words: string, values: Record<string, number>}} Finding
 */

const SKEW = 30; // s, as the console tells
const SLOW = 1000; // ms for a small answer
const BUNCHED = 250; // ms: two heartbeats of a second that come closer were held and let go together

/**
 * What is known so far: a part that is not measured yet has no finding.
 * @param {Partial<Measured>} m @returns {Finding[]} words is a key of the page's texts
 */
export function judge(m) {
  /** @type {Finding[]} */
  const out = [];
  /** @param {Finding['check']} check @param {Grade} grade @param {string} words @param {Record<string, number>} [values] */
  const say = (check, grade, words, values = {}) => out.push({ check, grade, words, values });
  if (m.signedIn === false) {
    say('signedIn', 'bad', 'dSignIn');
    return out;
  }
  if (m.skew !== undefined) {
    const off = Math.abs(m.skew) > SKEW;
    say('clock', off ? 'bad' : 'ok', off ? 'skew' : 'dClock', { s: m.skew });
  }
  if (m.answer !== undefined) say('answer', m.answer > SLOW ? 'warn' : 'ok', m.answer > SLOW ? 'dSlow' : 'dAnswer', { ms: m.answer });
  if (m.websocket) judgeSocket(m.websocket, say);
  if (m.sse) judgeEvents(m.sse, say);
  if (m.poll) {
    const polls = m.poll.took !== null && m.poll.took >= m.poll.wanted - 200;
    say('poll', polls ? 'ok' : 'bad', polls ? 'dPoll' : 'dPollBroken', { ms: m.poll.took ?? 0 });
  }
  if (m.idle && m.idle.cut !== null) say('idle', 'warn', 'dIdleCut', { s: Math.round(m.idle.cut / 1000) });
  else if (m.idle && m.idle.watched > 0) say('idle', 'ok', 'dIdle', { s: Math.round(m.idle.watched / 1000) });
  if (m.secure !== undefined) say('secure', m.secure ? 'ok' : 'warn', m.secure ? 'dSecure' : 'dPlain');
  return out;
}

/** @typedef {(check: Finding['check'], grade: Grade, words: string, values?: Record<string, number>) => void} Say */

/** @param {Measured['websocket']} socket @param {Say} say */
function judgeSocket(socket, say) {
  if (socket.hello !== null) say('websocket', 'ok', 'dSocket', { ms: socket.hello });
  else if (socket.refused !== null) say('websocket', 'warn', 'dSocketRefused', { ms: socket.refused });
  else say('websocket', 'warn', 'dSocketHangs');
}

/** @param {Measured['sse']} sse @param {Say} say */
function judgeEvents(sse, say) {
  if (sse.first === null) {
    say('sse', 'warn', sse.headers === null ? 'dSSEHeld' : 'dSSEBuffered');
    return;
  }
  say('sse', 'ok', 'dSSE', { ms: sse.first });
  const bunched = sse.gaps.length === 0 || sse.gaps.some((gap) => gap < BUNCHED);
  say('held', bunched ? 'warn' : 'ok', bunched ? 'dBunched' : 'dFlows');
}

/** Returns the worst grade, and whether a proxy's settings would cure something. @param {Finding[]} findings */
export function verdict(findings) {
  const has = (/** @type {Grade} */ g) => findings.some((f) => f.grade === g);
  const proxy = findings.some((f) => f.grade !== 'ok' && ['websocket', 'sse', 'held', 'poll', 'idle'].includes(f.check));
  return { grade: has('bad') ? 'bad' : has('warn') ? 'warn' : 'ok', proxy };
}

/** What cures a proxy, by its name; path and upstream are to be replaced. */
export const CURES = {
  nginx: `location / {
    proxy_pass http://127.0.0.1:8080;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_buffering off;
    proxy_read_timeout 75s;
}`,
  Caddy: `bell.example.com {
    reverse_proxy 127.0.0.1:8080 {
        flush_interval -1
    }
}`,
  HAProxy: `defaults
    mode http
    option http-no-delay
    option forwardfor
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h

backend doorbell
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    server doorbell 127.0.0.1:8080`,
  Apache: `ProxyPass        / http://127.0.0.1:8080/ upgrade=websocket flushpackets=on timeout=75
ProxyPassReverse / http://127.0.0.1:8080/
ProxyPreserveHost On
SetEnv proxy-sendchunked 1`,
};
