// The hot loops of the write path, in AssemblyScript (ADR 5). Plain TypeScript twins exist for everything here and are
// the tests' oracle: pprof's `decode`, ingest's `normalise`, and the interner of `head`. Whatever is unusual (an error, a
// table that does not fit) is left to them: the functions below then answer "not here".
export { count, decode } from "./decode";
export { normalise } from "./normalise";
export { begin, setSeed, stacks } from "./intern";
