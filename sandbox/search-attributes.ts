import { SearchAttributes } from '../spec/contract.ts';
import type { SearchAttributeTypeName } from './runtime/temporal-registration.ts';

const TYPES: Record<string, SearchAttributeTypeName> = {
  TEXT: 'Text',
  KEYWORD: 'Keyword',
  INT: 'Int',
  DOUBLE: 'Double',
  BOOL: 'Bool',
  DATETIME: 'Datetime',
  KEYWORD_LIST: 'KeywordList',
};

/** The product's search attributes, for startTemporal. */
export function productSearchAttributes(): Record<string, SearchAttributeTypeName> {
  return Object.fromEntries(Object.values(SearchAttributes).map(({ name, type }) => [name, TYPES[type] ?? 'Keyword']));
}
