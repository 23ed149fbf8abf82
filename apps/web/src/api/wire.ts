import type { Selection } from "./types.ts";

/** Writer of protobuf messages, with the field types that requests of the explore API need. */
class Message {
  private readonly parts: number[] = [];
  private varint(value: number): void {
    let v = value;
    while (v > 127) {
      this.parts.push((v % 128) | 128);
      v = Math.floor(v / 128);
    }
    this.parts.push(v);
  }
  int(field: number, value: number): this {
    if (value !== 0) {
      this.varint(field * 8);
      if (value < 0) this.parts.push(...[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
      else this.varint(value);
    }
    return this;
  }
  bytes(field: number, value: Uint8Array): this {
    this.varint(field * 8 + 2);
    this.varint(value.length);
    for (const b of value) this.parts.push(b);
    return this;
  }
  text(field: number, value: string): this {
    return value === "" ? this : this.bytes(field, new TextEncoder().encode(value));
  }
  texts(field: number, values: readonly string[]): this {
    for (const v of values) this.bytes(field, new TextEncoder().encode(v));
    return this;
  }
  message(field: number, value: Message | undefined): this {
    return value ? this.bytes(field, value.finish()) : this;
  }
  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.parts);
  }
}

function selection(s: Selection): Message {
  const stacks = new Message()
    .texts(1, s.stacks.callSite)
    .texts(2, s.stacks.only)
    .texts(3, s.stacks.without)
    .texts(4, s.stacks.hide);
  return new Message()
    .text(1, s.type)
    .text(2, s.selector)
    .int(3, s.startMs)
    .int(4, s.endMs)
    .message(5, stacks)
    .texts(7, s.profileIds);
}

/** Encodes a cinderblock.explore.v1.CallTreeRequest. @param maxNodes -1 is the tenant's maximum */
export function callTreeRequest(
  s: Selection,
  baseline: Selection | undefined,
  maxNodes: number,
): Uint8Array<ArrayBuffer> {
  return new Message()
    .message(1, selection(s))
    .message(2, baseline && selection(baseline))
    .int(3, maxNodes < 0 ? -1 : maxNodes)
    .finish();
}

/** Encodes a cinderblock.explore.v1.FunctionNeighboursRequest. */
export function neighborsRequest(
  s: Selection,
  baseline: Selection | undefined,
  name: string,
  maxNodes: number,
): Uint8Array<ArrayBuffer> {
  return new Message()
    .message(1, selection(s))
    .message(2, baseline && selection(baseline))
    .text(3, name)
    .int(4, maxNodes)
    .finish();
}

/** Encodes a querier.v1.SelectMergeProfileRequest. */
export function mergeProfileRequest(s: Selection): Uint8Array<ArrayBuffer> {
  return new Message().text(1, s.type).text(2, s.selector).int(3, s.startMs).int(4, s.endMs).finish();
}
