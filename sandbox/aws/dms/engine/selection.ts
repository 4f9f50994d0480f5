/** Which tables a document of table mappings takes. Our own reading of it, so that it can disagree with the product's. */

interface Rule {
  exclude: boolean;
  schema: (name: string) => boolean;
  table: (name: string) => boolean;
}

/**
 * @returns whether a table is taken: some include or explicit rule names it, and no exclude rule does
 * @throws Error on what the sandbox can't do (transformations) and what DMS refuses
 */
export function selectionOf(mappings: unknown): (schema: string, table: string) => boolean {
  const rules = field(mappings, 'rules');
  if (!Array.isArray(rules)) throw new Error('Error in mapping rules. Table mappings hold no rules');
  const selections = rules.map(ruleOf).filter((rule) => rule !== undefined);
  return (schema, table) => {
    const matching = selections.filter((rule) => rule.schema(schema) && rule.table(table));
    return matching.length > 0 && !matching.some(({ exclude }) => exclude);
  };
}

function ruleOf(rule: unknown): Rule | undefined {
  const type = text(rule, 'rule-type');
  if (type === 'table-settings') return undefined; // Parallel load of one table: it is loaded whole here.
  if (type !== 'selection') throw new Error(`Error in mapping rules. The sandbox has no rule-type '${type}'`);
  const locator = field(rule, 'object-locator');
  const action = text(rule, 'rule-action');
  const schema = text(locator, 'schema-name');
  const table = text(locator, 'table-name');
  if (text(locator, 'table-type') === 'view') return undefined; // A view is taken where it is named so; not here.
  if (action === 'explicit') {
    return { exclude: false, schema: (name) => name === schema, table: (name) => name === table };
  }
  if (action !== 'include' && action !== 'exclude') {
    throw new Error(`Error in mapping rules. Unknown rule-action '${action}'`);
  }
  return { exclude: action === 'exclude', schema: wildcard(schema), table: wildcard(table) };
}

/** `%` any characters, `_` one, `[_]` the character itself, `[ab]` and `[a-d]` one of them. Case matters. */
function wildcard(pattern: string): (name: string) => boolean {
  const source = pattern.replace(/\[[^\]]+\]|[%_]|[\s\S]/gu, (part) => {
    if (part === '%') return '.*';
    if (part === '_') return '.';
    if (part.length > 1 && part.startsWith('[')) return `[${oneOf(part.slice(1, -1))}]`;
    // Not the hyphen: a `\-` outside of brackets is a SyntaxError under the flag `u`.
    return part.replace(/[.*+?^${}()|[\]\\/]/, String.raw`\$&`);
  });
  const expression = new RegExp(`^${source}$`, 'su');
  return (name) => expression.test(name);
}

/** What stands between brackets, for a regular expression. A range that runs backwards would be a SyntaxError: its characters. */
function oneOf(characters: string): string {
  const literal = (text: string): string => text.replace(/[\\^[\]-]/gu, String.raw`\$&`);
  return characters.replace(/([\s\S])-([\s\S])|[\s\S]/gu, (part, from?: string, to?: string) => {
    const range = from !== undefined && to !== undefined && codeOf(from) <= codeOf(to);
    return range ? `${literal(from)}-${literal(to)}` : literal(part);
  });
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}

function field(of: unknown, key: string): unknown {
  return typeof of === 'object' && of !== null ? (of as Record<string, unknown>)[key] : undefined;
}

function text(of: unknown, key: string): string {
  const value = field(of, key);
  return typeof value === 'string' ? value : '';
}
