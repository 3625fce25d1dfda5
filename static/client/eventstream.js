// @ts-check
/**
 * Reads text/event-stream piece by piece, after the HTML standard: any
 * line ending, a byte order mark (which the decoder must leave in), comments,
 * several data lines. A retry is ignored: the ladder has its own times.
 *
 * @typedef {{id: string, event: string, data: string}} StreamEvent
 * @param {(event: StreamEvent) => void} emit
 * @returns {(chunk: string) => void} takes text as it comes
 */
export function eventStream(emit) {
  let rest = '';
  let first = true;
  let id = '';
  let event = '';
  /** @type {string[]} */
  let data = [];

  /** @param {string} line */
  const take = (line) => {
    if (line === '') {
      if (data.length > 0) emit({ id, event: event || 'message', data: data.join('\n') });
      data = [];
      event = '';
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') data.push(value);
    else if (field === 'event') event = value;
    else if (field === 'id' && !value.includes('\0')) id = value;
  };

  return (chunk) => {
    if (first && chunk !== '') {
      first = false;
      if (chunk.charCodeAt(0) === 0xfeff) chunk = chunk.slice(1);
    }
    rest += chunk;
    for (;;) {
      // A CR at the very end may be half of a CRLF: wait for what follows.
      const end = /\r\n|\n|\r(?!$)/.exec(rest);
      if (!end) return;
      const line = rest.slice(0, end.index);
      rest = rest.slice(end.index + end[0].length);
      take(line);
    }
  };
}
