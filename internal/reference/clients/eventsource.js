// The browser's own EventSource, for a page on the server's origin (behind the same
// proxy) whose user has signed in: it sends the cookie, and resumes by itself with
// Last-Event-ID. A reset or a restart of the page begins with what is open.
export function follow(ring, reset) {
  const stream = new EventSource('events?shops=1&after=0');
  const seen = new Set();
  stream.onmessage = (e) => {
    const alert = JSON.parse(e.data);
    if (seen.has(alert.seq)) return;
    seen.add(alert.seq);
    ring(alert);
  };
  stream.addEventListener('reset', (e) => reset(JSON.parse(e.data)));
  return stream;
}
