{{- /* What RBAC is asked about the writer, as CEL. */ -}}
{{- define "strongroom.admission.check" -}}
authorizer.group('{{ if ne .of "secrets" }}strongroom.dev{{ end }}').resource('{{ .of }}').namespace(variables.home)
{{- with .named }}.name(variables.{{ . }}){{ end }}.check('{{ .verb }}').allowed()
{{- end -}}

{{- /* The same in words, as CEL. */ -}}
{{- define "strongroom.admission.words" -}}
'the verb {{ .verb }} on {{ .of }}{{ if ne .of "secrets" }}.strongroom.dev{{ end }}'
{{- with .named }} + ' `' + variables.{{ . }} + '`'{{ end }}
{{- end -}}

{{- /* The rules of a row of files/admission-table.yaml, one for each verb: an expression may ask the authorizer twice, and not three times. */ -}}
{{- define "strongroom.admission.rules" -}}
{{- $row := . }}
{{- range $ask := .asks }}
  # {{ $row.id }}
  - expression: >-
      !({{ $row.when | trim }}) ||
      {{ include "strongroom.admission.check" $ask }}
      {{- with $ask.or }} ||
      {{ include "strongroom.admission.check" . }}
      {{- end }}
    reason: Forbidden
    messageExpression: >-
      {{ $row.says }} + '; ask for ' + {{ include "strongroom.admission.words" $ask }}
      {{- with $ask.or }} + ', or ' + {{ include "strongroom.admission.words" . }}{{ end }} + ' in namespace `' + variables.home + '`'
{{- end }}
{{- end -}}
