/** What is compared of two databases. */

export type ComparedKind =
  | 'rows'
  | 'sequences'
  | 'indexes'
  | 'constraints'
  | 'triggers'
  | 'columns'
  | 'views'
  | 'functions'
  | 'comments'
  | 'privileges';

export interface DatabaseDifference {
  kind: ComparedKind;
  /** `public.queries`, `public.queries.ix_queries_tags` … */
  name: string;
  /** What is on either side, in words; `nothing` where it is not there. */
  source: string;
  target: string;
}

/** Ours, DMS's and the sandbox's own, which only one side has. */
export const NOT_COMPARED = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'cutover')
  AND n.nspname NOT LIKE 'awsdms%' AND c.relname NOT LIKE 'awsdms%'`;
