{{- define "nashflow.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The names of what is rendered begin with it; short enough for the longest suffix. */}}
{{- define "nashflow.fullname" -}}
{{- $name := include "nashflow.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Who declares recurring runs: no other release may touch them. */}}
{{- define "nashflow.owner" -}}
{{ .Release.Namespace }}/{{ .Release.Name }}
{{- end }}

{{- /* Labels that selectors use: nothing that changes with an upgrade. Argument: (list context component). */}}
{{- define "nashflow.selectorLabels" -}}
{{- $context := index . 0 -}}
app.kubernetes.io/name: {{ include "nashflow.name" $context }}
app.kubernetes.io/instance: {{ $context.Release.Name | quote }}
{{- with index . 1 }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- /* Labels of an object. Argument: (list context component). */}}
{{- define "nashflow.labels" -}}
{{- $context := index . 0 -}}
{{- $own := include "nashflow.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "nashflow" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" $context.Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/version" $context.Chart.AppVersion -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" $context.Chart.Name $context.Chart.Version | replace "+" "_") -}}
{{- merge $own $context.Values.commonLabels | toYaml }}
{{- end }}

{{- /*
Labels of a pod, without a sidecar of Istio's: it would keep a Job from ever ending, the network policies leave it no way
to Istio, and the steps, which have none either, call in plain text. Argument: (list context component).
*/}}
{{- define "nashflow.podLabels" -}}
{{- $own := include "nashflow.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "nashflow" -}}
{{- $_ := set $own "sidecar.istio.io/inject" "false" -}}
{{- merge $own (index . 0).Values.commonLabels | toYaml }}
{{- end }}

{{- /* An image by digest, or by tag. Argument: (list context image). */}}
{{- define "nashflow.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default (index . 0).Chart.AppVersion $image.tag }}
{{- end }}
{{- end }}

{{- define "nashflow.imagePullSecrets" -}}
{{- with .Values.imagePullSecrets -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* With the next one: what the restricted Pod Security Standard asks for, and a read-only root file system. */}}
{{- define "nashflow.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- with .Values.podSecurity }}
{{- if not (kindIs "invalid" .runAsUser) }}
runAsUser: {{ int64 .runAsUser }}
{{- end }}
{{- if not (kindIs "invalid" .runAsGroup) }}
runAsGroup: {{ int64 .runAsGroup }}
{{- end }}
{{- if not (kindIs "invalid" .fsGroup) }}
fsGroup: {{ int64 .fsGroup }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
{{- end }}
{{- end }}

{{- define "nashflow.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Where pods run. Argument: the values of a part. */}}
{{- define "nashflow.scheduling" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- /* Variables that hold under any UID: it may have no entry in /etc/passwd and no home. */}}
{{- define "nashflow.homeEnv" -}}
- name: HOME
  value: /tmp
- name: USER
  value: nashflow
{{- end }}

{{- /* Variables of the values of a part: plain ones, and ones from Secrets. */}}
{{- define "nashflow.ownEnv" -}}
{{- range $name, $value := .env }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $from := .secretEnv }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $from.secretName }}
      key: {{ $from.key }}
{{- end }}
{{- end }}

{{- /* Access to the object store. Argument: (list context optional): whether the pod starts without the Secret. */}}
{{- define "nashflow.storeEnv" -}}
{{- $context := index . 0 -}}
{{- range list "AWS_ENDPOINT_URL" "AWS_DEFAULT_REGION" "AWS_REQUEST_CHECKSUM_CALCULATION" "AWS_RESPONSE_CHECKSUM_VALIDATION" }}
- name: {{ . }}
  valueFrom:
    configMapKeyRef:
      name: {{ $context.Values.environment.configMapName }}
      key: {{ . }}
{{- end }}
{{- $optional := index . 1 -}}
{{- with $context.Values.s3.credentials }}
{{- if .secretName }}
{{- $secret := .secretName }}
{{- range $name, $key := dict "AWS_ACCESS_KEY_ID" .accessKeyIdKey "AWS_SECRET_ACCESS_KEY" .secretAccessKeyKey }}
- name: {{ $name | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ $key }}
      {{- if $optional }}
      optional: true
      {{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "nashflow.trackingUri" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "nashflow.fullname" . }}-mlflow.{{ .Release.Namespace }}.svc:5000
{{- else -}}
{{ .Values.mlflow.trackingUri }}
{{- end }}
{{- end }}

{{- define "nashflow.judgeUrl" -}}
http://{{ include "nashflow.fullname" . }}-judge.{{ .Release.Namespace }}.svc:8000/v1
{{- end }}

{{- /* Names of the Secrets with credentials of the object store, as a YAML list. */}}
{{- define "nashflow.storeSecrets" -}}
{{- $names := list -}}
{{- with .Values.s3.credentials.secretName }}{{ $names = append $names . }}{{ end -}}
{{- if .Values.kfp.launcher.create -}}
{{- range .Values.kfp.launcher.overrides }}
{{- with dig "credentials" "secretName" "" . }}{{ $names = append $names . }}{{ end -}}
{{- end -}}
{{- end -}}
{{- uniq $names | toYaml }}
{{- end }}
