/** Names, families and order of profile types, as the UI prints them. */

export const FAMILIES = ["CPU", "Allocations", "Heap", "Locks", "Other"] as const;
type Family = (typeof FAMILIES)[number];

/** A profile type with its name among others. */
interface NamedType {
  id: string;
  name: string;
  family: Family;
}

/** Parts of a profile type's ID. */
interface Parts {
  name: string;
  sample: string;
  unit: string;
  period: string;
  periodUnit: string;
}

function partsOf(id: string): Parts {
  const [name = "", sample = "", unit = "", period = "", periodUnit = ""] = id.split(":");
  return { name, sample, unit, period, periodUnit };
}

/** Names by sample type, whatever the profile's name. */
const BY_SAMPLE: ReadonlyMap<string, readonly [name: string, family: Family]> = new Map<
  string,
  readonly [string, Family]
>([
  ["off_cpu", ["Off-CPU time", "CPU"]],
  ["alloc_space", ["Allocated memory", "Allocations"]],
  ["alloc_objects", ["Allocated objects", "Allocations"]],
  ["alloc_in_new_tlab_bytes", ["Allocated in TLAB (bytes)", "Allocations"]],
  ["alloc_in_new_tlab_objects", ["Allocated in TLAB (objects)", "Allocations"]],
  ["alloc_outside_tlab_bytes", ["Allocated outside TLAB (bytes)", "Allocations"]],
  ["alloc_outside_tlab_objects", ["Allocated outside TLAB (objects)", "Allocations"]],
  ["inuse_space", ["Heap in use", "Heap"]],
  ["inuse_objects", ["Objects in use", "Heap"]],
  ["live", ["Live objects", "Heap"]],
  ["goroutine", ["Goroutines", "Other"]],
  ["goroutines", ["Goroutines", "Other"]],
  ["threadcreate", ["Threads", "Other"]],
  ["exception", ["Exceptions", "Other"]],
]);

/** Names of CPU and wall time by profile name and sample type. */
const TIMES: ReadonlyMap<string, string> = new Map([
  ["process_cpu:cpu", "CPU time"],
  ["process_cpu:samples", "CPU samples"],
  ["wall:wall", "Wall time"],
  ["wall:samples", "Wall samples"],
]);

const LOCKS: ReadonlyMap<string, string> = new Map([
  ["mutex", "Mutex"],
  ["block", "Block"],
  ["lock", "Lock"],
]);
const WAITS: ReadonlyMap<string, string> = new Map([
  ["delay", "wait"],
  ["contentions", "contentions"],
  ["lock_time", "wait"],
  ["lock_count", "contentions"],
]);

/** Text with spaces between its words, and a capital letter. */
function inWords(text: string): string {
  const words = text.replace(/[_.-]+/g, " ").trim();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** Name by the profile's name and its sample type, and family. */
function described(p: Parts): { name: string; family: Family } {
  const time = TIMES.get(`${p.name}:${p.sample}`);
  if (time) return { name: time, family: "CPU" };
  const lock = LOCKS.get(p.name),
    wait = WAITS.get(p.sample);
  if (lock && wait) return { name: `${lock} ${wait}`, family: "Locks" };
  const known = BY_SAMPLE.get(p.sample);
  if (known) return { name: known[0], family: known[1] };
  const family: Family = /^(process_cpu|cpu|wall|off_cpu)$/.test(p.name)
    ? "CPU"
    : lock
      ? "Locks"
      : /^(m?alloc)/.test(p.sample)
        ? "Allocations"
        : /^(inuse|live)/.test(p.sample)
          ? "Heap"
          : "Other";
  const words = inWords(p.sample === "" ? p.name : p.sample);
  return { name: p.unit === "" || p.unit === "count" ? words : `${words} (${p.unit})`, family };
}

/** Types in the order in which a service opens on the first that it has. */
const FIRST: readonly RegExp[] = [
  /^process_cpu:cpu:/,
  /^process_cpu:/,
  /^wall:wall:/,
  /^[^:]*:inuse_space:/,
  /^[^:]*:alloc_space:/,
];
function rankOf(id: string): number {
  const k = FIRST.findIndex((r) => r.test(id));
  return k < 0 ? FIRST.length : k;
}

/**
 * Types by family and name. Types that share a name get their period type in parentheses, then its unit, then
 * their whole ID.
 */
export function namedTypes(ids: readonly string[]): NamedType[] {
  const all = [...new Set(ids)].map((id) => {
    const p = partsOf(id),
      { name, family } = described(p);
    const forms = [name, p.period, `${p.period} ${p.periodUnit}`.trim(), id].map((more, i) =>
      i === 0 || more === "" ? name : `${name} (${more})`,
    );
    return { id, family, forms };
  });
  const count = (form: number, text: string): number => all.filter((t) => t.forms[form] === text).length;
  return all
    .map(({ id, family, forms }) => ({
      id,
      family,
      name: forms.find((text, form) => count(form, text) === 1) ?? forms.at(-1)!,
    }))
    .sort(
      (a, b) =>
        FAMILIES.indexOf(a.family) - FAMILIES.indexOf(b.family) ||
        rankOf(a.id) - rankOf(b.id) ||
        a.name.localeCompare(b.name, "en"),
    );
}

/** Name of a sample type without its profile, as uploaded files have them. */
export function sampleTypeName(sample: string): string {
  const profile = sample === "cpu" || sample === "samples" ? "process_cpu" : sample === "wall" ? "wall" : "";
  return described(partsOf(`${profile}:${sample}:`)).name;
}

/** Type on which a service opens: CPU, wall time, heap in use, allocated memory, or any. */
export function firstType(ids: readonly string[]): string | undefined {
  return namedTypes(ids).sort((a, b) => rankOf(a.id) - rankOf(b.id))[0]?.id;
}
