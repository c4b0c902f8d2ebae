{{- /* Peers and ports of the values as one rule. Argument: {to, ports}. */}}
{{- define "nashflow.egress" -}}
- to:
    {{- toYaml .to | nindent 4 }}
  ports:
    {{- range .ports }}
    - {port: {{ int64 . }}, protocol: TCP}
    {{- end }}
{{- end }}

{{- define "nashflow.egress.dns" -}}
{{- with .Values.networkPolicies.dns -}}
- to:
    {{- toYaml .to | nindent 4 }}
  ports:
    {{- range .ports }}
    - {port: {{ int64 . }}, protocol: UDP}
    - {port: {{ int64 . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end }}

{{- /* To a server of this release. Argument: (list context component port). */}}
{{- define "nashflow.egress.own" -}}
- to:
    - podSelector:
        matchLabels:
          {{- include "nashflow.selectorLabels" . | nindent 10 }}
  ports:
    - {port: {{ index . 2 }}, protocol: TCP}
{{- end }}

{{- /* What steps and client have in common: names, KFP, Kubernetes, the object store, and the release's servers. */}}
{{- define "nashflow.egress.common" -}}
{{ include "nashflow.egress.dns" . }}
{{ include "nashflow.egress" .Values.networkPolicies.kfp }}
{{ include "nashflow.egress" .Values.networkPolicies.kubernetesApi }}
{{ include "nashflow.egress" .Values.networkPolicies.objectStore }}
{{- if .Values.mlflow.enabled }}
{{ include "nashflow.egress.own" (list . "mlflow" 5000) }}
{{- end }}
{{- if .Values.judge.enabled }}
{{ include "nashflow.egress.own" (list . "judge" 8000) }}
{{- end }}
{{- end }}

{{- /* To a server of this release, from steps, client and others. Argument: (list context port others). */}}
{{- define "nashflow.ingress.server" -}}
{{- $context := index . 0 -}}
- from:
    - podSelector:
        {{- toYaml $context.Values.networkPolicies.stepSelector | nindent 8 }}
    - podSelector:
        matchLabels:
          {{- include "nashflow.selectorLabels" (list $context "client") | nindent 10 }}
    {{- with index . 2 }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {port: {{ index . 1 }}, protocol: TCP}
{{- end }}
