import type { Label, Labels } from "@cinderblock/model";
import { labelValue } from "@cinderblock/model";
import type { PprofTables } from "@cinderblock/pprof";
import type { RelabelRule } from "@cinderblock/tenant";
import { replaceStrings } from "./go-fix.ts";
import { isSampleTypeKept } from "./relabel.ts";
import { stringAt } from "./strings.ts";

/** Clears the values of sample types that the rules drop: a type without values is not stored. */
export function dropSampleTypes(t: PprofTables, sent: Labels, rules: readonly RelabelRule[]): void {
  for (let k = 0; k < t.sampleTypes; k++) {
    const own: Label[] = [
      { name: "__type__", value: stringAt(t, t.typeType.data[k]!) },
      { name: "__unit__", value: stringAt(t, t.typeUnit.data[k]!) },
    ];
    if (
      isSampleTypeKept([...sent.filter((l) => l.name !== "__type__" && l.name !== "__unit__"), ...own], rules)
    )
      continue;
    for (let i = 0; i < t.samples; i++) {
      const at = t.sampleValues.data[i]! + k;
      if (at < t.sampleValues.data[i + 1]!) t.value.data[at] = 0n;
    }
  }
}

/** Stores the source repository of a program in the build ID of its mappings, as v1 does. */
export function injectMappingVersions(t: PprofTables, labels: Labels): void {
  const repository = labelValue(labels, "service_repository"),
    ref = labelValue(labels, "service_git_ref"),
    root = labelValue(labels, "service_root_path");
  if (repository === "" && ref === "" && root === "") return;
  const texts = new Map<number, string>();
  for (let i = 0; i < t.mappings; i++) {
    const json = JSON.stringify({
      ...(repository === "" ? {} : { repository }),
      ...(ref === "" ? {} : { git_ref: ref }),
      ...(t.mappingBuildId.data[i] === 0 ? {} : { build_id: stringAt(t, t.mappingBuildId.data[i]!) }),
      ...(root === "" ? {} : { root_path: root }),
    });
    texts.set(t.strings, json);
    t.mappingBuildId.data[i] = t.stringStart.push(0);
    t.stringEnd.push(0);
  }
  replaceStrings(t, texts);
}
