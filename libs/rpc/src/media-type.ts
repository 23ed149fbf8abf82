/** `type/subtype` of RFC 9110, without parameters. */
const MEDIA_TYPE = /^\s*([\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+)\s*(?:;|$)/;

/** Media type of a Content-Type header, in lower case and without parameters; "" for a malformed one. */
export function mediaType(header: string | undefined): string {
  return MEDIA_TYPE.exec(header ?? "")?.[1]!.toLowerCase() ?? "";
}
