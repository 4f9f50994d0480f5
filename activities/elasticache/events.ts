/**
 * What ElastiCache says in its events: for many failures the only place that says anything at all (facts/redis-aws 2.1,
 * 3.1). Events have no id, so they are told apart by date and message, and always by the service's own dates: the
 * worker's clock may be minutes off.
 */
import { paginateDescribeEvents, type Event, type SourceType } from '@aws-sdk/client-elasticache';
import { elasticache, type AwsTarget } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { firstPages } from '../aws/first-pages.ts';

export type EventKind = 'migration-succeeded' | 'migration-failed' | 'complete-failed' | 'snapshot-failed' | 'other';

export interface ServiceEvent {
  /** ISO, by the service's clock. */
  at: string;
  sourceId: string;
  kind: EventKind;
  /** Which call a migration's event is about, where its words tell. */
  about?: 'test' | 'start' | 'complete';
  /** As AWS wrote it. */
  message: string;
}

/** The newest event there was before a call; whatever is newer may be the call's. */
export interface Watermark {
  /** ISO, by the service's clock; missing where there was no event at all in the 14 days that events are kept. */
  at?: string;
  /** The messages of exactly that date, because dates are not unique. */
  seen: string[];
}

export interface EventSource {
  id: string;
  /** Default: replication-group. */
  type?: SourceType;
}

const KEPT_MINUTES = 14 * 24 * 60;
/** An older StartTime than what is kept is refused; near the border the whole window is asked for instead. */
const OLDEST_START_MS = 13 * 24 * 60 * 60_000;
/** 100 events a page. */
const MOST_PAGES = 200;

/**
 * The watermark to take before a call whose events are to be found afterwards.
 * @throws cutover.NotFound, cutover.Denied, cutover.Throttled, cutover.Unreachable
 */
export async function eventWatermark(args: { sources: EventSource[]; aws?: AwsTarget }): Promise<Watermark> {
  const events = await allEvents(args.aws ?? {}, args.sources, undefined);
  const newest = events.at(-1)?.at;
  if (newest === undefined) return { seen: [] };
  return { at: newest, seen: events.filter((event) => event.at === newest).map((event) => event.message) };
}

/**
 * The events after the watermark, oldest first, each once. An empty answer says nothing: it is never a success.
 * @throws as eventWatermark
 */
export async function eventsSince(args: {
  sources: EventSource[];
  since: Watermark;
  aws?: AwsTarget;
}): Promise<ServiceEvent[]> {
  const { since } = args;
  const events = await allEvents(args.aws ?? {}, args.sources, since.at);
  const { at } = since;
  if (at === undefined) return events;
  return events.filter((event) => event.at > at || (event.at === at && !since.seen.includes(event.message)));
}

const FAILED =
  /\bfail(ed|s|ure|ures|ing)?\b|not in sync|\bunable\b|could ?n[o']t\b|can(no|')t\b|unsuccess|not success|\berror\b|\baborted\b|timed out/i;
const SUCCEEDED = /success|succeed/i;

/**
 * What an event's message means. Only three messages are documented; the others go by their words, and one that speaks
 * of both success and failure is a failure (facts/redis-aws 3.1).
 * @param sourceId what it is about, whose name must not count as words: a group may be called `orders-failover`
 */
export function classifyEvent(message: string, sourceId = ''): Pick<ServiceEvent, 'kind' | 'about'> {
  const words = message.replaceAll(/\S+:\d+/g, '(address)').split(/(\s+)/);
  return classify(
    words.map((word) => (sourceId !== '' && bare(word) === sourceId.toLowerCase() ? '(it)' : word)).join(''),
  );
}

const bare = (word: string) => word.toLowerCase().replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '');

function classify(message: string): Pick<ServiceEvent, 'kind' | 'about'> {
  // `automatic failover completed` holds "fail" but reports none; the pattern's word borders see to that.
  const failed = FAILED.test(message);
  if (/migrat/i.test(message)) {
    const about = aboutOf(message);
    const told = about === undefined ? {} : { about };
    if (failed) return { kind: about === 'complete' ? 'complete-failed' : 'migration-failed', ...told };
    return { kind: SUCCEEDED.test(message) ? 'migration-succeeded' : 'other', ...told };
  }
  if (/snapshot/i.test(message) && (failed || /SnapshotFailed/i.test(message))) return { kind: 'snapshot-failed' };
  return { kind: 'other' };
}

function aboutOf(message: string): 'test' | 'start' | 'complete' | undefined {
  if (/\btest/i.test(message)) return 'test';
  // "Migration completed successfully" is not told apart from "Complete Migration successful": both are the end of it.
  if (/\bcomplet/i.test(message)) return 'complete';
  return /\bstart/i.test(message) ? 'start' : undefined;
}

async function allEvents(aws: AwsTarget, sources: EventSource[], from: string | undefined): Promise<ServiceEvent[]> {
  const found = new Map<string, ServiceEvent>();
  for (const source of sources) {
    for (const event of await eventsOf(aws, source, from)) {
      if (event.Date === undefined || event.Message === undefined) continue;
      const at = event.Date.toISOString();
      found.set(`${at} ${event.SourceIdentifier ?? ''} ${event.Message}`, {
        at,
        sourceId: event.SourceIdentifier ?? source.id,
        ...classifyEvent(event.Message, event.SourceIdentifier ?? source.id),
        message: event.Message,
      });
    }
  }
  // The order of the answer is not documented. Sorting is stable, so events of one date stay as they came.
  return [...found.values()].sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

async function eventsOf(aws: AwsTarget, source: EventSource, from: string | undefined): Promise<Event[]> {
  const start = from === undefined ? undefined : new Date(from);
  const recent = start !== undefined && Date.now() - start.getTime() < OLDEST_START_MS;
  // Without either, AWS answers the last hour only.
  const window = recent ? { StartTime: start } : { Duration: KEPT_MINUTES };
  const events: Event[] = [];
  const query = { SourceIdentifier: source.id, SourceType: source.type ?? 'replication-group', ...window };
  try {
    const pages = paginateDescribeEvents({ client: elasticache(aws) }, query);
    for await (const { Events = [] } of firstPages(pages, MOST_PAGES)) events.push(...Events);
  } catch (error) {
    throw awsFailure(error, `DescribeEvents of ${source.id}`);
  }
  return events;
}
