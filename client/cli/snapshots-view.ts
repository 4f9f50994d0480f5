/** The backups that there are, as a table. */
import pc from 'picocolors';
import type { CatalogueAnswer, CatalogueEntry } from '../../spec/catalogue.ts';
import { ageAt, type StaleSource } from '../catalogue.ts';
import { bytes, span } from './figures.ts';
import { tableLines } from './table.ts';

export function catalogueText({ entries, unknown }: CatalogueAnswer, now = Date.now()): string {
  if (entries.length === 0) return unknown.length > 0 ? 'no backups were seen' : 'no backups';
  const rows = entries.map((entry) => [
    entry.system,
    entry.source,
    entry.name,
    ageText(entry, now),
    entry.sizeBytes === undefined ? '' : bytes(entry.sizeBytes),
    madeByText(entry),
    stateText(entry),
  ]);
  return [
    ...tableLines(['system', 'source', 'backup', 'age', 'size', 'made by', 'complete'], rows),
    '',
    totals(entries),
  ].join('\n');
}

function ageText(entry: CatalogueEntry, now: number): string {
  const at = ageAt(entry);
  return at === undefined ? '' : span(now - Date.parse(at));
}

function madeByText({ madeBy, automatic }: CatalogueEntry): string {
  if (madeBy) return madeBy.migration;
  return automatic ? 'AWS, daily' : 'others';
}

function stateText({ complete, state, problem }: CatalogueEntry): string {
  return complete ? pc.green('complete') : `${pc.red('NOT complete')}: ${problem ?? state}`;
}

/** `5 backups of 3 sources, 4 complete, 1.2 GiB`. */
function totals(entries: readonly CatalogueEntry[]): string {
  const sources = new Set(entries.map(({ system, source }) => `${system} ${source}`)).size;
  const complete = entries.filter((entry) => entry.complete).length;
  const known = entries.filter(({ sizeBytes }) => sizeBytes !== undefined);
  const size = bytes(known.reduce((sum, { sizeBytes }) => sum + sizeBytes!, 0));
  const without = entries.length - known.length;
  return `${count(entries.length, 'backup')} of ${count(sources, 'source')}, ${complete} complete, ${size}${without > 0 ? ` (of ${without} the size is not known)` : ''}`;
}

const count = (number: number, what: string) => `${number} ${what}${number === 1 ? '' : 's'}`;

export function unknownText({ system, reason }: CatalogueAnswer['unknown'][number]): string {
  return `${pc.red('unknown:')} ${system} could not be asked, so its backups are missing from the list: ${reason}`;
}

export function staleText({ system, source, newest }: StaleSource): string {
  const name = `${system ? `${system} ` : ''}${source}`;
  return newest
    ? `${pc.red('too old:')} the newest complete backup of ${name} is ${newest.id}, of ${newest.at}`
    : `${pc.red('too old:')} there is no complete backup of ${name}`;
}
