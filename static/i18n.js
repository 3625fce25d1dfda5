// @ts-check
const texts = {
  zh: {
    title: '来单提醒', trial: '试运行：仅接受模拟支付', type1: '来单提醒', type2: '客户催单', type3: '已处理', type4: '已取消',
    accept: '接单', gotIt: '知道了', number: '订单号', noAlerts: '暂无待处理订单', noAlertsHint: '新订单会在这里弹出、响铃并语音播报。请保持本页面打开、音量调大。',
    open_websocket: '已连接 · WebSocket', open_sse: '已连接 · SSE', open_poll: '已连接 · 长轮询', connecting: '正在连接…', offline: '已断线 {t}，正在重连', denied: '未登录', stopped: '已停止',
    offlineBanner: '连接已断开，可能收不到新订单！正在自动重连…', soundOn: '开启声音', soundReady: '声音已开启', soundOff: '声音未开启，来单将听不到！请点击“开启声音”',
    soundFailed: '声音播放失败，请检查音量和系统声音设置', ringNow: '试响', history: '最近记录', signIn: '登录', token: '令牌', signOut: '退出',
    signInHint: '在服务器上运行 doorbell link 获取登录链接，或粘贴控制台令牌。', linkUsed: '该链接已使用或已过期。请在服务器上运行 doorbell link 获取新链接，或粘贴令牌登录。',
    failed: '操作失败：{why}', shop: '门店 {id}', waiting: '待处理 {n}', demo: '演示页', test: '测试', pickShop: '门店', by: '处理人',
    missing: '本页面未使用 https，浏览器不允许：{what}。屏幕可能休眠，请在系统设置中关闭自动锁屏。', skew: '本机时间偏差 {s} 秒',
  },
  en: {
    title: 'Order alerts', trial: 'Trial: only simulated payments count', type1: 'New order', type2: 'Customer is asking', type3: 'Taken care of', type4: 'Called off',
    accept: 'Accept', gotIt: 'Got it', number: 'Order', noAlerts: 'Nothing is waiting', noAlertsHint: 'A new order pops up here, chimes and is spoken. Keep this page open and the volume up.',
    open_websocket: 'Connected · WebSocket', open_sse: 'Connected · SSE', open_poll: 'Connected · long poll', connecting: 'Connecting…', offline: 'Offline for {t}, trying again', denied: 'Signed out', stopped: 'Stopped',
    offlineBanner: 'The connection is down: new orders may not ring! Trying again…', soundOn: 'Sound on', soundReady: 'Sound is on', soundOff: 'Sound is off: orders will not be heard! Press “Sound on”',
    soundFailed: 'No sound came out: check the volume and the system’s sound settings', ringNow: 'Ring now', history: 'Recent', signIn: 'Sign in', token: 'Token', signOut: 'Sign out',
    signInHint: 'Run doorbell link on the server for a link that signs you in, or paste a console token.', linkUsed: 'This link was used, or its time is over. Run doorbell link on the server for another, or paste a token.',
    failed: 'That did not work: {why}', shop: 'Shop {id}', waiting: '{n} waiting', demo: 'Demonstration', test: 'test', pickShop: 'Shop', by: 'by',
    missing: 'This page is not on https, so the browser has no {what}. The screen may go to sleep: turn off auto-lock in its settings.', skew: 'This device’s clock is off by {s} s',
  },
};

/** @typedef {keyof typeof texts.en} Key */

const asked = new URLSearchParams(globalThis.location?.search ?? '').get('lang') ?? globalThis.navigator?.language ?? 'zh';

/** @type {'zh' | 'en'} */
export const language = asked.toLowerCase().startsWith('zh') ? 'zh' : 'en';

/** @param {Key} key @param {Record<string, string | number>} [values] */
export function t(key, values = {}) {
  return texts[language][key].replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
}
