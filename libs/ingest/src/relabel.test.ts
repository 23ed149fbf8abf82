import { type Label, labelsText } from "@cinderblock/model";
import { parseRelabelRules, relabelSeries } from "./relabel.ts";

const LABELS: Label[] = [
  { name: "__name__", value: "process_cpu" },
  { name: "namespace", value: "Prod" },
  { name: "pod", value: "shop-7f9-x2" },
  { name: "service_name", value: "shop" },
];
const apply = (...rules: object[]): string => {
  const out = relabelSeries(LABELS, parseRelabelRules(rules, "r"));
  return out ? labelsText(out) : "dropped";
};

describe("relabeling", () => {
  it.each<[string, object, string]>([
    [
      "replace, by groups",
      {
        source_labels: ["pod"],
        regex: "(\\w+)-(?P<set>\\w+)-.*",
        target_label: "set",
        replacement: "${set}_$1",
      },
      '{__name__="process_cpu", namespace="Prod", pod="shop-7f9-x2", service_name="shop", set="7f9_shop"}',
    ],
    [
      "replace, joined",
      { source_labels: ["namespace", "service_name"], separator: "/", target_label: "pod" },
      '{__name__="process_cpu", namespace="Prod", pod="Prod/shop", service_name="shop"}',
    ],
    [
      "replace, where nothing matches",
      { source_labels: ["pod"], regex: "x", target_label: "pod", replacement: "y" },
      labelsText(LABELS),
    ],
    [
      "replace by nothing",
      { target_label: "pod", replacement: "" },
      '{__name__="process_cpu", namespace="Prod", service_name="shop"}',
    ],
    [
      "a text that contains the expression is no match",
      { action: "drop", source_labels: ["pod"], regex: "shop" },
      labelsText(LABELS),
    ],
    ["drop", { action: "drop", source_labels: ["pod"], regex: "shop-.*" }, "dropped"],
    ["keep", { action: "keep", source_labels: ["namespace"], regex: "prod" }, "dropped"],
    [
      "keep, in RE2's notation",
      { action: "keep", source_labels: ["namespace"], regex: "(?i)prod" },
      labelsText(LABELS),
    ],
    [
      "dropequal",
      { action: "dropequal", source_labels: ["service_name"], target_label: "service_name" },
      "dropped",
    ],
    ["keepequal", { action: "keepequal", source_labels: ["service_name"], target_label: "pod" }, "dropped"],
    [
      "lowercase",
      { action: "lowercase", source_labels: ["namespace"], target_label: "namespace" },
      labelsText(LABELS).replace("Prod", "prod"),
    ],
    [
      "uppercase",
      { action: "uppercase", source_labels: ["service_name"], target_label: "namespace" },
      labelsText(LABELS).replace("Prod", "SHOP"),
    ],
    [
      "hashmod",
      { action: "hashmod", source_labels: ["service_name"], modulus: 1, target_label: "shard" },
      '{__name__="process_cpu", namespace="Prod", pod="shop-7f9-x2", service_name="shop", shard="0"}',
    ],
    [
      "labelmap",
      { action: "labelmap", regex: "(name)space", replacement: "k8s_$1" },
      '{__name__="process_cpu", k8s_name="Prod", namespace="Prod", pod="shop-7f9-x2", service_name="shop"}',
    ],
    [
      "labeldrop",
      { action: "labeldrop", regex: "pod|namespace" },
      '{__name__="process_cpu", service_name="shop"}',
    ],
    [
      "labelkeep",
      { action: "labelkeep", regex: "__name__|service_name" },
      '{__name__="process_cpu", service_name="shop"}',
    ],
  ])("%s", (_, rule, expected) => {
    expect(apply(rule)).toBe(expected);
  });

  it("hashes as Prometheus does", async () => {
    const { createHash } = await import("node:crypto");
    const expected = BigInt(`0x${createHash("md5").update("shop").digest("hex").slice(16)}`) % 1000n;
    expect(
      apply({ action: "hashmod", source_labels: ["service_name"], modulus: 1000, target_label: "pod" }),
    ).toContain(`pod="${expected}"`);
  });
  it("applies rules in order, each to the previous result", () => {
    expect(
      apply(
        { action: "lowercase", source_labels: ["namespace"], target_label: "namespace" },
        { action: "keep", source_labels: ["namespace"], regex: "prod" },
        { action: "labelkeep", regex: "namespace" },
      ),
    ).toBe('{namespace="prod"}');
  });
  it.each<[unknown, string]>([
    ["drop", "r: expected a list of rules"],
    [[{ action: "remove" }], 'r: rule 1: action "remove": expected one of replace'],
    [[{ regex: "a)(b", target_label: "x" }], "r: rule 1: regex:"],
    [[{ action: "replace" }], "r: rule 1: replace needs a target_label"],
    [[{ action: "hashmod", target_label: "x" }], "hashmod needs a modulus"],
    [[{ source_label: ["a"] }], "unknown key source_label"],
    [[{ source_labels: "a" }], "source_labels: expected a list"],
  ])("refuses %j with a reason", (rules, message) => {
    expect(() => parseRelabelRules(rules, "r")).toThrow(message);
  });
});
