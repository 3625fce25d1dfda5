// @ts-check
// A worker's clock: timers of hidden pages run once a second, then once a
// minute; a worker's do not. Its name is its pace in milliseconds.
setInterval(() => postMessage(0), Number(self.name) || 150);
