import { utf8Length } from "@cinderblock/bytes";
import { headerStrings, type PprofHeader, type PprofSource } from "./encode.ts";
import { fieldSize, fieldSize64, labelSize, lineSize, varintSize, varintSize64 } from "./sizes.ts";

/** Size in bytes of what `encodePprof` returns, without encoding it. */
export function pprofSize(header: PprofHeader, s: PprofSource): number {
  const { texts, base, types, period, defaultType } = headerStrings(header, s);
  let size =
    samplesSize(s, Math.max(1, types.length)) + mappingsSize(s) + locationsSize(s) + functionsSize(s);
  for (const [type, unit] of types) size += messageSize(fieldSize(type) + fieldSize(unit));
  if (period) size += messageSize(fieldSize(period[0]) + fieldSize(period[1]));
  if (base === 0) size += messageSize(0);
  const { offset } = s.strings;
  for (let i = 0; i < base; i++) size += messageSize(offset[i + 1]! - offset[i]!);
  for (const text of texts) size += messageSize(utf8Length(text));
  return (
    size +
    int64Size(header.timeNanos) +
    int64Size(header.durationNanos) +
    int64Size(header.period) +
    fieldSize(defaultType)
  );
}

/** Size of a message in a field below 16, with its tag and size. */
function messageSize(size: number): number {
  return 1 + varintSize(size) + size;
}

function int64Size(value: bigint): number {
  return fieldSize64(Number(value & 0xffffffffn), Number(BigInt.asUintN(64, value) >> 32n));
}

function samplesSize(s: PprofSource, types: number): number {
  const { sampleOffset, sampleLocation, value, labels } = s,
    words = new Uint32Array(value.buffer, value.byteOffset, value.length * 2);
  let total = 0;
  for (let i = 0; i + 1 < sampleOffset.length; i++) {
    const ids = idsSize(sampleLocation, sampleOffset[i]!, sampleOffset[i + 1]!);
    let values = 0;
    for (let k = i * types; k < (i + 1) * types; k++)
      values += varintSize64(words[2 * k]!, words[2 * k + 1]!);
    let size = (ids > 0 ? messageSize(ids) : 0) + messageSize(values);
    if (labels)
      for (let k = labels.offset[i]!; k < labels.offset[i + 1]!; k++)
        size += messageSize(labelSize(labels.key[k]!, labels.value[k]!));
    total += messageSize(size);
  }
  return total;
}

function idsSize(locations: Uint32Array, from: number, end: number): number {
  let size = end - from;
  // Most locations have an ID of one or two bytes.
  for (let k = from; k < end; k++) {
    const location = locations[k]!;
    if (location >= 127) size += location < 16383 ? 1 : varintSize(location + 1) - 1;
  }
  return size;
}

function mappingsSize({ mappingWords: m }: PprofSource): number {
  let total = 0;
  for (let at = 0, i = 1; at < m.length; at += 9, i++) {
    const flags = m[at + 8]!;
    total += messageSize(
      fieldSize(i) +
        fieldSize64(m[at]!, m[at + 1]!) +
        fieldSize64(m[at + 2]!, m[at + 3]!) +
        fieldSize64(m[at + 4]!, m[at + 5]!) +
        fieldSize(m[at + 6]!) +
        fieldSize(m[at + 7]!) +
        2 * ((flags & 1) + ((flags >> 1) & 1) + ((flags >> 2) & 1) + ((flags >> 3) & 1)),
    );
  }
  return total;
}

function locationsSize({ locationWords: w, locationOffset }: PprofSource): number {
  let total = 0;
  for (let i = 0; i + 1 < locationOffset.length; i++) {
    const at = locationOffset[i]!,
      end = locationOffset[i + 1]!;
    let size =
      fieldSize(i + 1) + fieldSize(w[at]! + 1) + fieldSize64(w[at + 1]!, w[at + 2]!) + fieldSize(w[at + 3]!);
    for (let k = at + 4; k + 1 < end; k += 2) size += messageSize(lineSize(w[k]!, w[k + 1]!));
    total += messageSize(size);
  }
  return total;
}

function functionsSize({ functionWords: f }: PprofSource): number {
  let total = 0;
  for (let at = 0, i = 1; at < f.length; at += 4, i++)
    total += messageSize(
      fieldSize(i) +
        fieldSize(f[at]!) +
        fieldSize(f[at + 1]!) +
        fieldSize(f[at + 2]!) +
        fieldSize(f[at + 3]!),
    );
  return total;
}
