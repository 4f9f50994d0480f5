/** What fields the file may have where, read from its JSON Schema, so that a mistyped one can be named. */
import { migrationJsonSchema } from '../spec/migration.ts';

interface Schema {
  type?: string;
  const?: unknown;
  description?: string;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
}

let root: Schema | undefined;
const schema = () => (root ??= migrationJsonSchema() as Schema);

/** The schema's branches that fit what the value says of itself (`kind`, `engine`, `type`). */
function branches(node: Schema, value: unknown): Schema[] {
  const inner = node.anyOf ?? node.oneOf;
  if (inner) return inner.flatMap((branch) => branches(branch, value));
  const fields = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  const contradicts = Object.entries(node.properties ?? {}).some(
    ([name, field]) => field.const !== undefined && Object.hasOwn(fields, name) && fields[name] !== field.const,
  );
  return contradicts ? [] : [node];
}

function at(path: readonly PropertyKey[], file: unknown): Schema[] {
  let nodes = branches(schema(), file);
  let value = file;
  for (const part of path) {
    value = typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[part] : undefined;
    nodes = nodes.flatMap((node) => {
      const more = typeof node.additionalProperties === 'object' ? node.additionalProperties : undefined;
      const next = typeof part === 'number' ? node.items : (own(node.properties, part) ?? more);
      return next ? branches(next, value) : [];
    });
  }
  return nodes;
}

const own = (fields: Record<string, Schema> | undefined, name: PropertyKey) =>
  fields && typeof name === 'string' && Object.hasOwn(fields, name) ? fields[name] : undefined;

/** The names of the fields that may be at `path`, in the schema's order. */
export function fieldsAt(path: readonly PropertyKey[], file: unknown): string[] {
  return [...new Set(at(path, file).flatMap((node) => Object.keys(node.properties ?? {})))];
}

/** The schema's description of the field at `path`, if it has one. */
export function descriptionAt(path: readonly PropertyKey[], file: unknown): string | undefined {
  const parent = at(path.slice(0, -1), file);
  return parent.map((node) => own(node.properties, path.at(-1)!)?.description).find(Boolean);
}

/** Sections of the top level, such as `cutover`, that have a field of this name: it may only be in the wrong place. */
export function sectionsWith(name: string, file: unknown): string[] {
  const sections = branches(schema(), file).flatMap((node) => Object.entries(node.properties ?? {}));
  const having = sections.filter(([, section]) => own(section.properties, name)).map(([title]) => title);
  return [...new Set(having)];
}

/** Every name of a field anywhere in the schema: what may be shown even out of a broken file. */
export function allFieldNames(node: Schema = schema(), names = new Set<string>()): Set<string> {
  for (const [name, field] of Object.entries(node.properties ?? {})) allFieldNames(field, names.add(name));
  for (const inner of [...(node.anyOf ?? []), ...(node.oneOf ?? []), ...(node.items ? [node.items] : [])])
    allFieldNames(inner, names);
  return names;
}
