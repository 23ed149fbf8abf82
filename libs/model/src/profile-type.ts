import { invalidError } from "@cinderblock/errors";

/**
 * A profile type: `<name>:<sample type>:<sample unit>:<period type>:<period unit>`; a sixth part is accepted
 * and not stored.
 */
export interface ProfileType {
  /** the requested text, including a sixth part */
  readonly id: string;
  /** profile type of five parts, as in the label `__profile_type__` */
  readonly storedId: string;
  readonly name: string;
  readonly sampleType: string;
  readonly sampleUnit: string;
  readonly periodType: string;
  readonly periodUnit: string;
}

/** Whether a text has the parts of a profile type. */
export function isProfileType(id: string): boolean {
  const parts = id.split(":").length;
  return parts === 5 || parts === 6;
}

/** Parses a profile type. @throws `invalid` */
export function parseProfileType(id: string): ProfileType {
  const parts = id.split(":");
  if (!isProfileType(id)) {
    throw invalidError(
      `profile-type selection must be of the form <name>:<sample-type>:<sample-unit>:<period-type>:<period-unit>(:delta), got(${parts.length}): "${id}"`,
    );
  }
  const [name, sampleType, sampleUnit, periodType, periodUnit] = parts as [
    string,
    string,
    string,
    string,
    string,
  ];
  return { id, storedId: parts.slice(0, 5).join(":"), name, sampleType, sampleUnit, periodType, periodUnit };
}
