// Node 18 or later, nothing installed: creates an order, and prints a shop's alerts,
// each once and in order, through every cut. DOORBELL is the server's address,
// SERVICE and CONSOLE are tokens, NUMBER is the order's.
const { DOORBELL, SERVICE, CONSOLE, NUMBER } = process.env;

const made = await fetch(`${DOORBELL}/api/v1/orders`, {
  method: 'POST',
  headers: { Authorization: `Bearer ${SERVICE}`, 'Content-Type': 'application/json' },
  body: JSON.stringify({ number: NUMBER, shopId: 1, amount: 1250 }),
});
if (!made.ok) console.error((await made.json()).detail);

/** Prints alerts until the connection ends. @param {string} cursor @param {(cursor: string) => void} moved */
async function follow(cursor, moved) {
  const quiet = new AbortController(); // a server pings every 15 s: one that is silent for 40 s is gone
  let timer = setTimeout(() => quiet.abort(), 40_000);
  try {
    const res = await fetch(`${DOORBELL}/events?shops=1&after=${cursor}`, {
      headers: { Authorization: `Bearer ${CONSOLE}` },
      signal: quiet.signal,
    });
    if (!res.ok || !res.body) throw new Error(`HTTP ${res.status}`);
    let text = '';
    for await (const chunk of res.body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(timer);
      timer = setTimeout(() => quiet.abort(), 40_000);
      const whole = (text + chunk).split('\n\n');
      text = whole.pop() ?? ''; // not whole yet
      for (const event of whole) {
        const field = Object.fromEntries(event.split('\n').map((line) => line.split(/: (.*)/s)));
        if (field.data && !field.event) console.log(field.data);
        if (field.id) moved(field.id);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

let cursor = '0'; // from the oldest; keep it where it survives a restart
for (;;) {
  try {
    await follow(cursor, (after) => {
      cursor = after;
    });
  } catch (err) {
    console.error(String(err));
  }
  await new Promise((again) => setTimeout(again, 200));
}
