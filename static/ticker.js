// @ts-check
// A worker's clock: timers of hidden pages run once a second, then once a
// minute; a worker's do not.
setInterval(() => postMessage(0), 150);
