{{/* Names and labels that everything here shares. */}}

{{/* The name of what is made: the release's, with the chart's in it. */}}
{{- define "vanne.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains .Chart.Name $name) }}{{ $name = printf "%s-%s" $name .Chart.Name }}{{ end -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- end }}

{{- define "vanne.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "vanne.labels" -}}
{{ include "vanne.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "vanne.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "vanne.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "vanne.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* What the Deployment is, for those that scale it. */}}
{{- define "vanne.target" -}}
apiVersion: apps/v1
kind: Deployment
name: {{ include "vanne.name" . }}
{{- end }}

{{/* Who scales: at most one of them. */}}
{{- define "vanne.isScaled" -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling.enabled and keda.enabled: choose one of them, KEDA makes an autoscaler of its own" -}}
{{- end -}}
{{- if or .Values.autoscaling.enabled .Values.keda.enabled }}true{{ end -}}
{{- end }}

{{/* Which series are this release's. */}}
{{- define "vanne.series" -}}
namespace="{{ .Release.Namespace }}",job="{{ include "vanne.name" . }}-probe"
{{- end }}
