// @ts-check
/** Returns what gets a single-use ticket for a token. @param {string} base @param {() => Promise<string> | string} getToken */
export function ticketByToken(base, getToken) {
  return async () => {
    const res = await fetch(`${base}api/v1/tickets`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${await getToken()}` },
      body: '{}',
    });
    if (!res.ok)
      throw Object.assign(new Error(`HTTP ${res.status}`), { status: res.status === 401 || res.status === 403 ? res.status : undefined });
    return (await res.json()).ticket;
  };
}
