#!/bin/sh
# Signs a pushed image, and attaches a signed list of its contents: the packages of the base, and those in our bundles,
# which the image lists itself, since a scanner finds no package.json of theirs.
#
#   IMAGE=registry/name@sha256:… SYFT=path of syft   sh tools/build/sign-image.sh
#
# `cosign` is on the PATH. Writes sbom.cdx.json into the working directory.
set -eu
cosign sign --yes "$IMAGE"
"$SYFT" scan --quiet "registry:$IMAGE" --select-catalogers +sbom-cataloger --output cyclonedx-json=sbom.cdx.json
cosign attest --yes --type cyclonedx --predicate sbom.cdx.json "$IMAGE"
