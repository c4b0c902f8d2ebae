{{- /*
The spec of a pod that runs `nashflow` against KFP. Its token for KFP is a projected one, for KFP's audience alone;
Kubernetes' own is mounted where the command asks Kubernetes too.
Argument: (dict "context" . "args" [...] "kubernetes" bool "seconds" int "env" "…" "files" [projected sources]): `files`
are mounted at /etc/nashflow.
*/}}
{{- define "nashflow.clientPod" -}}
{{- $context := .context -}}
{{- with $context.Values -}}
restartPolicy: Never
activeDeadlineSeconds: {{ int64 $.seconds }}
serviceAccountName: {{ .client.serviceAccount.name }}
automountServiceAccountToken: {{ $.kubernetes }}
enableServiceLinks: false
{{- with include "nashflow.imagePullSecrets" $context }}
{{ . }}
{{- end }}
securityContext:
  {{- include "nashflow.podSecurityContext" $context | nindent 2 }}
{{- with include "nashflow.scheduling" .client | trim }}
{{ . }}
{{- end }}
containers:
  - name: nashflow
    image: {{ include "nashflow.image" (list $context .images.client) }}
    imagePullPolicy: {{ .images.client.pullPolicy }}
    workingDir: /tmp
    command: [nashflow]
    args:
      {{- toYaml $.args | nindent 6 }}
    env:
      {{- include "nashflow.homeEnv" $context | nindent 6 }}
      - name: KF_PIPELINES_SA_TOKEN_PATH
        value: /var/run/secrets/kubeflow/pipelines/token
      {{- with $.env }}
      {{- . | trim | nindent 6 }}
      {{- end }}
    securityContext:
      {{- include "nashflow.containerSecurityContext" $context | nindent 6 }}
    resources:
      {{- toYaml .client.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: kfp-token, mountPath: /var/run/secrets/kubeflow/pipelines, readOnly: true}
      {{- if $.files }}
      - {name: files, mountPath: /etc/nashflow, readOnly: true}
      {{- end }}
volumes:
  - name: tmp
    emptyDir: {}
  - name: kfp-token
    projected:
      sources:
        - serviceAccountToken:
            audience: pipelines.kubeflow.org
            expirationSeconds: 3600
            path: token
  {{- with $.files }}
  - name: files
    projected:
      sources:
        {{- toYaml . | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Where the client finds the recipes of the values, as a list of one projected source, or none. */}}
{{- define "nashflow.recipeFiles" -}}
{{- if .Values.recipes -}}
- configMap:
    name: {{ include "nashflow.fullname" . }}-recipes
    items:
      {{- range $file, $_ := .Values.recipes }}
      - {key: {{ $file }}, path: recipes/{{ $file }}}
      {{- end }}
{{- end }}
{{- end }}

{{- /*
What to call a recipe: the file of one in the values, or the name of a shipped one, which recipes.txt lists.
Argument: (list context name key).
*/}}
{{- define "nashflow.recipe" -}}
{{- $own := (index . 0).Values.recipes -}}
{{- $shipped := (index . 0).Files.Lines "recipes.txt" | compact -}}
{{- $name := index . 1 -}}
{{- if hasKey $own $name -}}
/etc/nashflow/recipes/{{ $name }}
{{- else if hasKey $own (printf "%s.yaml" $name) -}}
/etc/nashflow/recipes/{{ $name }}.yaml
{{- else if has $name $shipped -}}
{{ $name }}
{{- else -}}
{{- fail (printf "%s: recipes has no %s: add its text there, or name a shipped one: %s" (index . 2) $name (join ", " $shipped)) }}
{{- end }}
{{- end }}
