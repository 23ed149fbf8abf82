// A small profiled shop: prices carts, renders receipts, and occasionally runs a slow search.
const Pyroscope = require("@pyroscope/nodejs");
const { createHash } = require("node:crypto");

Pyroscope.init({
  serverAddress: process.env.PYROSCOPE_URL ?? "http://localhost:4040",
  appName: "demo-shop",
  tags: { region: "here" },
  flushIntervalMs: 10_000,
});
Pyroscope.start();

function busy(ms, work) {
  const end = Date.now() + ms;
  let n = 0;
  while (Date.now() < end) n += work(n);
  return n;
}
function priceCart() {
  return busy(40, (n) => Math.sqrt(n + 1));
}
function renderReceipt() {
  return busy(
    25,
    (n) => JSON.stringify({ n, lines: Array.from({ length: 20 }, (_, i) => `item ${i}`) }).length,
  );
}
function searchCatalogue() {
  return busy(120, (n) => createHash("sha256").update(String(n)).digest()[0]);
}
function handleOrder(i) {
  priceCart();
  renderReceipt();
  if (i % 7 === 0) searchCatalogue();
}

console.log("demo-shop takes an order every 200 ms");
let orders = 0;
setInterval(() => handleOrder(orders++), 200);
