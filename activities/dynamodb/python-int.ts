/**
 * Reads a number as Python's `int(text)` does. The article's parameters are written for that, and some take more than
 * JavaScript's Number does (full-width digits, `1_0`) while Number takes more in other places (`''`, `7.5`, `0x7`, `1e1`).
 */

// Digits of any script, single underscores between them, a sign right before them, blanks around.
const FORM = /^[+-]?\p{Nd}+(?:_\p{Nd}+)*$/u;

/** undefined where Python raises a ValueError. */
export function pythonInt(text: string): number | undefined {
  // What Python strips here is what trim() does, and NEL; but no byte order mark.
  const bare = text.replace(/^[\s\u0085]+|[\s\u0085]+$/gu, '');
  if (text.includes('\ufeff') || !FORM.test(bare)) return undefined;
  const digits = Array.from(bare.replace(/^[+-]/, '').replaceAll('_', ''), valueOf).join('');
  return Number(digits) * (bare.startsWith('-') ? -1 : 1) + 0;
}

const isDigit = (code: number) => /^\p{Nd}$/u.test(String.fromCodePoint(code));

/** Unicode has the ten digits of a script in a row; only the mathematical ones follow each other, five rows of them. */
function valueOf(digit: string): number {
  const code = digit.codePointAt(0)!;
  if (code >= 0x1d7ce && code <= 0x1d7ff) return (code - 0x1d7ce) % 10;
  let value = 0;
  while (value < 9 && isDigit(code - value - 1)) value += 1;
  return value;
}
