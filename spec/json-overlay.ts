/** One JSON document laid over another. Pure. */

export type JsonFields = Record<string, unknown>;

/** Objects are laid over each other key by key; everything else, lists and null too, takes the place of what was there. */
export function overlay(base: JsonFields, over: JsonFields): JsonFields {
  const merged: JsonFields = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = base[key];
    merged[key] = isFields(before) && isFields(value) ? overlay(before, value) : value;
  }
  return merged;
}

export function isFields(value: unknown): value is JsonFields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
