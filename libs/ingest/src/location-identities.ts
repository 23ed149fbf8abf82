import { WordTuples } from "@cinderblock/symdb";
import { type NormalizedProfile, UNKNOWN } from "./normalize.ts";
import { stringAt } from "./strings.ts";

/** v1 rounds the sizes of mappings up to pages before it compares them. */
const PAGE = 4096n;

/**
 * Number of each reference's location, with one number for locations of equal content, in the order of the
 * profile's locations, from 1; 0 for an unknown location.
 */
export function locationIdentities(p: NormalizedProfile): { lo: Uint32Array; hi: Uint32Array } {
  const t = p.tables,
    texts = new Map<string, number>(),
    text = (string: number): number => {
      const s = stringAt(t, string);
      let n = texts.get(s);
      if (n === undefined) texts.set(s, (n = texts.size));
      return n;
    };
  const functions = new WordTuples(),
    functionOf = new Uint32Array(t.functions);
  for (let i = 0; i < t.functions; i++)
    functionOf[i] = functions.intern(
      Uint32Array.of(
        text(t.funcName.data[i]!),
        text(t.funcSystemName.data[i]!),
        text(t.funcFilename.data[i]!),
        t.funcStartLine.data[i]!,
      ),
      4,
    );
  const mappings = new Map<string, number>(),
    mapping = (size: bigint, offset: bigint, name: number): number => {
      const key = `${BigInt.asUintN(64, size + PAGE - 1n) / PAGE} ${offset} ${name}`;
      let n = mappings.get(key);
      if (n === undefined) mappings.set(key, (n = mappings.size));
      return n;
    };
  const mappingOf = new Uint32Array(t.mappings);
  for (let i = 0; i < t.mappings; i++)
    mappingOf[i] = mapping(
      BigInt.asUintN(64, t.mappingLimit.data[i]! - t.mappingStart.data[i]!),
      t.mappingOffset.data[i]!,
      text(t.mappingBuildId.data[i]! || t.mappingFilename.data[i]!),
    );
  const stub = mapping(0n, 0n, text(0));

  const locations = new WordTuples(),
    identity = new Uint32Array(t.locations);
  for (let i = 0; i < t.locations; i++) {
    const from = t.locLines.data[i]!,
      to = t.locLines.data[i + 1]!,
      address = t.locAddress.data[i]!,
      key = new Uint32Array(3 + 2 * (to - from));
    if (from === to && address === 0n) continue;
    if (p.lineFunction.subarray(from, to).includes(UNKNOWN)) continue;
    const of = p.locationMapping[i]!;
    key[0] = of === UNKNOWN ? stub : mappingOf[of]!;
    key[1] = Number(address & 0xffff_ffffn);
    key[2] = Number(BigInt.asUintN(32, address >> 32n));
    for (let k = from; k < to; k++) {
      key[3 + 2 * (k - from)] = functionOf[p.lineFunction[k]!]!;
      key[4 + 2 * (k - from)] = t.lineNumber.data[k]!;
    }
    identity[i] = locations.intern(key, key.length) + 1;
  }
  const lo = new Uint32Array(p.refLocation.length);
  for (let i = 0; i < lo.length; i++) {
    const location = p.refLocation[i]!;
    lo[i] = location === UNKNOWN ? 0 : identity[location]!;
  }
  return { lo, hi: new Uint32Array(lo.length) };
}
