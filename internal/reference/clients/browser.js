// A page of your own, on any origin that auth.origins names: the console's own
// connection, with WebSocket, SSE and long poll in turn, resume and de-duplication.
// Your backend makes the console's token (POST /api/v1/tokens) and creates orders;
// a page never has a service's token.
export async function follow(server, getToken, ring) {
  const { connect } = await import(`${server}/client.js`);
  return connect({ url: `${server}/`, getToken, onAlert: ring, onState: (s) => console.log(s.state, s.transport) });
}
