import { invalidValue } from './faults.ts';

export interface PageRequest {
  MaxRecords?: number | undefined;
  Marker?: string | undefined;
}

export interface Page<T> {
  items: T[];
  Marker?: string;
}

/**
 * Cuts one page out of a list. The marker names the last item given, not its index, so that items added or removed
 * between two calls neither repeat nor hide others.
 * @param limits the smallest and the largest MaxRecords allowed; the largest is the default.
 * @throws AwsFault InvalidParameterValue for MaxRecords out of bounds or a Marker that is not ours.
 */
export function page<T>(
  all: readonly T[],
  keyOf: (item: T) => string,
  request: PageRequest,
  limits: { min: number; max: number } = { min: 20, max: 100 },
): Page<T> {
  const size = request.MaxRecords ?? limits.max;
  if (size < limits.min || size > limits.max) {
    throw invalidValue(
      `Invalid value ${size} for MaxRecords. Must be between ${limits.min} and ${limits.max}, inclusive.`,
    );
  }
  const start = request.Marker === undefined ? 0 : startAfter(all, keyOf, request.Marker);
  const items = all.slice(start, start + size);
  const last = items.at(-1);
  if (start + size >= all.length || last === undefined) return { items };
  return { items, Marker: Buffer.from(JSON.stringify([keyOf(last), start + size])).toString('base64url') };
}

function startAfter<T>(all: readonly T[], keyOf: (item: T) => string, marker: string): number {
  let decoded: unknown;
  try {
    decoded = JSON.parse(Buffer.from(marker, 'base64url').toString('utf8'));
  } catch {
    throw invalidValue(`Invalid value '${marker}' for Marker.`);
  }
  if (!Array.isArray(decoded) || typeof decoded[0] !== 'string' || typeof decoded[1] !== 'number') {
    throw invalidValue(`Invalid value '${marker}' for Marker.`);
  }
  const at = all.findIndex((item) => keyOf(item) === decoded[0]);
  // The item itself may be gone by now: its old place is the best that is known.
  return at >= 0 ? at + 1 : Math.min(decoded[1], all.length);
}
