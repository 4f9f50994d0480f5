/** YAML text as values, with the position of each; what the parser finds wrong is said in our words. */
import { isAlias, isMap, isScalar, isSeq, parseDocument, visit } from 'yaml';
import type { Document, Node, YAMLError } from 'yaml';
import { allFieldNames } from './file-fields.ts';

export interface Position {
  line: number;
  column: number;
}

export interface TextProblem extends Position {
  message: string;
}

export interface YamlText {
  /** The values; undefined where the text is too broken to tell. */
  value: unknown;
  problems: TextProblem[];
  /** Where the value at `path` begins, or its nearest parent that is there. `key`: where its name stands instead. */
  position(path: readonly PropertyKey[], key?: 'key'): Position;
}

/**
 * The parser's own messages quote the text, and a password may well begin with `*`, `!` or `&`, which is when they
 * appear: so each is said without a quote.
 */
const WORDS: Record<string, string> = {
  ALIAS_PROPS: 'an alias (*name) takes no tag or anchor; quote the value if it begins with *',
  BAD_ALIAS: 'an alias (*name) without its anchor (&name); quote the value if it begins with * or &',
  BAD_DIRECTIVE: 'a YAML directive (%) that is not known; quote the value if it begins with %',
  BAD_DQ_ESCAPE: 'an escape that YAML does not know in "…"; write \\\\ for a backslash, or use single quotes',
  BAD_INDENT: 'the indentation does not fit the lines above, or a quote or bracket is not closed',
  BAD_PROP_ORDER: 'a tag or anchor in a place where none may be; quote the value if it begins with ! or &',
  BAD_SCALAR_START: 'a value can not begin with this character; put it in quotes',
  BLOCK_AS_IMPLICIT_KEY: 'a second `name: value` on one line; put the value in quotes, or the field on its own line',
  BLOCK_IN_FLOW: 'a list or mapping of several lines inside of { } or [ ]; write it in one of the two forms',
  DUPLICATE_KEY: 'this field is there twice; keep one',
  MISSING_CHAR:
    'a character is missing: a closing quote or bracket, a comma, or the space after `:`, `-` or before `#`',
  MULTILINE_IMPLICIT_KEY: 'a field without `:`, or a value that runs over several lines; put it in quotes',
  MULTIPLE_DOCS: 'a second document (---) begins here; one file is one migration',
  NON_STRING_KEY: "a field's name must be plain text",
  RESOURCE_EXHAUSTION: 'nested too deeply',
  TAB_AS_INDENT: 'a tab; YAML is indented by spaces only',
  TAG_RESOLVE_FAILED: 'a tag (!name) that means nothing here; quote the value if it begins with !',
};
/** More would only bury the first. */
const MOST_FAULTS = 10;
const OTHER = 'this is not YAML; a quote, bracket or comma is missing here or just before';

/** Reads `text`. Never throws: whatever is wrong is in `problems`. */
export function readYaml(text: string): YamlText {
  // Not the parser's own LineCounter: after some errors it lacks lines, and points behind the end of another.
  const positionAt = (offset: number): Position => {
    const before = text.slice(0, Math.max(0, offset));
    return { line: before.split('\n').length, column: before.length - before.lastIndexOf('\n') };
  };
  const broken = (message: string): YamlText => {
    const start = { line: 1, column: 1 };
    return { value: undefined, problems: [{ ...start, message }], position: () => start };
  };

  let document: Document.Parsed;
  try {
    document = parseDocument(text, { prettyErrors: false, stringKeys: true });
  } catch {
    return broken('nested too deeply to be read');
  }
  // A tag that is not known is only a warning to the parser, but the value would not be what was meant.
  const faults = [...document.errors, ...document.warnings].sort((a, b) => a.pos[0] - b.pos[0]);
  const problems = [
    ...faults.map((fault) => ({ ...positionAt(fault.pos[0]), message: faultText(fault, text) })),
    ...lostAliases(document).map((offset) => ({ ...positionAt(offset), message: WORDS['BAD_ALIAS']! })),
  ];
  // One slip makes the parser stumble on over the rest of its line.
  const firstOfLine = problems.filter(
    ({ line }, index) => problems.findIndex((other) => other.line === line) === index,
  );
  problems.splice(0, Infinity, ...firstOfLine.slice(0, MOST_FAULTS));
  let value: unknown;
  if (lostAliases(document).length === 0 && document.errors.every(({ code }) => code === 'DUPLICATE_KEY')) {
    try {
      value = document.toJS({ maxAliasCount: 100 });
      JSON.stringify(value);
    } catch {
      return broken(
        'aliases (*name) that contain themselves, or so many that they may be an attack; write the values out',
      );
    }
  }
  return { value, problems, position: (path, key) => positionAt(offsetOf(document, path, key)) };
}

/** The parser would only throw on these once the values are read, and without a position. */
function lostAliases(document: Document.Parsed): number[] {
  const lost: number[] = [];
  visit(document, {
    Alias: (_, node) => void (node.resolve(document) === undefined && lost.push(startOf(node) ?? 0)),
  });
  return lost;
}

function faultText(fault: YAMLError, text: string): string {
  if (fault.code === 'DUPLICATE_KEY') {
    const name = /^[\w-]+/.exec(text.slice(fault.pos[0]))?.[0];
    if (name && allFieldNames().has(name)) return `the field ${name} is there twice; keep one`;
  }
  // The parser reports a tab in some places as a missing or an unexpected character.
  const line = text.slice(text.lastIndexOf('\n', fault.pos[0] - 1) + 1, fault.pos[0] + 1);
  if (/^ *\t/.test(line)) return WORDS['TAB_AS_INDENT']!;
  return WORDS[fault.code] ?? OTHER;
}

function offsetOf(document: Document.Parsed, path: readonly PropertyKey[], key?: 'key'): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const pair = isMap(node)
      ? node.items.find((item) => (isScalar(item.key) ? item.key.value : item.key) === part)
      : undefined;
    const next: unknown = pair ? pair.value : isSeq(node) && typeof part === 'number' ? node.items[part] : undefined;
    if (!pair && !next) break;
    const named = key === 'key' && depth === path.length - 1 && pair;
    // An empty value has no place of its own worth showing: its name is where the eye should go.
    const empty = isScalar(next) && next.value === null && next.source === '';
    offset = startOf(named || empty || !next ? pair?.key : next) ?? startOf(pair?.key) ?? offset;
    node = next;
  }
  return offset;
}

const startOf = (node: unknown): number | undefined => (node as Node | null | undefined)?.range?.[0];
