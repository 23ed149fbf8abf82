// The hot loops of the write path, in AssemblyScript (ADR 5). Each has a plain TypeScript twin, which is the
// oracle of the tests: pprof's `decode`, ingest's `normalizeProfile`, and the interner of `head`. The functions
// below return "not here" for unusual input, such as an error or a table that does not fit; then the twin
// runs.
export { count, decode } from "./decode";
export { normalise } from "./normalise";
export { begin, setSeed, stacks } from "./intern";
