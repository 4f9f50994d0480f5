/**
 * A value of the file as an error may show it. A password is often pasted where its name belongs, into a URL, or into a
 * command, and error messages end up in terminals that are shared and in logs of CI: what may be one is not shown.
 */
import { pathText, shorten } from './file-problem.ts';

const SECRET_KEY = /pass|pwd|secret|token|credential|authoriz|api.?key|private.?key/i;
/** All that is under these may be a secret, whatever its key: a header `X-Auth`, a variable `PGPASS`. */
const SECRET_PARENT = new Set(['headers', 'env', 'body', 'auth']);
const SECRET_TEXT = /pass|secret|token|bearer|basic\s|authoriz|credential|api.?key|:\/\/[^/\s]*@|-----BEGIN|AKIA/i;

const NOT_SHOWN = '(not shown)';

/** True where the value, and every key below, may be a secret. */
export function mayBeSecret(path: readonly PropertyKey[]): boolean {
  return path.some((part) => typeof part === 'string' && (SECRET_KEY.test(part) || SECRET_PARENT.has(part)));
}

/** `"reids"`, `70000`, `a list`, `nothing`, or `(not shown)`. */
export function shownValue(value: unknown, path: readonly PropertyKey[]): string {
  if (value === null || value === undefined) return 'nothing';
  if (value === '') return '""';
  if (mayBeSecret(path)) return NOT_SHOWN;
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty mapping' : 'a mapping';
  if (typeof value === 'string') return SECRET_TEXT.test(value) ? NOT_SHOWN : JSON.stringify(shorten(value, 60));
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : typeof value;
}

const SECRET_REF_FIELDS = new Set<PropertyKey>(['env', 'file', 'ssm', 'secretsManager', 'key']);

/** The path, cut where a name in it may be the secret itself: `password: { hunter2: }`. */
export function shownPath(path: readonly PropertyKey[]): string {
  const secret = path.findIndex((part) => typeof part === 'string' && SECRET_KEY.test(part));
  const cut = secret !== -1 && path.slice(secret + 1).some((part) => !SECRET_REF_FIELDS.has(part));
  return pathText(cut ? path.slice(0, secret + 1) : path);
}
