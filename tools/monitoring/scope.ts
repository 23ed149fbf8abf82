/** Metrics with their selectors; the values of a selector have no braces. */
const METRIC = /\b((?:pyroscope|cinderblock|objstore)_[a-z_]+)(?:\{([^}]*)\})?/g;

/** Selector of the processes that a dashboard's variables choose. */
const SCOPE = 'cluster=~"$cluster",namespace=~"$namespace",job=~"$job"';

/** Limits each metric of an expression to the chosen clusters, namespaces and jobs. */
export function scoped(expr: string): string {
  return expr.replaceAll(METRIC, (_all, name: string, selector: string | undefined) =>
    selector ? `${name}{${selector},${SCOPE}}` : `${name}{${SCOPE}}`,
  );
}

/** A variable with the values of a label; `all` matches series without the label, too. */
export interface LabelVariable {
  name: string;
  label: string;
  query: string;
  all?: string;
}

/**
 * Variables of every dashboard. Pyroscope v1 has the metrics `pyroscope_*` as well, so the jobs come from a
 * metric that only Cinderblock has.
 */
export const SCOPE_VARIABLES: readonly LabelVariable[] = [
  { name: "cluster", label: "Cluster", query: "label_values(cinderblock_build_info, cluster)", all: ".*" },
  {
    name: "namespace",
    label: "Namespace",
    query: 'label_values(cinderblock_build_info{cluster=~"$cluster"}, namespace)',
    all: ".*",
  },
  {
    name: "job",
    label: "Job",
    query: 'label_values(cinderblock_build_info{cluster=~"$cluster",namespace=~"$namespace"}, job)',
  },
];
