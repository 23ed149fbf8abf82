import {
  C_FUNC_HI, C_FUNC_LO, C_KEEP, C_LINE_FUNCTION, C_LINE_HI, C_LINE_LO, C_LOC_ADDRESS, C_LOC_HI, C_LOC_LINES, C_LOC_LO, C_LOC_MAPPING, C_LOC_MAPPING_HI, C_LOC_MAPPING_LO, C_LOC_VALID, C_MAPPING_HI,
  C_MAPPING_LO, C_REF_HI, C_REF_LO, C_REF_LOCATION, C_SAMPLE_FROM, C_SAMPLE_LOCATIONS, C_SAMPLE_TO, C_SAMPLE_VALUES, C_VALUE, FUNCTIONS, KEPT, LINES, LOCATIONS, MAPPINGS, REFS, SAMPLES, UNKNOWN, col,
  get, put, setWord, word,
} from "./layout";

/** Whether IDs are 1, 2, 3, …, so that a reference is a position plus one. */
function dense(lo: usize, hi: usize, n: u32): bool {
  for (let i: u32 = 0; i < n; i++) if (get(lo, i) != i + 1 || get(hi, i) != 0) return false;
  return true;
}

@inline function position(lo: u32, hi: u32, n: u32): u32 { return hi == 0 && lo - 1 < n ? lo - 1 : UNKNOWN; }

/** The same as ingest's `normalizeProfile`, for profiles whose IDs are positions. False: IDs are not positions. */
export function normalise(maxDepth: u32): bool {
  const functions = word(FUNCTIONS), mappings = word(MAPPINGS), locations = word(LOCATIONS), lines = word(LINES), refs = word(REFS), samples = word(SAMPLES);
  if (!dense(col(C_FUNC_LO), col(C_FUNC_HI), functions) || !dense(col(C_MAPPING_LO), col(C_MAPPING_HI), mappings) || !dense(col(C_LOC_LO), col(C_LOC_HI), locations)) return false;
  const lineLo = col(C_LINE_LO), lineHi = col(C_LINE_HI), lineFunction = col(C_LINE_FUNCTION);
  for (let i: u32 = 0; i < lines; i++) put(lineFunction, i, position(get(lineLo, i), get(lineHi, i), functions));

  const mappingLo = col(C_LOC_MAPPING_LO), mappingHi = col(C_LOC_MAPPING_HI), locMapping = col(C_LOC_MAPPING), valid = col(C_LOC_VALID), locLines = col(C_LOC_LINES), address = col(C_LOC_ADDRESS);
  for (let i: u32 = 0; i < locations; i++) {
    put(locMapping, i, position(get(mappingLo, i), get(mappingHi, i), mappings));
    const from = get(locLines, i), to = get(locLines, i + 1);
    let ok = to > from || load<u64>(address + (<usize>i << 3)) != 0;
    for (let k = from; k < to; k++) if (get(lineFunction, k) == UNKNOWN) ok = false;
    store<u8>(valid + i, ok ? 1 : 0);
  }

  const refLo = col(C_REF_LO), refHi = col(C_REF_HI), refLocation = col(C_REF_LOCATION);
  for (let i: u32 = 0; i < refs; i++) {
    const p = position(get(refLo, i), get(refHi, i), locations);
    put(refLocation, i, p != UNKNOWN && load<u8>(valid + p) == 1 ? p : UNKNOWN);
  }

  const first = col(C_SAMPLE_LOCATIONS), values = col(C_SAMPLE_VALUES), value = col(C_VALUE), sampleFrom = col(C_SAMPLE_FROM), sampleTo = col(C_SAMPLE_TO), keep = col(C_KEEP);
  let kept: u32 = 0;
  for (let i: u32 = 0; i < samples; i++) {
    const start = get(first, i), to = get(first, i + 1);
    put(sampleFrom, i, maxDepth > 0 && to - start > maxDepth ? to - maxDepth : start);
    put(sampleTo, i, to);
    let ok = true;
    let any: i64 = 0;
    for (let k = get(values, i), e = get(values, i + 1); k < e; k++) {
      const v = load<i64>(value + (<usize>k << 3));
      if (v < 0) { ok = false; break; }
      any |= v;
    }
    ok = ok && any != 0;
    for (let k = start; ok && k < to; k++) if (get(refLocation, k) == UNKNOWN) ok = false;
    store<u8>(keep + i, ok ? 1 : 0);
    if (ok) kept++;
  }
  setWord(KEPT, kept);
  return true;
}
