# The worker and the command line: docker build -t cutover .
# With the sandbox's programs, for trying out: docker build --target sandbox -t cutover-sandbox .
# glibc is needed: Temporal's native module has no build for musl (Alpine).
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# No dependency needs its install script (package.json, allowScripts), and our own `prepare` would compile before the sources are here.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN npm run build
RUN npm prune --omit=dev --ignore-scripts --no-audit --no-fund
# Temporal's native module ships for five platforms, 148 MB. The last line proves that the right one was kept.
RUN keep="$(node -p '({ x64: "x86_64", arm64: "aarch64" })[process.arch] + "-unknown-linux-gnu"')" \
 && find node_modules/@temporalio/core-bridge/releases -mindepth 1 -maxdepth 1 ! -name "$keep" -exec rm -r {} + \
 && node -e 'require("@temporalio/core-bridge")'

FROM ${NODE_IMAGE} AS runtime
# The native module trusts the system's certificates, and the slim image has none: TLS to Temporal would fail. pg_dump is
# for `kind: postgres`; it must be as new as the newest server (for more than 15: apt.postgresql.org).
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates postgresql-client \
 && rm -rf /var/lib/apt/lists/*
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/examples examples
COPY --from=build /app/docker docker
USER node
# node itself, not npm or npx: SIGTERM has to reach the worker, which then lets running activities end.
ENTRYPOINT ["node", "dist/client/cli/main.js"]

FROM runtime AS sandbox
USER root
# Same version of moto as sandbox/runtime/tool-recipe.ts; a test compares them.
ARG MOTO_VERSION=5.2.5
RUN apt-get update \
 && apt-get install -y --no-install-recommends redis-server python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/moto \
 && /opt/moto/bin/pip install --no-cache-dir "moto[server]==${MOTO_VERSION}" \
 && install -d -o node -g node /sandbox
ENV MOTO_SERVER_PATH=/opt/moto/bin/moto_server
USER node
ENTRYPOINT ["node", "docker/sandbox.mjs"]

# Last, so that it is what `docker build .` makes.
FROM runtime AS worker
HEALTHCHECK --interval=30s --timeout=15s --start-period=60s --retries=3 CMD ["node", "docker/worker-health.mjs"]
CMD ["worker"]
