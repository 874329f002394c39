{{/* What the chart needs to know of `config`: ports, namespaces, how long an exit takes. */}}

{{/* The port of an address. In: a dict of `address` and its `key`. */}}
{{- define "vanne.port" -}}
{{- $port := regexFind ":[0-9]+$" .address -}}
{{- if not $port -}}
{{- fail (printf "%s: the chart needs the port, expected an address like \"0.0.0.0:8080\", found %q" .key .address) -}}
{{- end -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" .address -}}
{{- fail (printf "%s: nobody outside the pod reaches %s, expected an address like \"0.0.0.0%s\"" .key .address $port) -}}
{{- end -}}
{{- trimPrefix ":" $port -}}
{{- end }}

{{- define "vanne.probePort" -}}
{{- include "vanne.port" (dict "key" "config.probe.address" "address" .Values.config.probe.address) -}}
{{- end }}

{{/* The listeners as JSON: [{ "name", "port" }]. Their names are names of ports, too. */}}
{{- define "vanne.listeners" -}}
{{- $found := list -}}
{{- range $name, $listener := .Values.config.listener -}}
{{- $key := printf "config.listener.%s" $name -}}
{{- if or (gt (len $name) 15) (not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" $name)) (not (regexMatch "[a-z]" $name)) (eq $name "probe") -}}
{{- fail (printf "%s: its name is the name of a port, too, expected at most 15 of a-z 0-9 -, with a letter, and not \"probe\"" $key) -}}
{{- end -}}
{{- $port := include "vanne.port" (dict "key" (printf "%s.address" $key) "address" $listener.address) -}}
{{- $found = append $found (dict "name" $name "port" (int $port)) -}}
{{- end -}}
{{- range $name, $port := .Values.service.ports -}}
{{- if not (hasKey $.Values.config.listener $name) -}}
{{- fail (printf "service.ports.%s: config.listener has no %q, expected one of: %s" $name $name (keys $.Values.config.listener | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{/* The namespaces whose pods pools follow, as a JSON list in order. */}}
{{- define "vanne.namespaces" -}}
{{- $found := list -}}
{{- range $name, $pool := .Values.config.pool -}}
{{- with $pool.kubernetes }}{{ $found = append $found (.namespace | default $.Release.Namespace) }}{{ end -}}
{{- end -}}
{{- $found | uniq | sortAlpha | toJson -}}
{{- end }}

{{/* A length of time in seconds, rounded up. In: a dict of `time`, like "30s", and its `key`. */}}
{{- define "vanne.seconds" -}}
{{- if not (regexMatch "^[0-9]+(ms|s|m|h|d)$" .time) -}}
{{- fail (printf "%s: the chart needs the number, expected a whole number and a unit, like \"60s\", found %q" .key .time) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" .time | int -}}
{{- $unit := regexFind "[a-z]+$" .time -}}
{{- if eq $unit "ms" -}}
{{- div (add $number 999) 1000 -}}
{{- else -}}
{{- mul $number (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) $unit) -}}
{{- end -}}
{{- end }}

{{/* From SIGTERM to SIGKILL. Vanne exits by itself at its deadline; a SIGKILL before would cut answers. */}}
{{- define "vanne.grace" -}}
{{- $deadline := include "vanne.seconds" (dict "key" "config.process.drain_deadline" "time" .Values.config.process.drain_deadline) | int -}}
{{- $said := .Values.terminationGracePeriodSeconds -}}
{{- if kindIs "invalid" $said -}}
{{- add $deadline 10 -}}
{{- else if le (int $said) $deadline -}}
{{- fail (printf "terminationGracePeriodSeconds: %d s end before config.process.drain_deadline, expected more than %d" (int $said) $deadline) -}}
{{- else -}}
{{- int $said -}}
{{- end -}}
{{- end }}
