{{- define "cinderblock.name" -}}{{ default .Chart.Name (include "cinderblock.override" (dict "root" . "key" "nameOverride")) | trunc 40 | trimSuffix "-" }}{{- end }}
{{- define "cinderblock.fullname" -}}
{{- $override := include "cinderblock.override" (dict "root" . "key" "fullnameOverride") -}}
{{- if $override }}{{ $override }}
{{- else if contains (include "cinderblock.name" .) .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name (include "cinderblock.name" .) | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}
{{- define "cinderblock.serviceAccount" -}}{{ $account := include "cinderblock.account" . | fromJson }}{{ default (ternary (include "cinderblock.fullname" .) "default" $account.create) $account.name }}{{- end }}
{{- define "cinderblock.selector" -}}
app.kubernetes.io/name: {{ include "cinderblock.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "cinderblock.labels" -}}
{{- $labels := include "cinderblock.selector" . | fromYaml -}}
{{- $labels = merge $labels (dict "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/managed-by" .Release.Service "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)) -}}
{{- merge $labels (deepCopy (default dict .Values.pyroscope.extraLabels)) | toYaml -}}
{{- end }}
{{- define "cinderblock.redis" -}}
{{- if .Values.redis.address }}{{ .Values.redis.address }}
{{- else if .Values.redis.bundled.enabled }}{{ include "cinderblock.fullname" . }}-redis:6379
{{- else }}{{ fail "pyroscope.components needs a Redis for the rings: set redis.address, or redis.bundled.enabled to try it out" }}{{ end }}
{{- end }}
{{- define "cinderblock.brokers" -}}
{{- if .Values.kafka.brokers }}{{ .Values.kafka.brokers }}
{{- else if .Values.kafka.bundled.enabled }}{{ include "cinderblock.fullname" . }}-kafka:9092
{{- else }}{{ fail "kafka.enabled needs kafka.brokers, or kafka.bundled.enabled to try it out" }}{{ end }}
{{- end }}
{{- /* The configuration file: text, then what the chart knows, then structuredConfig. */}}
{{- define "cinderblock.config" -}}
{{- $config := dict -}}
{{- if .Values.pyroscope.config }}{{ $config = include "cinderblock.tpl" (dict "root" . "text" .Values.pyroscope.config) | fromYaml }}{{ if hasKey $config "Error" }}{{ fail (printf "pyroscope.config is not YAML: %s" (get $config "Error")) }}{{ end }}{{ end -}}
{{- if .Values.s3.bundled.enabled }}{{ $config = mergeOverwrite $config (dict "storage" (dict "backend" "s3" "s3" (dict "endpoint" (printf "%s-s3:7070" (include "cinderblock.fullname" .)) "bucket_name" "cinderblock" "access_key_id" "cinderblock" "secret_access_key" "cinderblock-try" "insecure" true))) }}{{ end -}}
{{- /* Passwords come from the environment, never from arguments. */ -}}
{{- if .Values.redis.existingSecret }}{{ $config = mergeOverwrite $config (dict "redis" (dict "password" "${REDIS_PASSWORD}")) }}{{ end -}}
{{- if and .Values.kafka.enabled .Values.kafka.existingSecret }}{{ $config = mergeOverwrite $config (dict "kafka" (dict "sasl" (dict "username" "${KAFKA_USERNAME}" "password" "${KAFKA_PASSWORD}"))) }}{{ end -}}
{{- if .Values.tls.existingSecret }}
{{- $config = mergeOverwrite $config (dict "server" (dict "http_tls_config" (dict "cert_file" "/etc/cinderblock/tls/tls.crt" "key_file" "/etc/cinderblock/tls/tls.key" "client_ca_file" "/etc/cinderblock/tls/ca.crt" "client_auth_type" .Values.tls.clientAuth))) -}}
{{- if .Values.pyroscope.components }}{{ $config = mergeOverwrite $config (dict "internal_client" (dict "tls_enabled" true "tls_ca_path" "/etc/cinderblock/tls/ca.crt" "tls_cert_path" "/etc/cinderblock/tls/tls.crt" "tls_key_path" "/etc/cinderblock/tls/tls.key" "tls_server_name" .Values.tls.serverName)) }}{{ end -}}
{{- end -}}
{{- if .Values.auth.existingSecret }}{{ $config = mergeOverwrite $config (dict "auth" (dict "tokens_file" "/etc/cinderblock/auth/tokens.yaml")) }}{{ end -}}
{{- if and .Values.pyroscope.components .Values.auth.internalSecret }}{{ $config = mergeOverwrite $config (dict "auth" (dict "internal_token_file" "/etc/cinderblock/internal/internal-token")) }}{{ end -}}
{{- $structured := include "cinderblock.tpl" (dict "root" . "text" (toYaml .Values.pyroscope.structuredConfig)) | fromYaml -}}
{{- if hasKey $structured "Error" }}{{ fail (printf "pyroscope.structuredConfig is not YAML after its templates: %s" (get $structured "Error")) }}{{ end -}}
{{- $config = mergeOverwrite $config $structured -}}
{{- if and .Values.pyroscope.components (not (dig "storage" "backend" "" $config)) }}{{ fail "pyroscope.components needs a bucket that all of them reach: set pyroscope.structuredConfig.storage, or s3.bundled.enabled to try it out" }}{{ end -}}
{{- toYaml $config }}
{{- end }}
{{- /* The configuration that a component reads, a line for each value: its pods restart when these lines change. root, target. */}}
{{- define "cinderblock.configOf" -}}
{{- $readers := dict -}}
{{- if ne .target "all" }}{{ $readers = .root.Files.Get "config-readers.json" | fromJson }}{{ end -}}
{{- include "cinderblock.leaves" (dict "at" (include "cinderblock.config" .root | fromYaml) "path" "" "readers" $readers "target" .target) }}
{{- end }}
{{- define "cinderblock.leaves" -}}
{{- range $key, $value := .at }}
{{- $path := $key }}{{ if $.path }}{{ $path = printf "%s.%s" $.path $key }}{{ end }}
{{- $readers := get $.readers $path }}
{{- if and $readers (not (has $.target $readers)) }}
{{- else if and (kindIs "map" $value) (not $readers) }}{{ include "cinderblock.leaves" (dict "at" $value "path" $path "readers" $.readers "target" $.target) }}
{{- else }}{{ $path }}={{ toJson $value }}{{ "\n" }}
{{- end }}
{{- end }}
{{- end }}
{{- /* Zones of a component as objects: a name alone is a zone anywhere. One nameless zone without zones. */}}
{{- define "cinderblock.zones" -}}
{{- $zones := list -}}
{{- range default (list "") .zones }}{{ if kindIs "map" . }}{{ $zones = append $zones . }}{{ else }}{{ $zones = append $zones (dict "name" .) }}{{ end }}{{ end -}}
{{- toJson (dict "zones" $zones) }}
{{- end }}
{{- /* Affinity of a pod. In zones, pods of two zones never share a failure domain. root, c, target, zone. */}}
{{- define "cinderblock.affinity" -}}
{{- $affinity := deepCopy (default dict .c.affinity) -}}
{{- $domain := "topology.kubernetes.io/zone" }}{{ if hasKey .zone "topologyKey" }}{{ $domain = .zone.topologyKey }}{{ end -}}
{{- if and .zone.name $domain -}}
{{- $others := list (dict "key" "cinderblock/zone" "operator" "Exists") (dict "key" "cinderblock/zone" "operator" "NotIn" "values" (list .zone.name)) -}}
{{- $labels := merge (include "cinderblock.selector" .root | fromYaml) (dict "app.kubernetes.io/component" .target) -}}
{{- $term := dict "topologyKey" $domain "labelSelector" (dict "matchLabels" $labels "matchExpressions" $others) -}}
{{- $anti := default dict $affinity.podAntiAffinity -}}
{{- $required := append (default list $anti.requiredDuringSchedulingIgnoredDuringExecution) $term -}}
{{- $_ := set $anti "requiredDuringSchedulingIgnoredDuringExecution" $required -}}
{{- $_ := set $affinity "podAntiAffinity" $anti -}}
{{- end -}}
{{- if $affinity }}{{ toYaml $affinity }}{{ end }}
{{- end }}
{{- /* What a component has: its own keys over those of all. */}}
{{- define "cinderblock.component" -}}
{{- $all := omit (deepCopy .root.Values.pyroscope) "components" -}}
{{- $c := mergeOverwrite $all (deepCopy (default dict .own)) -}}
{{- /* null unsets a value: a whole object that is unset has no keys. */}}
{{- range $key := list "image" "service" "persistence" "podDisruptionBudget" "resources" }}{{ if not (kindIs "map" (get $c $key)) }}{{ $_ := set $c $key dict }}{{ end }}{{ end -}}
{{- $_ := set $c "service" (merge $c.service (dict "type" "ClusterIP" "port" 4040 "portName" "http2")) -}}
{{- $_ := set $c "image" (merge $c.image (dict "repository" "cinderblock" "pullPolicy" "IfNotPresent")) -}}
{{- with $c.service.port_name }}{{ $_ := set $c.service "portName" . }}{{ end -}}
{{- with (default dict .root.Values.architecture).overwriteResources }}{{ $_ := set $c "resources" . }}{{ end -}}
{{- toYaml $c }}
{{- end }}
{{- /* A probe: own values over a default timing and a GET of `path`. root, own, timing, path, port. */}}
{{- define "cinderblock.probe" -}}
{{- $default := deepCopy .timing -}}
{{- $own := default dict .own -}}
{{- if not (or (hasKey $own "httpGet") (hasKey $own "exec") (hasKey $own "tcpSocket") (hasKey $own "grpc")) -}}
{{- $get := dict "path" .path "port" .port -}}
{{- if .root.Values.tls.existingSecret }}{{ $get = merge $get (dict "scheme" "HTTPS") }}{{ end -}}
{{- $default = merge $default (dict "httpGet" $get) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $default (deepCopy $own)) }}
{{- end }}
{{- /* The pod of a component. root, name, target, group, zone: an object, c: its values. */}}
{{- define "cinderblock.pod" -}}
{{- $root := .root -}}{{- $c := .c -}}{{- $cluster := ne .target "all" -}}
metadata:
  annotations:
    checksum/config: {{ include "cinderblock.configOf" (dict "root" $root "target" .target) | sha256sum }}
    profiles.grafana.com/service_name: {{ .name }}
    {{- with $c.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
  labels:
    {{- $labels := merge (include "cinderblock.selector" $root | fromYaml) (dict "app.kubernetes.io/component" .target) -}}
    {{- /* Labels that grafana/rollout-operator looks for: name, rollout-group. */}}
    {{- if .zone.name }}{{ $labels = merge $labels (dict "cinderblock/zone" .zone.name "name" .name "rollout-group" .group) }}{{ end -}}
    {{- $labels = merge $labels (deepCopy (default dict $c.extraLabels)) (deepCopy (default dict $c.podLabels)) -}}
    {{- merge $labels (include "cinderblock.labels" $root | fromYaml) | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "cinderblock.serviceAccount" $root }}
  # No process calls the Kubernetes API.
  automountServiceAccountToken: {{ $c.automountServiceAccountToken }}
  {{- with $c.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $c.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- if $c.hostNetwork }}
  hostNetwork: true
  {{- end }}
  terminationGracePeriodSeconds: {{ $c.terminationGracePeriodSeconds }}
  securityContext: {{ toYaml $c.podSecurityContext | nindent 4 }}
  {{- with $c.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.initContainers }}
  initContainers: {{ toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .target | replace "all" "cinderblock" }}
      image: {{ include "cinderblock.image" (dict "root" $root "registry" $c.image.registry "image" (printf "%s:%s" $c.image.repository (default $root.Chart.AppVersion $c.image.tag))) | quote }}
      imagePullPolicy: {{ $c.image.pullPolicy }}
      securityContext: {{ toYaml $c.securityContext | nindent 8 }}
      args:
        - "-target={{ .target }}"
        - "-config.file=/etc/cinderblock/config.yaml"
        - "-config.expand-env=true"
        - "-runtime-config.file=/etc/cinderblock/overrides/overrides.yaml"
        - "-server.http-listen-port=4040"
        - "-pyroscopedb.data-path=/data"
        - "-compactor.data-dir=/data/compactor"
        - "-blocks-storage.bucket-store.sync-dir=/data/sync"
        {{- if dig "requests" "cpu" "" $c.resources }}
        # Without a CPU limit a process sees every processor of its node.
        - "-process.cpus=$(CPU_REQUEST)"
        {{- end }}
        {{- if not (dig "storage" "backend" "" (include "cinderblock.config" $root | fromYaml)) }}
        - "-storage.filesystem.dir=/data/bucket"
        {{- end }}
        {{- if $cluster }}
        - "-ring.store=redis"
        - "-ring.instance-id=$(POD_NAME)"
        - "-ring.instance-addr=$(POD_IP)"
        - "-server.internal-listen-port=5040"
        - "-redis.address={{ include "cinderblock.redis" $root }}"
        - "-distributor.replication-factor={{ if $root.Values.kafka.enabled }}1{{ else }}{{ min 3 (int (include "cinderblock.ingesters" $root)) }}{{ end }}"
        {{- if $root.Values.kafka.enabled }}
        - "-distributor.write-buffer=kafka"
        - "-kafka.brokers={{ include "cinderblock.brokers" $root }}"
        - "-kafka.topic={{ $root.Values.kafka.topic }}"
        - "-kafka.auto-create-topic-partitions={{ $root.Values.kafka.partitions }}"
        - "-kafka.auto-create-topic-replication={{ $root.Values.kafka.replication }}"
        {{- if $root.Values.kafka.tls }}
        - "-kafka.tls-enabled=true"
        {{- end }}
        {{- if $root.Values.kafka.saslMechanism }}
        - "-kafka.sasl.mechanism={{ $root.Values.kafka.saslMechanism }}"
        {{- end }}
        {{- end }}
        {{- end }}
        {{- if .zone.name }}
        - "-ingester.availability-zone={{ .zone.name }}"
        {{- end }}
        {{- /* Distributors place replicas, and ingesters must agree with them. */}}
        {{- if and $cluster (dig "ingester" "zones" "" $root.Values.pyroscope.components) (not $root.Values.kafka.enabled) }}
        - "-distributor.zone-awareness-enabled=true"
        {{- end }}
        {{- if eq (toJson $root.Values.pyroscope.disableSelfProfile) "false" }}
        - "-self-profiling.disable-push=false"
        {{- end }}
        {{- range $flag, $value := $c.extraArgs }}
        - "-{{ $flag }}={{ $value }}"
        {{- end }}
      ports:
        - { name: {{ $c.service.portName }}, containerPort: 4040, protocol: TCP }
        {{- if has .target (list "ingester" "store-gateway" "query-scheduler") }}
        - { name: internal, containerPort: 5040, protocol: TCP }
        {{- end }}
      env:
        - { name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
        - { name: POD_IP, valueFrom: { fieldRef: { fieldPath: status.podIP } } }
        {{- if dig "requests" "cpu" "" $c.resources }}
        # Rounded up to whole CPUs.
        - { name: CPU_REQUEST, valueFrom: { resourceFieldRef: { resource: requests.cpu, divisor: "1" } } }
        {{- end }}
        {{- if and $cluster $root.Values.redis.existingSecret }}
        - { name: REDIS_PASSWORD, valueFrom: { secretKeyRef: { name: {{ $root.Values.redis.existingSecret }}, key: password } } }
        {{- end }}
        {{- if and $cluster $root.Values.kafka.enabled $root.Values.kafka.existingSecret }}
        - { name: KAFKA_USERNAME, valueFrom: { secretKeyRef: { name: {{ $root.Values.kafka.existingSecret }}, key: username } } }
        - { name: KAFKA_PASSWORD, valueFrom: { secretKeyRef: { name: {{ $root.Values.kafka.existingSecret }}, key: password } } }
        {{- end }}
        {{- range $name, $value := $c.extraEnvVars }}
        - { name: {{ $name }}, {{ if kindIs "map" $value }}valueFrom: {{ toJson (default $value $value.valueFrom) }}{{ else }}value: {{ $value | toString | quote }}{{ end }} }
        {{- end }}
        {{- with $c.extraCustomEnvVars }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $c.extraEnvFrom }}
      envFrom: {{ toYaml . | nindent 8 }}
      {{- end }}
      # Replay of the log takes minutes. /started does not depend on Redis or the bucket: a restart repairs neither.
      startupProbe: {{ include "cinderblock.probe" (dict "root" $root "own" $c.startupProbe "timing" (dict "periodSeconds" 5 "failureThreshold" 720) "path" "/started" "port" $c.service.portName) | nindent 8 }}
      readinessProbe: {{ include "cinderblock.probe" (dict "root" $root "own" $c.readinessProbe "timing" (dict "periodSeconds" 5 "failureThreshold" 3) "path" "/ready" "port" $c.service.portName) | nindent 8 }}
      {{- if $c.livenessProbe }}
      livenessProbe: {{ include "cinderblock.probe" (dict "root" $root "own" $c.livenessProbe "timing" (dict "periodSeconds" 10 "failureThreshold" 6) "path" "/started" "port" $c.service.portName) | nindent 8 }}
      {{- end }}
      resources: {{ toYaml $c.resources | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/cinderblock/config.yaml, subPath: config.yaml }
        - { name: overrides, mountPath: /etc/cinderblock/overrides }
        - { name: data, mountPath: /data{{ with $c.persistence.subPath }}, subPath: {{ . | quote }}{{ end }} }
        - { name: tmp, mountPath: /tmp }
        {{- if $root.Values.tls.existingSecret }}
        - { name: tls, mountPath: /etc/cinderblock/tls, readOnly: true }
        {{- end }}
        {{- if $root.Values.auth.existingSecret }}
        - { name: auth, mountPath: /etc/cinderblock/auth, readOnly: true }
        {{- end }}
        {{- if and $cluster $root.Values.auth.internalSecret }}
        - { name: internal-token, mountPath: /etc/cinderblock/internal, readOnly: true }
        {{- end }}
        {{- with $c.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
    {{- with $c.extraContainers }}{{ toYaml . | nindent 4 }}{{ end }}
  volumes:
    - { name: config, configMap: { name: {{ include "cinderblock.fullname" $root }}-config } }
    - { name: overrides, configMap: { name: {{ include "cinderblock.fullname" $root }}-overrides } }
    - { name: tmp, emptyDir: {} }
    {{- with $root.Values.tls.existingSecret }}
    - { name: tls, secret: { secretName: {{ . }} } }
    {{- end }}
    {{- with $root.Values.auth.existingSecret }}
    - { name: auth, secret: { secretName: {{ . }}, items: [{ key: tokens.yaml, path: tokens.yaml }] } }
    {{- end }}
    {{- if and $cluster $root.Values.auth.internalSecret }}
    - { name: internal-token, secret: { secretName: {{ $root.Values.auth.internalSecret }}, items: [{ key: internal-token, path: internal-token }] } }
    {{- end }}
    {{- /* A Deployment without a claim keeps nothing. */}}
    {{- if and $c.persistence.enabled $c.persistence.existingClaim }}
    - { name: data, persistentVolumeClaim: { claimName: {{ $c.persistence.existingClaim }} } }
    {{- else if not (and $c.persistence.enabled (eq $c.kind "StatefulSet")) }}
    - { name: data, emptyDir: {} }
    {{- end }}
    {{- with $c.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
  {{- with mergeOverwrite (deepCopy (default dict $c.nodeSelector)) (default dict .zone.nodeSelector) }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $c.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with include "cinderblock.affinity" (dict "root" $root "c" $c "target" .target "zone" .zone) }}
  affinity: {{ . | nindent 4 }}
  {{- end }}
  {{- with $c.topologySpreadConstraints }}
  topologySpreadConstraints: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- /* Ingesters of all zones. */}}
{{- define "cinderblock.ingesters" -}}
{{- $i := default dict .Values.pyroscope.components.ingester -}}{{ mul (int (default 1 $i.replicaCount)) (max 1 (len (default list $i.zones))) }}
{{- end }}
{{- /* Where a public path goes: the component of that name, or the single binary. */}}
{{- define "cinderblock.routes" -}}
{{- $root := . -}}{{- $name := include "cinderblock.fullname" . -}}{{- $components := default dict .Values.pyroscope.components -}}
{{- $routes := list -}}
{{- range list "/push.v1.PusherService" "/ingest" "/pyroscope/ingest" "/opentelemetry.proto.collector.profiles.v1development.ProfilesService" "/v1development/profiles" }}{{ $routes = append $routes (list . "distributor") }}{{ end -}}
{{- range $path, $component := dict "/settings.v1.SettingsService" "tenant-settings" "/adhocprofiles.v1.AdHocProfileService" "ad-hoc-profiles" "/pyroscope/debug-files" "ad-hoc-profiles" -}}
{{- if hasKey $components $component }}{{ $routes = append $routes (list $path $component) }}{{ end -}}
{{- end -}}
{{- range append $routes (list "/" "query-frontend") }}
{{- $component := last . }}{{- $service := include "cinderblock.component" (dict "root" $root "own" (get $components $component)) | fromYaml | dig "service" dict }}
- path: {{ first . }}
  service: {{ $name }}{{ if $components }}-{{ $component }}{{ end }}
  port: {{ $service.port }}
  portName: {{ $service.portName }}
{{- end }}
{{- end }}
{{- /* How many pods there are at least. */}}
{{- define "cinderblock.copies" -}}{{ if and .autoscaling .autoscaling.enabled }}{{ default 1 .autoscaling.minReplicas }}{{ else }}{{ .replicaCount }}{{ end }}{{- end }}
