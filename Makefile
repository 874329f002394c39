# Vanne's commands. Each sets up what it needs; the logic is in scripts/.
.PHONY: help demo release test test-kube check bench bench-gate microbench conformance verify waf dev-certs test-chart

help:
	@echo "make demo    build, start three demo backends and the proxy, print the lines to try"
	@echo "make release  the binary that is given out: built, watched under load, built again for what was seen; half an hour"
	@echo "make test    every test"
	@echo "make test-kube  pools that follow a real Kubernetes control plane; as root (ARGS: some of latency rolling scale outage faults chart_server chart_run)"
	@echo "make check   the gate: form, spelling, lints, docs, dependencies, generated files"
	@echo "make bench   beside HAProxy, nginx and Envoy: CPU, latency, memory (ARGS=--quick: 3 minutes)"
	@echo "make bench-gate   instructions and allocations per request, as CI checks them (ARGS=--bless accepts them)"
	@echo "make microbench   time of a pick, a circuit, a rate limit, the blocklist, an identity, a route, edits of a head, a config (ARGS: some of pick breaker rate_limit blocklist identity route edits compile)"
	@echo "make conformance  foreign tools judge HTTP/2, gRPC and TLS (ARGS: some of h2spec grpc_interop h2_fairness tls_scan)"
	@echo "make waf     the firewall beside ModSecurity and Coraza, with the Core Rule Set of VANNE_CRS_DIR (ARGS: some of rules http proxies speed differential)"
	@echo "make test-chart  the Helm chart: lint, configs, pods, every value, alerts"
	@echo "make dev-certs  certificates for trying TLS out on this machine"
	@echo "make verify  the long things: simulation, fuzz, soak, conformance, the firewall"

demo:
	@bash scripts/demo.sh $(ARGS)

release:
	@bash scripts/release.sh

test:
	@bash scripts/test.sh $(ARGS)

test-kube:
	@bash scripts/test_kube.sh $(ARGS)

check:
	@bash scripts/check.sh

bench:
	@bash scripts/bench.sh $(ARGS)

bench-gate:
	@bash scripts/bench_gate.sh $(ARGS)

microbench:
	@bash scripts/microbench.sh $(ARGS)

conformance:
	@bash scripts/conformance.sh $(ARGS)

waf:
	@bash scripts/waf.sh $(ARGS)

test-chart:
	@bash scripts/chart.sh

dev-certs:
	@bash scripts/dev_certs.sh

verify:
	@bash scripts/verify.sh
