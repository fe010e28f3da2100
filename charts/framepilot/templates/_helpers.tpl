{{/*
What the release's objects are called. 53 characters, which is what Helm allows for a release's name, leave room for
the suffixes of other names.
*/}}
{{- define "framepilot.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
What tells this release's operators from all other pods. A Deployment can never change it, so nothing in it may change
with a version.
*/}}
{{- define "framepilot.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "framepilot.labels" -}}
{{ include "framepilot.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "framepilot.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "framepilot.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/*
What the operator may do where it looks after services: read what it watches, write what it makes.
*/}}
{{- define "framepilot.rules" -}}
- apiGroups: [framepilot.dev]
  resources: [inferenceservices, inferenceruntimes, modelprofiles]
  verbs: [get, list, watch]
- apiGroups: [framepilot.dev]
  resources: [inferenceservices/status, inferenceruntimes/status]
  verbs: [patch]
# The runtimes that services share because they ask for the same device.
- apiGroups: [framepilot.dev]
  resources: [inferenceruntimes]
  verbs: [create, patch, delete]
- apiGroups: [framepilot.dev]
  resources: [modelprofiles]
  verbs: [create, patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/*
As the operator labels the pods of instances.
*/}}
{{- define "framepilot.instanceLabels" -}}
app.kubernetes.io/name: inference-app
app.kubernetes.io/managed-by: framepilot
{{- end -}}

{{/*
What a pod needs to look up names.
*/}}
{{- define "framepilot.egressToNames" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}
