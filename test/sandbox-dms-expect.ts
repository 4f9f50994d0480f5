import { expect } from 'vitest';
import { refusal, until } from './sandbox-elasticache-setup.ts';
import type { DmsRig } from './sandbox-dms-setup.ts';

export const VALUE = 'InvalidParameterValueException';
export const COMBINATION = 'InvalidParameterCombinationException';
export const STATE = 'InvalidResourceStateFault';
export const EXISTS = 'ResourceAlreadyExistsFault';
export const NOT_FOUND = 'ResourceNotFoundFault';

export async function expectRefused(call: Promise<unknown>, name: string, message: RegExp): Promise<void> {
  const found = await refusal(call);
  expect(`${found.name}: ${found.message}`).toMatch(new RegExp(`^${name}: `));
  expect(found.message).toMatch(message);
}

/** Waits until a Describe call answers that there is nothing of the kind. */
export const gone = (call: () => Promise<unknown>): Promise<unknown> =>
  until('it is gone', () =>
    call().then(
      () => false,
      (error: Error) => error.name === 'ResourceNotFoundFault',
    ),
  );

/** The Filters of a Describe call. */
export const by = (Name: string, ...Values: string[]): { Filters: { Name: string; Values: string[] }[] } => ({
  Filters: [{ Name, Values }],
});

/** As it is: the SDK's client leaves out what its model does not know. */
export async function sendRaw(rig: DmsRig, action: string, input: object): Promise<unknown> {
  const answer = await fetch(rig.aws.url, {
    method: 'POST',
    headers: {
      authorization: `AWS4-HMAC-SHA256 Credential=k/20260101/us-east-1/dms/aws4_request, SignedHeaders=host, Signature=${'0'.repeat(64)}`,
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': `AmazonDMSv20160101.${action}`,
    },
    body: JSON.stringify(input),
  });
  const body = (await answer.json()) as Record<string, string>;
  if (answer.ok) return body;
  expect(answer.status).toBe(400);
  expect(answer.headers.get('content-type')).toBe('application/x-amz-json-1.1');
  throw Object.assign(new Error(body['message']), { name: body['__type'] });
}
