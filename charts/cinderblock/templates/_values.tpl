{{- /* Values that are checked or found at a second place: those of Pyroscope's chart, and combinations that a schema cannot state. */}}
{{- /* The value at a path of keys as {"found": …}, or {}. at, path. */}}
{{- define "cinderblock.at" -}}
{{- $at := .at -}}{{- $found := true -}}
{{- range splitList "/" .path -}}
{{- if and $found (kindIs "map" $at) (hasKey $at .) }}{{ $at = get $at . }}{{ else }}{{ $found = false }}{{ end -}}
{{- end -}}
{{- if and $found (not (kindIs "invalid" $at)) }}{{ dict "found" $at | toJson }}{{ else }}{}{{ end -}}
{{- end }}
{{- /* Values of Pyroscope's chart that differ from what pyroscope-values.yaml takes: lists `refused` and `ignored` of texts. */}}
{{- define "cinderblock.foreign" -}}
{{- $root := . -}}{{- $refused := list -}}{{- $ignored := list -}}
{{- $bases := list "pyroscope" -}}
{{- range $name, $_ := .Values.pyroscope.components }}{{ $bases = append $bases (printf "pyroscope/components/%s" $name) }}{{ end -}}
{{- range $entry := $root.Files.Get "pyroscope-values.yaml" | fromYamlArray -}}
{{- $paths := list ($entry.key | replace "." "/") -}}
{{- if hasPrefix "component." $entry.key -}}
{{- $paths = list -}}
{{- range $base := $bases -}}
{{- if not (and (eq $base "pyroscope") (eq (default "" $entry.of) "component")) }}{{ $paths = append $paths (printf "%s/%s" $base (trimPrefix "component." $entry.key | replace "." "/")) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- range $path := $paths -}}
{{- $value := include "cinderblock.at" (dict "at" $root.Values "path" $path) | fromJson -}}
{{- if hasKey $value "found" -}}
{{- $same := false -}}
{{- range $entry.takes }}{{ if eq (toJson .) (toJson $value.found) }}{{ $same = true }}{{ end }}{{ end -}}
{{- if not $same -}}
{{- $key := $path | replace "/" "." -}}
{{- if $entry.refused }}{{ $refused = append $refused (printf "%s=%s: %s" $key (toJson $value.found | trunc 60) $entry.refused) }}{{ else }}{{ $ignored = append $ignored (printf "%s: %s" $key $entry.ignored) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $instead := dict "query-backend" "; querier and store-gateway do its work" "segment-writer" "; ingester does its work" "compaction-worker" "; compactor does its work" "metastore" "" "admin" "" -}}
{{- range $name, $_ := .Values.pyroscope.components -}}
{{- if hasKey $instead $name }}{{ $refused = append $refused (printf "pyroscope.components.%s: a component of Pyroscope v2%s" $name (get $instead $name)) }}{{ end -}}
{{- end -}}
{{- range $base := $bases -}}
{{- $repository := include "cinderblock.at" (dict "at" $root.Values "path" (printf "%s/image/repository" $base)) | fromJson -}}
{{- if hasSuffix "grafana/pyroscope" (default "" $repository.found | toString) }}{{ $refused = append $refused (printf "%s.image.repository=%s: that image is Pyroscope's; set Cinderblock's" ($base | replace "/" ".") $repository.found) }}{{ end -}}
{{- end -}}
{{- dict "refused" $refused "ignored" $ignored | toJson -}}
{{- end }}
{{- /* Ends the rendering with all values that are refused. Renders nothing. */}}
{{- define "cinderblock.check" -}}
{{- $root := . -}}{{- $p := .Values.pyroscope -}}
{{- $refused := (include "cinderblock.foreign" . | fromJson).refused -}}
{{- range $key := list "nameOverride" "fullnameOverride" -}}
{{- $here := default "" (get $root.Values $key) -}}{{- $there := default "" (get $p $key) -}}
{{- if and $here $there (ne $here $there) }}{{ $refused = append $refused (printf "%s=%s and pyroscope.%s=%s: set one of them" $key $here $key $there) }}{{ end -}}
{{- end -}}
{{- if gt (len (include "cinderblock.override" (dict "root" . "key" "fullnameOverride"))) 40 }}{{ $refused = append $refused "fullnameOverride: longer than 40 characters, which leaves no room for the names of components" }}{{ end -}}
{{- if and (not $p.components) (gt (int $p.replicaCount) 1) -}}
{{- $refused = append $refused (printf "pyroscope.replicaCount=%d: the single binary runs once, because each copy would keep its recent profiles to itself and compact the same bucket; for more than one process list the components (values-micro-services.yaml)" (int $p.replicaCount)) -}}
{{- end -}}
{{- $components := default (dict "all" (dict "kind" "StatefulSet")) $p.components -}}
{{- range $target, $own := $components -}}
{{- $at := "pyroscope" }}{{ if ne $target "all" }}{{ $at = printf "pyroscope.components.%s" $target }}{{ end -}}
{{- $c := include "cinderblock.component" (dict "root" $root "own" $own) | fromYaml -}}
{{- $scales := and $c.autoscaling $c.autoscaling.enabled -}}
{{- if and $c.persistence.enabled $c.persistence.existingClaim (or $scales (gt (int $c.replicaCount) 1) (gt (len (default list $c.zones)) 1)) -}}
{{- $refused = append $refused (printf "%s.persistence.existingClaim=%s: one claim is the disk of one pod; set replicaCount=1 without zones and autoscaling, or leave existingClaim empty: claims named data-<pod> are used again" $at $c.persistence.existingClaim) -}}
{{- end -}}
{{- if and (eq (default "HTTP" $c.service.scheme) "HTTPS") (not $root.Values.tls.existingSecret) -}}
{{- $refused = append $refused (printf "%s.service.scheme=HTTPS: set tls.existingSecret, from which every process serves TLS" $at) -}}
{{- end -}}
{{- end -}}
{{- with $refused | uniq }}{{ fail (printf "\n- %s\n" (join "\n- " .)) }}{{ end -}}
{{- end }}
{{- /* nameOverride or fullnameOverride, at the top or below pyroscope. root, key. */}}
{{- define "cinderblock.override" -}}
{{- default (default "" (get .root.Values.pyroscope .key)) (get .root.Values .key) -}}
{{- end }}
{{- /* The service account's values, at the top or below pyroscope. */}}
{{- define "cinderblock.account" -}}
{{- $account := deepCopy .Values.serviceAccount -}}{{- $own := default dict .Values.pyroscope.serviceAccount -}}
{{- with $own.name }}{{ $_ := set $account "name" . }}{{ end -}}
{{- if eq (toJson $own.create) "false" }}{{ $_ := set $account "create" false }}{{ end -}}
{{- $_ := set $account "annotations" (mergeOverwrite (default dict $account.annotations) (deepCopy (default dict $own.annotations))) -}}
{{- toJson $account -}}
{{- end }}
{{- /* Text as a template, in which the names of templates of Pyroscope's chart are ours. root, text. */}}
{{- define "cinderblock.tpl" -}}
{{- $text := regexReplaceAll "\"pyroscope\\.(fullname|name|labels)\"" .text "\"cinderblock.${1}\"" -}}
{{- $text = $text | replace "\"pyroscope.selectorLabels\"" "\"cinderblock.selector\"" | replace "\"pyroscope.serviceAccountName\"" "\"cinderblock.serviceAccount\"" -}}
{{- tpl $text .root -}}
{{- end }}
{{- /* An image with its registry: global.imageRegistry, or its own. root, registry, image. */}}
{{- define "cinderblock.image" -}}
{{- $registry := default (default "" .registry) (default dict .root.Values.global).imageRegistry -}}
{{- if $registry }}{{ $registry | trimSuffix "/" }}/{{ end }}{{ .image -}}
{{- end }}
