import { type Rate, type Unit, unitOf } from "@cinderblock/flame";
import type { Selection } from "../api/types.ts";
import { basisOf } from "../state/compare.ts";
import type { State } from "../state/state.ts";

export function unitOfType(type: string): Unit {
  return unitOf(type.split(":")[2] ?? "");
}

/** Unit of a selection's values: sums, or averages per second of its range. */
export function measureOf(state: State, s: Selection): Unit | Rate {
  const unit = unitOfType(state.type),
    seconds = (s.endMs - s.startMs) / 1000;
  return basisOf(state) === "rate" && seconds > 0
    ? { unit, seconds, cores: unit === "nanoseconds" && /^process_cpu:cpu:/.test(state.type) }
    : unit;
}
