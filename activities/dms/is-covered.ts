/** Compares what was asked for with what a service answers, which always says more. Pure. */

/** True where every value of `wanted` is in `actual`; `undefined` asks for nothing. */
export function isCovered(wanted: unknown, actual: unknown): boolean {
  if (wanted === undefined) return true;
  if (wanted === null) return actual === null || actual === undefined;
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(actual) &&
      wanted.length === actual.length &&
      wanted.every((item, index) => isCovered(item, actual[index]))
    );
  }
  if (typeof wanted !== 'object') return JSON.stringify(wanted) === JSON.stringify(actual);
  if (typeof actual !== 'object' || actual === null) return false;
  const fields = new Map<string, unknown>(Object.entries(actual));
  return Object.entries(wanted).every(([key, value]) => isCovered(value, fields.get(key)));
}
