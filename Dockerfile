# One image for all components: the command's flags choose (-target=…), or the build argument PROGRAM makes an image of one.
# docker build -t cinderblock .      docker build --build-arg PROGRAM=ingester -t cinderblock-ingester .
ARG NODE_IMAGE=node:24-bookworm-slim

# What is built is the same for every architecture (JavaScript and WebAssembly), so it is built where the builder runs; the image
# itself runs nothing while it is made, and one for arm64 needs no emulation.
FROM --platform=${BUILDPLATFORM} ${NODE_IMAGE} AS build
WORKDIR /src
COPY . .
# What the lock file says, nothing else; the build needs no network after it.
RUN npm ci --no-audit --no-fund && npm run build && mkdir /data

# Said, although it is the default: buildah before 1.29 goes on with the platform of the stage before.
# hadolint ignore=DL3065
FROM --platform=${TARGETPLATFORM} ${NODE_IMAGE}
ARG PROGRAM=main
LABEL org.opencontainers.image.title="Cinderblock" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /src/LICENSE /cinderblock/LICENSE
COPY --from=build /src/dist/cinderblock /cinderblock/dist/cinderblock
COPY --from=build /src/apps/cinderblock/bin/cinderblock /cinderblock/apps/cinderblock/bin/cinderblock
# docker exec <container> cinderblock-cli …
COPY --from=build /src/apps/cli/bin/cinderblock-cli /usr/local/bin/cinderblock-cli
COPY --from=build --chown=10001:10001 /data /data
ENV CINDERBLOCK_PROGRAM=${PROGRAM}
USER 10001:10001
WORKDIR /data
VOLUME /data
# Agents and queries; calls between the processes of a cluster.
EXPOSE 4040 5040
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["node", "-e", "fetch('http://127.0.0.1:4040/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# SIGTERM flushes and hands over: give it time (docker run --stop-timeout 60).
ENTRYPOINT ["/cinderblock/apps/cinderblock/bin/cinderblock"]
