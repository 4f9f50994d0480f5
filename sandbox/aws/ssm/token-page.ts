import { AwsFault } from '../faults.ts';

/** One page; its token names the last item given. @throws AwsFault InvalidNextToken */
export function tokenPage<T>(
  items: readonly T[],
  idOf: (item: T) => string,
  { MaxResults = 50, NextToken }: { MaxResults?: number | undefined; NextToken?: string | undefined },
): { items: T[]; NextToken?: string } {
  const last = NextToken === undefined ? undefined : Buffer.from(NextToken, 'base64url').toString();
  const at = last === undefined ? -1 : items.findIndex((item) => idOf(item) === last);
  if (last !== undefined && at < 0) throw new AwsFault('InvalidNextToken', 'The specified token is not valid.');
  const page = items.slice(at + 1, at + 1 + MaxResults);
  const end = page.at(-1);
  if (end === undefined || at + 1 + page.length >= items.length) return { items: page };
  return { items: page, NextToken: Buffer.from(idOf(end)).toString('base64url') };
}
