/**
 * Keeps what must never be shown. Errors of drivers, programs and receivers of webhooks may quote a password that they
 * were given; every message and log line that leaves an activity goes through `redact` first.
 */

/** Shorter values would blot out ordinary words, and are no secrets worth the name. */
const SHORTEST = 4;
const MASK = '[secret]';

const known = new Set<string>();

/**
 * Remembers a resolved secret for the life of the process.
 * The encoded forms are kept too: a password in a URL, a JSON body, a form or a Basic header is the same password.
 */
export function rememberSecret(value: string): void {
  const lines = value.split(/\r?\n/).filter((line) => line.length >= 16);
  for (const form of [value, value.trim(), ...lines]) {
    if (form.length < SHORTEST) continue;
    known.add(form);
    known.add(encodeURIComponent(form));
    known.add(JSON.stringify(form).slice(1, -1));
    known.add(Buffer.from(form).toString('base64'));
  }
}

/** The text with each resolved secret of 4 characters or more replaced by `[secret]`. */
export function redact(text: string): string {
  // The longest first: a secret that contains another must not leave its own rest behind.
  let shown = text;
  for (const secret of [...known].sort((a, b) => b.length - a.length)) {
    if (shown.includes(secret)) shown = shown.replaceAll(secret, MASK);
  }
  return shown;
}

/** `redact` over every string inside a serialisable value, keys as well; returns a copy. */
export function redactDeep(value: unknown): unknown {
  if (typeof value === 'string') return redact(value);
  if (Array.isArray(value)) return value.map(redactDeep);
  if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [redact(key), redactDeep(item)]));
  }
  return value;
}
