import { ByteWriter } from "@cinderblock/bytes";
import type { PprofTables } from "@cinderblock/pprof";

/**
 * Encodes one pprof profile with one sample type as an ExportProfilesServiceRequest, which has the bytes of a
 * ProfilesData. Expects the output of the project's own pprof encoder: IDs are 1, 2, … in the order of the
 * tables. Field numbers follow opentelemetry/proto/profiles/v1development, the collector's request and
 * common/v1.
 *
 *   request | 1 ResourceProfiles: resource, one scope, one profile | 2 ProfilesDictionary |
 *   table   | "none" | pprof's entry 1 | pprof's entry 2 | ...        so that pprof's IDs are OTLP's indices
 *
 * Each sample has a stack of its own, without a search for equal ones. Links, attributes and build IDs are
 * left out.
 * @param resource attributes of the resource, for example service.name
 * @returns bytes that the caller owns
 */
export function encodeExport(
  t: PprofTables,
  resource: readonly (readonly [key: string, value: string])[],
): Uint8Array {
  const text = (i: number): Uint8Array => t.bytes.subarray(t.stringStart.data[i]!, t.stringEnd.data[i]!);
  const put = (to: ByteWriter, field: number, v: number): void => {
    if (v !== 0) {
      to.u8(field * 8);
      to.uvarint(v);
    }
  };
  const put64 = (to: ByteWriter, field: number, v: bigint): void => {
    if (v !== 0n) {
      to.u8(field * 8);
      to.uvarint64(BigInt.asUintN(64, v));
    }
  };
  const nested = (to: ByteWriter, field: number, body: Uint8Array): void => {
    to.u8(field * 8 + 2);
    to.uvarint(body.length);
    to.bytes(body);
  };
  const part = (write: (w: ByteWriter) => void): Uint8Array => {
    const w = new ByteWriter(256);
    write(w);
    return w.transferBytes();
  };
  const attribute = ([key, value]: readonly [string, string]): Uint8Array =>
    part((w) => {
      nested(w, 1, Buffer.from(key));
      nested(
        w,
        2,
        part((v) => {
          nested(v, 1, Buffer.from(value));
        }),
      );
    });

  const dictionary = new ByteWriter(1 << 16);
  // The first entry of every table means none. Strings keep their numbers, because pprof's first string is
  // empty too.
  nested(dictionary, 1, new Uint8Array(0));
  for (let i = 0; i < t.mappings; i++)
    nested(
      dictionary,
      1,
      part((w) => {
        put64(w, 1, t.mappingStart.data[i]!);
        put64(w, 2, t.mappingLimit.data[i]!);
        put64(w, 3, t.mappingOffset.data[i]!);
        put(w, 4, t.mappingFilename.data[i]!);
      }),
    );
  nested(dictionary, 2, new Uint8Array(0));
  for (let i = 0; i < t.locations; i++) {
    nested(
      dictionary,
      2,
      part((w) => {
        put(w, 1, t.locMappingLo.data[i]!);
        put64(w, 2, t.locAddress.data[i]!);
        for (let k = t.locLines.data[i]!; k < t.locLines.data[i + 1]!; k++)
          nested(
            w,
            3,
            part((l) => {
              put(l, 1, t.lineFunctionLo.data[k]!);
              put(l, 2, t.lineNumber.data[k]!);
            }),
          );
      }),
    );
  }
  nested(dictionary, 3, new Uint8Array(0));
  for (let i = 0; i < t.functions; i++)
    nested(
      dictionary,
      3,
      part((w) => {
        put(w, 1, t.funcName.data[i]!);
        put(w, 2, t.funcSystemName.data[i]!);
        put(w, 3, t.funcFilename.data[i]!);
        put(w, 4, t.funcStartLine.data[i]!);
      }),
    );
  nested(dictionary, 4, new Uint8Array(0));
  for (let i = 0; i < t.strings; i++) nested(dictionary, 5, text(i));
  nested(dictionary, 6, new Uint8Array(0));
  nested(dictionary, 7, new Uint8Array(0));
  for (let s = 0; s < t.samples; s++) {
    nested(
      dictionary,
      7,
      part((w) => {
        nested(
          w,
          1,
          part((l) => {
            for (let k = t.sampleLocations.data[s]!; k < t.sampleLocations.data[s + 1]!; k++)
              l.uvarint(t.locationIdLo.data[k]!);
          }),
        );
      }),
    );
  }

  const profile = new ByteWriter(1 << 16);
  const type = (w: ByteWriter, name: number, unit: number): void => {
    put(w, 1, name);
    put(w, 2, unit);
  };
  if (t.sampleTypes > 0)
    nested(
      profile,
      1,
      part((w) => {
        type(w, t.typeType.data[0]!, t.typeUnit.data[0]!);
      }),
    );
  for (let s = 0; s < t.samples; s++) {
    nested(
      profile,
      2,
      part((w) => {
        put(w, 1, s + 1);
        nested(
          w,
          4,
          part((v) => {
            v.uvarint64(BigInt.asUintN(64, t.value.data[t.sampleValues.data[s]!]!));
          }),
        );
      }),
    );
  }
  profile.u8(3 * 8 + 1);
  profile.u64le(BigInt.asUintN(64, t.timeNanos));
  put64(profile, 4, t.durationNanos);
  if (t.hasPeriodType)
    nested(
      profile,
      5,
      part((w) => {
        type(w, t.periodType, t.periodUnit);
      }),
    );
  put64(profile, 6, t.period);

  const out = new ByteWriter(1 << 16);
  nested(
    out,
    1,
    part((r) => {
      nested(
        r,
        1,
        part((w) => {
          for (const a of resource) nested(w, 1, attribute(a));
        }),
      );
      nested(
        r,
        2,
        part((w) => {
          nested(w, 2, profile.transferBytes());
        }),
      );
    }),
  );
  nested(out, 2, dictionary.transferBytes());
  return out.transferBytes();
}
