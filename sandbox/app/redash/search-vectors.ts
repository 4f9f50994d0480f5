/** How many queries have another search vector than their trigger makes: it was not moved, or the trigger is off. */
const part = (column: string): string => `regexp_replace(coalesce(${column}, ''), '[-@.]', ' ', 'g')`;
const weighted = (text: string, weight: string): string =>
  `setweight(to_tsvector('pg_catalog.simple', ${text}), '${weight}')`;

export const SEARCH_VECTORS_WRONG = `
  SELECT count(*)::int AS wrong FROM public.queries WHERE search_vector IS DISTINCT FROM
    ${weighted(part('name'), 'A')} || ${weighted('id::text', 'B')} || ${weighted(part('description'), 'C')} || ${weighted(part('query'), 'D')}`;
