import { randomBytes } from 'node:crypto';
import type { Cloud } from '../cloud.ts';
import { invalidValue } from './faults.ts';

export type Kind = 'rep' | 'endpoint' | 'task' | 'subgrp';

export function arnPrefix(cloud: Cloud, kind: Kind): string {
  return `arn:aws:dms:${cloud.region}:${cloud.account}:${kind}:`;
}

/** What the last part of an ARN is: given by the caller, or 26 characters like AWS's. */
export function resourceId(given: string | undefined): string {
  if (given === undefined) {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    return [...randomBytes(26)].map((byte) => letters[byte % 32]).join('');
  }
  if (!/^[a-zA-Z](?!.*--)[a-zA-Z0-9-]{0,30}$/.test(given) || given.endsWith('-')) {
    throw invalidValue(
      `The parameter ResourceIdentifier is not valid: '${given}'. 1 to 31 letters, digits and single hyphens, a letter first, no hyphen last.`,
    );
  }
  return given;
}
