/** A stream in pages: entries, last id, groups, their consumers and pending entries. */
import { ask } from '../compare/replies.ts';
import type { Command } from '../compare/replies.ts';
import { nextId, streamGroups } from '../compare/stream-groups.ts';
import type { Pending } from '../compare/stream-groups.ts';
import type { Pages } from './rebuild.ts';

const PENDING_PAGE = 1000;
/** The one field of an entry that stands in for a deleted one until its pending entry has been made. */
const STAND_IN = Buffer.from('cutover:deleted');

export async function rebuildStream(pages: Pages): Promise<void> {
  const { source, key, temporary, write } = pages;
  // Read first: what comes after it is touched again.
  const { lastId, groups } = await streamGroups(source, key);
  // A stream may be empty and still have groups and a last id.
  await write([
    ['XGROUP', 'CREATE', temporary, 'cutover', '0', 'MKSTREAM'],
    ['XGROUP', 'DESTROY', temporary, 'cutover'],
  ]);
  const { last, standIns } = await copyEntries(
    pages,
    groups.filter(({ pending }) => pending > 0).map(({ name }) => name),
  );
  // XSETID refuses an id below that of an entry, which may have come meanwhile.
  await write([['XSETID', temporary, last && before(idOf(lastId), last) ? text(last) : lastId]]);
  for (const group of groups) {
    await write([['XGROUP', 'CREATE', temporary, group.name, group.lastDelivered]]);
    await copyConsumers(pages, group.name);
    await copyPending(pages, group.name);
  }
  if (standIns) await removeStandIns(pages);
}

type Id = readonly [ms: bigint, sequence: bigint];

const idOf = (id: Buffer): Id => {
  const [ms = '0', sequence = '0'] = id.toString().split('-');
  return [BigInt(ms), BigInt(sequence)];
};
const text = ([ms, sequence]: Id): string => `${ms}-${sequence}`;
const before = (a: Id, b: Id): boolean => a[0] < b[0] || (a[0] === b[0] && a[1] < b[1]);

interface Entry {
  id: Id;
  /** undefined: known from a pending entry alone. */
  fields: Buffer[] | undefined;
}

/**
 * From 7.0, XCLAIM makes no pending entry for an entry that was deleted or trimmed, though a group may have such; so for each
 * of these a stand-in is added, in its order among the others, since XADD takes ascending ids only.
 */
async function copyEntries(
  pages: Pages,
  groups: readonly Buffer[],
): Promise<{ last: Id | undefined; standIns: number }> {
  const { temporary, members, write } = pages;
  const merged = [entriesOf(pages), ...groups.map((group) => pendingIdsOf(pages, group))];
  const heads = await Promise.all(merged.map((one) => one.next()));
  let commands: Command[] = [];
  let last: Id | undefined;
  let standIns = 0;
  for (;;) {
    let least: Entry | undefined;
    for (const { value, done } of heads) {
      // Real entries stand first, and win over a pending entry of the same id.
      if (!done && value && (!least || before(value.id, least.id))) least = value;
    }
    if (!least) break;
    for (const [i, head] of heads.entries()) {
      if (!head.done && head.value && !before(least.id, head.value.id)) heads[i] = await merged[i]!.next();
    }
    // An entry that was read on two pages, or deleted between them.
    if (last && !before(last, least.id)) continue;
    last = least.id;
    if (!least.fields) standIns++;
    commands.push(['XADD', temporary, text(least.id), ...(least.fields ?? [STAND_IN, ''])]);
    if (commands.length >= members) {
      await write(commands);
      commands = [];
    }
  }
  if (commands.length > 0) await write(commands);
  return { last, standIns };
}

async function* entriesOf({ source, key, members }: Pages): AsyncGenerator<Entry, undefined> {
  for (let start = '-'; ;) {
    const page = await ask<[Buffer, Buffer[]][]>(source, 'XRANGE', key, start, '+', 'COUNT', members);
    for (const [id, fields] of page) yield { id: idOf(id), fields };
    const last = page.at(-1);
    if (!last || page.length < members) return undefined;
    start = nextId(last[0]);
  }
}

async function* pendingOf({ source, key }: Pages, group: Buffer): AsyncGenerator<Pending[], undefined> {
  for (let start = '-'; ;) {
    const page = await ask<Pending[]>(source, 'XPENDING', key, group, start, '+', PENDING_PAGE);
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (!last || page.length < PENDING_PAGE) return undefined;
    start = nextId(last[0]);
  }
}

async function* pendingIdsOf(pages: Pages, group: Buffer): AsyncGenerator<Entry, undefined> {
  for await (const page of pendingOf(pages, group)) for (const [id] of page) yield { id: idOf(id), fields: undefined };
  return undefined;
}

/** Consumers without pending entries too; XGROUP CREATECONSUMER is 6.2 and later, before that they come with their entries. */
async function copyConsumers({ source, key, temporary, targetServer, write }: Pages, group: Buffer): Promise<void> {
  if (!targetServer.abilities.multiLookup) return;
  const consumers = await ask<(Buffer | number)[][]>(source, 'XINFO', 'CONSUMERS', key, group);
  const names = consumers.map((fields) => fields[1]).filter((name) => Buffer.isBuffer(name));
  if (names.length > 0) {
    await write(names.map((name): Command => ['XGROUP', 'CREATECONSUMER', temporary, group, name]));
  }
}

async function copyPending(pages: Pages, group: Buffer): Promise<void> {
  for await (const page of pendingOf(pages, group)) {
    await pages.write(
      page.map(([id, consumer, idle, deliveries]): Command => [
        ...(['XCLAIM', pages.temporary, group, consumer, 0, id, 'IDLE', idle, 'RETRYCOUNT', deliveries] as const),
        ...(['FORCE', 'JUSTID'] as const),
      ]),
    );
  }
}

/** They are known by their field, not by what the source has by now: that may be another. */
async function removeStandIns({ target, temporary, members, write }: Pages): Promise<void> {
  for (let start = '-'; ;) {
    const page = await ask<[Buffer, Buffer[]][]>(target, 'XRANGE', temporary, start, '+', 'COUNT', members);
    const ids = page.filter(([, fields]) => fields[0]?.equals(STAND_IN)).map(([id]) => id);
    if (ids.length > 0) await write([['XDEL', temporary, ...ids]]);
    const last = page.at(-1);
    if (!last || page.length < members) return;
    start = nextId(last[0]);
  }
}
