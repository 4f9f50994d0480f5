import type { Filter } from '@aws-sdk/client-ec2';
import { AwsFault } from '../faults.ts';
import { invalid, invalidCombination } from './faults.ts';

/** What a filter's name stands for: the values that a thing has for it. */
export type Filters<T> = Readonly<Record<string, (item: T) => (string | undefined)[]>>;

/**
 * Those that match every filter, in one of its values each. `*` and `?` stand for other characters, as on EC2; every thing
 * with tags can be filtered by `tag:<key>` and `tag-key`.
 * @throws AwsFault InvalidParameterValue for a filter that there is not
 */
export function filtered<T>(
  items: readonly T[],
  filters: readonly Filter[] | undefined,
  known: Filters<T>,
  tagsOf: (item: T) => Record<string, string>,
): T[] {
  const tests = (filters ?? []).map((filter) => {
    const name = filter.Name ?? '';
    const values = valuesOf(name, known, tagsOf);
    if (values === undefined) throw invalid(`The filter '${name}' is invalid`);
    if (filter.Values === undefined) throw invalid(`The filter '${name}' has no values`);
    const patterns = filter.Values.map(pattern);
    return (item: T): boolean =>
      values(item).some((value) => value !== undefined && patterns.some((wanted) => wanted.test(value)));
  });
  return items.filter((item) => tests.every((test) => test(item)));
}

function valuesOf<T>(
  name: string,
  known: Filters<T>,
  tagsOf: (item: T) => Record<string, string>,
): ((item: T) => (string | undefined)[]) | undefined {
  if (name.startsWith('tag:')) return (item) => [tagsOf(item)[name.slice('tag:'.length)]];
  if (name === 'tag-key') return (item) => Object.keys(tagsOf(item));
  return Object.hasOwn(known, name) ? known[name] : undefined;
}

function pattern(text: string): RegExp {
  const escaped = text.replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`, 's');
}

export interface Paging {
  MaxResults?: number | undefined;
  NextToken?: string | undefined;
}

/**
 * One page. The token names the last thing given, so that others which come and go meanwhile neither repeat nor hide any.
 * @throws AwsFault InvalidParameterValue, InvalidParameterCombination where ids and MaxResults are both given, InvalidNextToken
 */
export function paged<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  { MaxResults, NextToken }: Paging,
  { ids, min = 5, max = 1000 }: { ids?: readonly string[] | undefined; min?: number; max?: number } = {},
): { items: T[]; NextToken?: string } {
  if (MaxResults !== undefined && (MaxResults < min || MaxResults > max)) {
    throw invalid(
      `Value ( ${MaxResults} ) for parameter maxResults is invalid. Expecting a value between ${min} and ${max}.`,
    );
  }
  if (MaxResults !== undefined && ids !== undefined) {
    throw invalidCombination('The parameter MaxResults cannot be used with a list of ids in the same call');
  }
  const sorted = [...items].sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1));
  const from = NextToken === undefined ? '' : Buffer.from(NextToken, 'base64url').toString();
  if (NextToken !== undefined && !/^[a-z]+-/.test(from)) {
    throw new AwsFault('InvalidNextToken', `The token '${NextToken}' is invalid`);
  }
  const rest = NextToken === undefined ? [...items] : sorted.filter((item) => idOf(item) > from);
  if (MaxResults === undefined) return { items: rest };
  const pageItems = (NextToken === undefined ? sorted : rest).slice(0, MaxResults);
  const left = (NextToken === undefined ? sorted : rest).length > pageItems.length;
  const last = pageItems.at(-1);
  if (!left || last === undefined) return { items: pageItems };
  return { items: pageItems, NextToken: Buffer.from(idOf(last)).toString('base64url') };
}
