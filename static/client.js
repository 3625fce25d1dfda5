// @ts-check
// The console's own connection ladder, resume and de-duplication, for other
// pages: import { connect } from 'https://bell.example.com/client.js'
export { connect } from './static/client/ladder.js';
