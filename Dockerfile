# syntax=docker/dockerfile:1
# The image: one binary, without a shell. Debian 12 in both stages, for the C library that it is linked with.
#
#   docker build -t vanne:0.1.0 .
#   docker build -t vanne:0.1.0 --build-arg TUNED=yes .    with `make release`: half an hour, a tenth less CPU

FROM rust:1.95.0-slim-bookworm AS build
# For the C libraries that crates bring: cryptography (cmake), memory (make).
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY filters filters
COPY src src
# Cargo wants to see every target that Cargo.toml names.
COPY benches benches
COPY certs certs
COPY conf conf
COPY scripts scripts
COPY tests tests
ARG TUNED=no
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    if [ "$TUNED" = yes ]; then bash scripts/release.sh; \
    else cargo build --release --locked --bin vanne && mkdir -p target/dist && cp target/release/vanne target/dist/vanne; fi \
    && mkdir -p /out/state \
    && cp target/dist/vanne /out/vanne

# The C library, libgcc and libm, certificates of authorities, time zones; the user is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/vanne /usr/local/bin/vanne
# For `process.state_dir` and `admin.socket` where nothing is mounted there.
COPY --from=build --chown=65532:65532 /out/state /var/lib/vanne
# By number, so that Kubernetes sees that it is not root.
USER 65532:65532
EXPOSE 8080 8443 9901
# No HEALTHCHECK: orchestrators ask the probe port, and k8s/compose.yaml has one.
ENTRYPOINT ["/usr/local/bin/vanne"]
CMD ["run", "--config", "/etc/vanne/vanne.yaml"]
