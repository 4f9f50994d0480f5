import type { Filter } from '@aws-sdk/client-database-migration-service';
import { AwsFault } from '../faults.ts';
import { page } from '../paging.ts';
import type { Page, PageRequest } from '../paging.ts';
import { invalidValue, notFound } from './faults.ts';

/** Filter names of a Describe call, and what an item has under each. */
export type Filterable<T> = Readonly<Record<string, (item: T) => readonly string[]>>;

/**
 * Items that fit all filters; the values of one filter are alternatives.
 * @throws AwsFault ResourceNotFoundFault when filters were given and nothing is left: DMS does that instead of an empty
 * list (facts/postgres-dms 4.3). `what` names the resource in it; undefined for calls that answer an empty list.
 */
export function filtered<T>(
  items: readonly T[],
  filters: readonly Filter[] | undefined,
  names: Filterable<T>,
  what?: string,
): T[] {
  let left = [...items];
  for (const { Name = '', Values = [] } of filters ?? []) {
    if (!Object.hasOwn(names, Name)) {
      throw invalidValue(`Invalid filter name '${Name}'. Must be one of: ${Object.keys(names).join(', ')}.`);
    }
    const read = names[Name];
    left = left.filter((item) => read?.(item).some((value) => Values.includes(value)));
  }
  if ((filters ?? []).length > 0 && left.length === 0 && what !== undefined) {
    throw notFound(`No ${what} found matching provided filters.`);
  }
  return left;
}

/** One page; 20 to 100 items, 100 if the call says nothing. @throws AwsFault InvalidParameterValueException. */
export function dmsPage<T>(all: readonly T[], keyOf: (item: T) => string, request: PageRequest, max = 100): Page<T> {
  try {
    return page(all, keyOf, { ...request, MaxRecords: request.MaxRecords ?? 100 }, { min: 20, max });
  } catch (error) {
    throw error instanceof AwsFault ? invalidValue(error.message) : error;
  }
}
