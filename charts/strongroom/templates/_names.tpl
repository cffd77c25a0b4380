{{- define "strongroom.name" -}}
{{- default .Chart.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "strongroom.labels" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "strongroom.selector" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: serve
{{- end -}}

{{- define "strongroom.front.selector" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: front
{{- end -}}

{{- define "strongroom.webhook.selector" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: webhook
{{- end -}}

{{- define "strongroom.node.selector" -}}
app.kubernetes.io/name: strongroom
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end -}}

{{- /* Where the node plugin is. */ -}}
{{- define "strongroom.node.namespace" -}}
{{- default .Release.Namespace .Values.node.namespace -}}
{{- end -}}

{{- /* A dedicated gateway as `strongroom serve` takes it; what is left out is the program's own default. */ -}}
{{- define "strongroom.gateway.argument" -}}
{{- $gateway := .gateway -}}
{{- $parts := list (printf "--gateway=%s=0.0.0.0:%d" $gateway.name (int $gateway.port)) (printf "service=%s" .service) -}}
{{- range $key := list "readRate" "writeRate" "totalRate" "requests" "connections" -}}
{{- if hasKey $gateway $key }}{{ $parts = append $parts (printf "%s=%d" $key (int64 (get $gateway $key))) }}{{ end -}}
{{- end -}}
{{- range $key := list "names" "products" -}}
{{- with get $gateway $key }}{{ $parts = append $parts (printf "%s=%s" $key (join "+" .)) }}{{ end -}}
{{- end -}}
{{- join "," $parts -}}
{{- end -}}

{{- /* Not empty where the process may read and write Secrets everywhere. Nothing is what releases have from before it had to be said. */ -}}
{{- define "strongroom.nativeSecrets.everywhere" -}}
{{- if or (not .Values.nativeSecrets.namespaces) (eq (toString .Values.nativeSecrets.namespaces) "*") -}}yes{{- end -}}
{{- end -}}

{{- /* A quantity of Kubernetes in bytes, so that 2048Mi and 2Gi are the same. */ -}}
{{- define "strongroom.bytes" -}}
{{- $text := toString . -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- $number := regexFind "^[0-9.]+" $text -}}
{{- if and $number (or (eq $unit "") (hasKey $units $unit)) -}}
{{- mulf (float64 $number) (float64 (get $units $unit | default 1)) | int64 -}}
{{- else -}}
{{- $text -}}
{{- end -}}
{{- end -}}

{{- /* An image of a repository, by its digest where one is given: that stays what it is, whatever becomes of the tag. */ -}}
{{- define "strongroom.image" -}}
{{- if .image.digest -}}
{{ printf "%s@%s" .image.repository .image.digest }}
{{- else -}}
{{ printf "%s:%s" .image.repository (default .appVersion .image.tag) }}
{{- end -}}
{{- end -}}

{{- /* Where the API server is, and who resolves names: as NetworkPolicies say it. */ -}}
{{- define "strongroom.egress" -}}
- ports:
  - {port: 443, protocol: TCP}
  - {port: 6443, protocol: TCP}
  {{- with .Values.networkPolicy.apiServer }}
  to:
  {{- range . }}
  - ipBlock: {cidr: {{ . }}}
  {{- end }}
  {{- end }}
- ports:
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
  to: {{- toYaml .Values.networkPolicy.dns | nindent 2 }}
{{- end -}}

{{- /* A product's own sink, as the process reads it. */ -}}
{{- define "strongroom.productSink" -}}
--audit-product-sink={{ .name }}={{ .url }},product={{ .product }},maxLag={{ default "5m" .maxLag }}
{{- end -}}

{{- /* The Secret of the root key, where the process keeps it in one. */ -}}
{{- define "strongroom.rootKeySecret" -}}
{{- with .Values.serve.seal -}}
{{- if not (or .keyFile .passphraseFile) -}}{{ .kubernetesSecret }}{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Where every command of the program finds what opens the seal. */ -}}
{{- define "strongroom.sealVariables" -}}
{{- with .Values.serve.seal }}
{{- if .keyFile }}
- {name: STRONGROOM_SEAL_KEY_FILE, value: {{ .keyFile | quote }}}
{{- else if .passphraseFile }}
- {name: STRONGROOM_SEAL_PASSPHRASE_FILE, value: {{ .passphraseFile | quote }}}
{{- else }}
- {name: STRONGROOM_SEAL_KUBERNETES_SECRET, value: {{ .kubernetesSecret | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{- /* A container that runs one command of the program before it serves. */ -}}
{{- define "strongroom.command" -}}
image: {{ include "strongroom.image" (dict "image" .Values.image "appVersion" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
env:
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- include "strongroom.sealVariables" . | trim | nindent 0 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
resources: {{- toYaml .Values.resources | nindent 2 }}
{{- end -}}
