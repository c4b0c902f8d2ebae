{{- /*
The spec of a pod that runs `nashflow` against KFP, under the client's service account. Its token for KFP is a projected
one, for KFP's audience alone; Kubernetes' own is mounted where the command asks Kubernetes too.
Argument: (dict "context" . "args" [...] "kubernetes" bool "seconds" int "env" "…" "configMaps" {mount path: name}).
*/}}
{{- define "nashflow.clientPod" -}}
{{- $context := .context -}}
{{- with $context.Values -}}
restartPolicy: Never
activeDeadlineSeconds: {{ int64 $.seconds }}
serviceAccountName: {{ .client.serviceAccount.name }}
automountServiceAccountToken: {{ $.kubernetes }}
enableServiceLinks: false
{{- include "nashflow.imagePullSecrets" $context }}
securityContext:
  {{- include "nashflow.podSecurityContext" $context | nindent 2 }}
{{- with include "nashflow.scheduling" .client }}
{{- . }}
{{- end }}
containers:
  - name: nashflow
    image: {{ include "nashflow.image" (list $context .images.client) }}
    imagePullPolicy: {{ .images.client.pullPolicy }}
    command: [nashflow]
    args:
      {{- toYaml $.args | nindent 6 }}
    env:
      {{- include "nashflow.homeEnv" $context | nindent 6 }}
      - name: KF_PIPELINES_SA_TOKEN_PATH
        value: /var/run/secrets/kubeflow/pipelines/token
      {{- with $.env }}
      {{- . | nindent 6 }}
      {{- end }}
    securityContext:
      {{- include "nashflow.containerSecurityContext" $context | nindent 6 }}
    resources:
      {{- toYaml .client.resources | nindent 6 }}
    volumeMounts:
      - {name: tmp, mountPath: /tmp}
      - {name: kfp-token, mountPath: /var/run/secrets/kubeflow/pipelines, readOnly: true}
      {{- range $path, $name := $.configMaps }}
      - {name: {{ $name }}, mountPath: {{ $path }}, readOnly: true}
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
  {{- range $path, $name := $.configMaps }}
  - name: {{ $name }}
    configMap:
      name: {{ $name }}
  {{- end }}
{{- end }}
{{- end }}
