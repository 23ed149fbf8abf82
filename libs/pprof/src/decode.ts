import { WireReader } from "@cinderblock/bytes";
import { CinderblockError } from "@cinderblock/errors";
import { PprofTables } from "./tables.ts";

/**
 * Error for bytes that are not a google.v1.Profile, with the byte offset in the uncompressed profile; the
 * caller decides the status.
 */
export class PprofSyntaxError extends CinderblockError {
  constructor(what: string, at: number) {
    super("unknown", `proto: Profile: ${what} at byte ${at}`, { reason: "malformed_profile" });
    this.name = "PprofSyntaxError";
  }
}

/**
 * Decodes pprof in place, without an object per message, sample or location. A decoder has one set of tables
 * and reuses them. O(bytes); memory is that of the largest profile so far.
 *
 * Fields may appear in any order, and repeated ones packed or one by one. Tags in the methods below are
 * number * 8 + wire type: 8 is field 1 as a varint, 10 is field 1 as bytes.
 */
export class PprofDecoder extends WireReader {
  readonly tables = new PprofTables();

  /**
   * Decodes one uncompressed profile.
   * @returns the decoder's tables, valid until the next call; they refer to `bytes`
   * @throws PprofSyntaxError for truncated fields, overlong varints, groups, or a wrong wire type of a
   * message field
   */
  decode(bytes: Uint8Array): PprofTables {
    const t = this.tables;
    t.clear(bytes);
    this.bytes = bytes;
    this.pos = 0;
    const end = bytes.length;
    while (this.pos < end) {
      const tag = this.varint(end);
      const field = tag >>> 3,
        wire = tag & 7;
      if (wire === 2) {
        const size = this.size(end);
        const to = this.pos + size;
        switch (field) {
          case 1:
            this.valueType(to);
            t.typeType.push(this.vtType);
            t.typeUnit.push(this.vtUnit);
            break;
          case 2:
            this.sample(to);
            break;
          case 3:
            this.mapping(to);
            break;
          case 4:
            this.location(to);
            break;
          case 5:
            this.func(to);
            break;
          case 6:
            t.stringStart.push(this.pos);
            t.stringEnd.push(to);
            break;
          case 11:
            this.valueType(to);
            t.hasPeriodType = true;
            t.periodType = this.vtType;
            t.periodUnit = this.vtUnit;
            break;
          case 13:
            while (this.pos < to) t.comments.push(this.index(to));
            break;
          default:
            break;
        }
        this.pos = to;
      } else if (wire === 0) {
        this.varint(end);
        switch (field) {
          case 7:
            t.dropFrames = this.lo;
            break;
          case 8:
            t.keepFrames = this.lo;
            break;
          case 9:
            t.timeNanos = this.bigInt64();
            break;
          case 10:
            t.durationNanos = this.bigInt64();
            break;
          case 12:
            t.period = this.bigInt64();
            break;
          case 13:
            t.comments.push(this.asIndex());
            break;
          case 14:
            t.defaultSampleType = this.lo;
            break;
          case 1:
          case 2:
          case 3:
          case 4:
          case 5:
          case 6:
          case 11:
            throw this.error(`wrong wireType = 0 for field ${field}`);
          default:
            if (field === 0) throw this.error("illegal tag 0");
            break;
        }
      } else {
        this.skip(wire, end);
      }
    }
    return t;
  }

  protected error(what: string): PprofSyntaxError {
    return new PprofSyntaxError(what, this.pos);
  }

  /** ValueType: 1 type, 2 unit. The result of `valueType`, without an object. */
  private vtType = 0;
  private vtUnit = 0;
  private valueType(to: number): void {
    this.vtType = this.vtUnit = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      if (tag === 8) this.vtType = this.index(to);
      else if (tag === 16) this.vtUnit = this.index(to);
      else this.skip(tag & 7, to);
    }
  }

  /** Sample: 1 location_id, 2 value, 3 label. Almost all bytes of a profile are here. */
  private sample(to: number): void {
    const t = this.tables;
    const { locationIdLo, locationIdHi, value } = t;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 10: {
          // the sample's location IDs, packed
          const size = this.size(to);
          const end = this.pos + size;
          // An ID takes at least one byte, so that `size` entries suffice and the loop needs no check.
          locationIdLo.reserve(size);
          locationIdHi.reserve(size);
          const lo = locationIdLo.data,
            hi = locationIdHi.data;
          const { bytes } = this;
          let at = locationIdLo.length;
          while (this.pos < end) {
            const b = bytes[this.pos]!;
            if (b < 128) {
              this.pos++;
              lo[at] = b;
              hi[at++] = 0;
              continue;
            }
            const b1 = bytes[this.pos + 1]!;
            if (b1 < 128 && this.pos + 1 < end) {
              this.pos += 2;
              lo[at] = (b & 127) | (b1 << 7);
              hi[at++] = 0;
              continue;
            }
            lo[at] = this.varint(end);
            hi[at++] = this.hi;
          }
          locationIdLo.length = locationIdHi.length = at;
          break;
        }
        case 8:
          this.varint(to);
          locationIdLo.push(this.lo);
          locationIdHi.push(this.hi);
          break;
        case 18: {
          // the sample's values, packed: two's complement in 64 bits
          const size = this.size(to);
          const end = this.pos + size;
          value.reserve(size);
          while (this.pos < end) {
            this.varint(end);
            value.words[2 * value.length] = this.lo;
            value.words[2 * value.length++ + 1] = this.hi;
          }
          break;
        }
        case 16:
          this.varint(to);
          value.reserve(1);
          value.words[2 * value.length] = this.lo;
          value.words[2 * value.length++ + 1] = this.hi;
          break;
        case 26: {
          // Label: 1 key, 2 str; 3 num and 4 num_unit are skipped
          const end = this.size(to) + this.pos;
          let key = 0,
            str = 0;
          while (this.pos < end) {
            const tag2 = this.varint(end);
            if (tag2 === 8) key = this.index(end);
            else if (tag2 === 16) str = this.index(end);
            else this.skip(tag2 & 7, end);
          }
          t.labelKey.push(key);
          t.labelStr.push(str);
          break;
        }
        default:
          this.skip(tag & 7, to);
      }
    }
    t.sampleLocations.push(locationIdLo.length);
    t.sampleValues.push(value.length);
    t.sampleLabels.push(t.labelKey.length);
  }

  /**
   * Mapping: 1 id, 2 memory_start, 3 memory_limit, 4 file_offset, 5 filename, 6 build_id, 7 to 10 has_functions,
   * has_filenames, has_line_numbers, has_inline_frames.
   */
  private mapping(to: number): void {
    const t = this.tables;
    let idLo = 0,
      idHi = 0,
      filename = 0,
      buildId = 0,
      flags = 0,
      start = 0n,
      limit = 0n,
      offset = 0n;
    while (this.pos < to) {
      const tag = this.varint(to);
      if ((tag & 7) !== 0) {
        this.skip(tag & 7, to);
        continue;
      }
      this.varint(to);
      switch (tag >>> 3) {
        case 1:
          idLo = this.lo;
          idHi = this.hi;
          break;
        case 2:
          start = this.bigInt64();
          break;
        case 3:
          limit = this.bigInt64();
          break;
        case 4:
          offset = this.bigInt64();
          break;
        case 5:
          filename = this.asIndex();
          break;
        case 6:
          buildId = this.asIndex();
          break;
        case 7:
          if (this.lo !== 0) flags |= 8;
          break;
        case 8:
          if (this.lo !== 0) flags |= 4;
          break;
        case 9:
          if (this.lo !== 0) flags |= 2;
          break;
        case 10:
          if (this.lo !== 0) flags |= 1;
          break;
        default:
          break;
      }
    }
    t.mappingIdLo.push(idLo);
    t.mappingIdHi.push(idHi);
    t.mappingStart.push(start);
    t.mappingLimit.push(limit);
    t.mappingOffset.push(offset);
    t.mappingFilename.push(filename);
    t.mappingBuildId.push(buildId);
    t.mappingFlags.push(flags);
  }

  /** Location: 1 id, 2 mapping_id, 3 address, 4 line, 5 is_folded. */
  private location(to: number): void {
    const t = this.tables;
    let idLo = 0,
      idHi = 0,
      mapLo = 0,
      mapHi = 0,
      addressLo = 0,
      addressHi = 0,
      folded = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 8:
          this.varint(to);
          idLo = this.lo;
          idHi = this.hi;
          break;
        case 16:
          this.varint(to);
          mapLo = this.lo;
          mapHi = this.hi;
          break;
        case 24:
          this.varint(to);
          addressLo = this.lo;
          addressHi = this.hi;
          break;
        case 34: {
          // Line: 1 function_id, 2 line
          const end = this.size(to) + this.pos;
          let fnLo = 0,
            fnHi = 0,
            line = 0;
          while (this.pos < end) {
            const tag2 = this.varint(end);
            if (tag2 === 8) {
              this.varint(end);
              fnLo = this.lo;
              fnHi = this.hi;
            } else if (tag2 === 16) line = this.varint(end);
            else this.skip(tag2 & 7, end);
          }
          t.lineFunctionLo.push(fnLo);
          t.lineFunctionHi.push(fnHi);
          t.lineNumber.push(line);
          break;
        }
        case 40:
          folded = this.varint(to) === 0 ? 0 : 1;
          break;
        default:
          this.skip(tag & 7, to);
      }
    }
    t.locIdLo.push(idLo);
    t.locIdHi.push(idHi);
    t.locMappingLo.push(mapLo);
    t.locMappingHi.push(mapHi);
    const { locAddress } = t;
    locAddress.reserve(1);
    locAddress.words[2 * locAddress.length] = addressLo;
    locAddress.words[2 * locAddress.length++ + 1] = addressHi;
    t.locFolded.push(folded);
    t.locLines.push(t.lineNumber.length);
  }

  /** Function: 1 id, 2 name, 3 system_name, 4 filename, 5 start_line. */
  private func(to: number): void {
    const t = this.tables;
    let idLo = 0,
      idHi = 0,
      name = 0,
      systemName = 0,
      filename = 0,
      startLine = 0;
    while (this.pos < to) {
      const tag = this.varint(to);
      switch (tag) {
        case 8:
          this.varint(to);
          idLo = this.lo;
          idHi = this.hi;
          break;
        case 16:
          name = this.index(to);
          break;
        case 24:
          systemName = this.index(to);
          break;
        case 32:
          filename = this.index(to);
          break;
        case 40:
          startLine = this.varint(to);
          break;
        default:
          this.skip(tag & 7, to);
      }
    }
    t.funcIdLo.push(idLo);
    t.funcIdHi.push(idHi);
    t.funcName.push(name);
    t.funcSystemName.push(systemName);
    t.funcFilename.push(filename);
    t.funcStartLine.push(startLine);
  }
}
