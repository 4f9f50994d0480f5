/**
 * The script that replaces a machine's old addresses in its files. Whole addresses only: 10.0.0.1 is not in 10.0.0.11, nor
 * in 110.0.0.1 or 10.0.0.1.5. All at once in one pass, so that an address that is replaced by another old one is not
 * replaced twice. Each file is kept first, and changed by a rename: it is the old or the new one, never half.
 */
import { written } from '../ssm/wrapped-script.ts';

export interface Replacement {
  old: string;
  new: string;
}

export interface ReplaceReport {
  files: { path: string; count: number }[];
  /** Patterns that no file matched. */
  missing: string[];
  /** Binary files that hold an old address; they are left alone. */
  binary: string[];
  /** Where the files are kept as they were. */
  keptIn: string;
}

/** Of several pairs the longest old one counts first. Ones that change nothing are left out. */
export function replacements(pairs: readonly Replacement[]): Replacement[] {
  const wanted = new Map(
    pairs.filter((pair) => pair.old !== '' && pair.old !== pair.new).map((pair) => [pair.old, pair.new]),
  );
  return [...wanted]
    .map(([old, next]) => ({ old, new: next }))
    .sort((a, b) => b.old.length - a.old.length || (a.old < b.old ? -1 : 1));
}

/** `10.0.0.1` as EC2 writes it in host names. */
export function dashed(address: string): string {
  return `ip-${address.replaceAll('.', '-')}`;
}

/**
 * awk, as every Linux has it (mawk, gawk, busybox): replaces, and counts. A word is bounded by what is no
 * letter, digit or underscore; an address also by a dot that has a digit behind it.
 */
const AWK = String.raw`
function digit(c) { return c != "" && index("0123456789", c) > 0 }
function word(c) { return c != "" && (digit(c) || c == "_" || tolower(c) != toupper(c)) }
function fits(line, at, len, isAddress,   before, after) {
  before = at > 1 ? substr(line, at - 1, 1) : ""
  after = substr(line, at + len, 1)
  if (isAddress) {
    if (digit(before) || digit(after)) return 0
    if (before == "." && digit(at > 2 ? substr(line, at - 2, 1) : "")) return 0
    if (after == "." && digit(substr(line, at + len + 1, 1))) return 0
    return 1
  }
  return !word(before) && !word(after)
}
BEGIN {
  while ((getline row < pairs) > 0) {
    if (row == "") continue
    split(row, cell, "\t"); n++; old[n] = cell[1]; new[n] = cell[2]
    address[n] = cell[1] ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/
  }
  total = 0
}
{
  out = ""; from = 1; size = length($0)
  while (from <= size) {
    best = 0
    for (i = 1; i <= n; i++) {
      at = index(substr($0, from), old[i])
      while (at > 0 && !fits($0, from + at - 1, length(old[i]), address[i])) {
        step = index(substr($0, from + at), old[i])
        at = step > 0 ? at + step : 0
      }
      if (at > 0 && (best == 0 || at < best)) { best = at; which = i }
    }
    if (best == 0) break
    out = out substr($0, from, best - 1) new[which]
    from = from + best - 1 + length(old[which])
    total++
  }
  out = out substr($0, from)
  if (NR > 1) printf "\n"
  printf "%s", out
}
END { print total > "/dev/stderr" }
`;

/**
 * Prints what it did, a line each: `replaced <count> <path>`, `unchanged - <path>`, `missing - <pattern>`,
 * `binary <count> <path>`, `left <count> <path>`. Ends with 3 where none of the files is there, with 4 where an old address
 * is left.
 * @param given.gone old addresses that nothing takes the place of: none of them may be left either
 * @param given.keptIn a directory of this run alone
 */
export function replaceScript(given: {
  pairs: readonly Replacement[];
  gone?: readonly string[];
  files: readonly string[];
  keptIn: string;
}): string {
  const { pairs, gone = [], files, keptIn } = given;
  // One that another one was replaced by may be there rightly.
  const wanted = new Set(pairs.map((pair) => pair.new));
  const unwanted = [...pairs.map(({ old }) => old), ...gone].filter((old) => !wanted.has(old));
  return `set -u
export LC_ALL=C
kept='${keptIn}'
mkdir -p "$kept" && chmod 700 "$kept" || exit 97
${written(`${keptIn}/replace.awk`, AWK)}
${written(`${keptIn}/pairs`, pairs.map((pair) => `${pair.old}\t${pair.new}`).join('\n'))}
${written(`${keptIn}/unwanted`, unwanted.map((old) => `${old}\t`).join('\n'))}
${written(`${keptIn}/patterns`, files.join('\n'))}
touch "$kept/done"
any=0; code=0
count_in() { awk -v pairs="$kept/$1" -f "$kept/replace.awk" "$2" 2>&1 >/dev/null; }
keep() { mkdir -p "$kept/files$(dirname -- "$1")" && cp -a -- "$1" "$kept/whole" && mv -f -- "$kept/whole" "$kept/files$1"; }
while IFS= read -r pattern; do
  found=0
  while IFS= read -r path; do
    [ -f "$path" ] || continue
    case "$path" in *.cutover-new) continue;; esac
    found=1; any=1
    real=$(readlink -f -- "$path") || { code=5; continue; }
    # Always made of what was kept: a second run that finds a file replaced already does not replace it again.
    from=$real
    [ ! -e "$kept/files$real" ] || from=$kept/files$real
    before=$(count_in pairs "$from")
    if [ "$(tr -d '\\000' < "$real" | wc -c)" -ne "$(wc -c < "$real")" ]; then
      [ "$before" = 0 ] || printf 'binary %s %s\\n' "$before" "$path"
      continue
    fi
    if [ "$before" = 0 ]; then
      printf 'unchanged - %s\\n' "$path"
    else
      if ! grep -qxF -- "$real" "$kept/done"; then
        [ "$from" != "$real" ] || keep "$real" || { code=5; continue; }
        from=$kept/files$real
        cp -a -- "$from" "$real.cutover-new" || { code=5; continue; }
        awk -v pairs="$kept/pairs" -f "$kept/replace.awk" "$from" > "$real.cutover-new" 2>/dev/null || { code=5; continue; }
        [ -n "$(tail -c 1 -- "$from")" ] || echo >> "$real.cutover-new" || { code=5; continue; }
        mv -f -- "$real.cutover-new" "$real" || { code=5; continue; }
        printf '%s\\n' "$real" >> "$kept/done"
      fi
      printf 'replaced %s %s\\n' "$before" "$path"
    fi
    left=$(count_in unwanted "$real")
    if [ "$left" != 0 ]; then printf 'left %s %s\\n' "$left" "$path"; [ "$code" -ne 0 ] || code=4; fi
  done < <(compgen -G "$pattern" | sort)
  [ "$found" = 1 ] || printf 'missing - %s\\n' "$pattern"
done < "$kept/patterns"
[ "$any" = 1 ] || exit 3
exit "$code"
`;
}

/** What the script printed. */
export function replaceReport(stdout: string, keptIn: string): ReplaceReport {
  const rows = [...stdout.matchAll(/^(replaced|missing|binary) (\S+) (.+)$/gm)];
  const of = (verb: string) => rows.filter((row) => row[1] === verb);
  return {
    files: of('replaced').map((row) => ({ path: row[3]!, count: Number(row[2]) })),
    missing: of('missing').map((row) => row[3]!),
    binary: of('binary').map((row) => row[3]!),
    keptIn,
  };
}
