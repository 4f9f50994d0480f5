/** Services of which the sandbox answers a part itself, beside ElastiCache and DMS; the rest of their calls is moto's. */
import type { Cloud } from './cloud.ts';
import { loggedJson } from './dms/json-protocol.ts';
import { performDynamoDb } from './dynamodb/operations.ts';
import { performEc2 } from './ec2/operations.ts';
import type { Forwarder } from './forwarding.ts';
import { redacted } from './request-body.ts';
import type { CallRecord } from './script.ts';
import { performSsm } from './ssm/operations.ts';

export interface ServiceCall {
  /** `CreateImage`, `ExportTableToPointInTime`. */
  action: string;
  /** The header x-amz-target of JSON services, or an empty text. */
  target: string;
  /** The body of JSON services. */
  text: string;
  /** The body of Query services. */
  form: ReadonlyMap<string, string>;
  requestId: string;
  /** Moto: for a call that is passed on and looked at on the way. */
  forwarder: Forwarder;
}

export interface ServiceAnswer {
  body: string;
  /** The content type. */
  type: string;
}

/** Undefined: not a call of ours, it is passed on. @throws AwsFault as the service would answer */
export type OwnService = (cloud: Cloud, call: ServiceCall) => Promise<ServiceAnswer | undefined>;

/** By the name that requests are signed for. */
export const OWN_SERVICES: Readonly<Record<string, OwnService>> = {
  dynamodb: performDynamoDb,
  ec2: performEc2,
  ssm: performSsm,
};

/** The members of a call for the log of calls. SSM's parameters hold secrets: none of those are kept. */
export function loggedOwn(
  service: string,
  form: ReadonlyMap<string, string>,
  body: Buffer | undefined,
): CallRecord['params'] {
  if (service === 'ec2') return redacted(form);
  const text = (body ?? Buffer.alloc(0)).toString('utf8');
  if (service === 'dynamodb') return loggedJson(text);
  if (service === 'ssm' && text.includes('"DocumentName"')) return loggedJson(text);
  return {};
}
