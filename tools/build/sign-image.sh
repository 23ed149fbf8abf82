#!/bin/sh
# Signs a pushed image, and attaches a signed list of its contents: the packages of the base and of our bundles.
# The image itself lists the bundled packages, because a scanner finds no package.json for them.
#
#   IMAGE=registry/name@sha256:… SYFT=path of syft   sh tools/build/sign-image.sh
#
# `cosign` is on the PATH. Writes sbom.cdx.json into the working directory.
set -eu
cosign sign --yes "$IMAGE"
"$SYFT" scan --quiet "registry:$IMAGE" --select-catalogers +sbom-cataloger --output cyclonedx-json=sbom.cdx.json
cosign attest --yes --type cyclonedx --predicate sbom.cdx.json "$IMAGE"
