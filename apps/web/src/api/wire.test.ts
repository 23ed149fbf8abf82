import { fromBinary } from "@bufbuild/protobuf";
import {
  CallTreeRequestSchema,
  FunctionNeighboursRequestSchema,
  SelectMergeProfileRequestSchema,
} from "@cinderblock/api";
import type { Selection } from "./types.ts";
import { callTreeRequest, mergeProfileRequest, neighborsRequest } from "./wire.ts";

const selection: Selection = {
  type: "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
  selector: '{a="ü"}',
  startMs: 1795532400000,
  endMs: 1795536000000,
  stacks: { callSite: ["main", ""], only: ["a"], without: ["b"], hide: ["c"] },
  profileIds: ["01090909-0909-0909-0909-090909090909"],
};
const seen = {
  profileTypeId: selection.type,
  labelSelector: selection.selector,
  start: 1795532400000n,
  end: 1795536000000n,
  stacks: { callSite: ["main", ""], only: ["a"], without: ["b"], hide: ["c"] },
  profileIdSelector: selection.profileIds,
};

describe("requests that the page encodes by hand", () => {
  it("match the protocol", () => {
    expect(
      fromBinary(CallTreeRequestSchema, callTreeRequest(selection, { ...selection, selector: "{}" }, -1)),
    ).toMatchObject({ selection: seen, baseline: { ...seen, labelSelector: "{}" }, maxNodes: -1n });
    expect(fromBinary(CallTreeRequestSchema, callTreeRequest(selection, undefined, 16_384))).toMatchObject({
      selection: seen,
      maxNodes: 16_384n,
    });
    expect(
      fromBinary(FunctionNeighboursRequestSchema, neighborsRequest(selection, undefined, "main.work", 5)),
    ).toMatchObject({ selection: seen, function: "main.work", maxNodes: 5n });
    expect(fromBinary(SelectMergeProfileRequestSchema, mergeProfileRequest(selection))).toMatchObject({
      profileTypeID: selection.type,
      labelSelector: selection.selector,
      start: seen.start,
      end: seen.end,
    });
  });
});
