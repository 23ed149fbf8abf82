const P = require("@pyroscope/nodejs");
P.init({
  serverAddress: process.env.URL,
  appName: "sdk.node",
  flushIntervalMs: 2000,
  tags: { lang: "node" },
  wall: { collectCpuTime: true },
});
P.start();
function burnCpuInNode() {
  let x = 0;
  const t = Date.now();
  while (Date.now() - t < 40) x += Math.sqrt(x + 1);
  return x;
}
const end = Date.now() + 6000;
(function slice() {
  burnCpuInNode();
  if (Date.now() < end) setImmediate(slice);
  else P.stop().then(() => process.exit(0));
})();
