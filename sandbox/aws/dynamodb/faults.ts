import { AwsFault } from '../faults.ts';

const SERVICE = 'com.amazonaws.dynamodb.v20120810#';

/** A refusal of DynamoDB's own: on the wire its `__type` carries the service's name before the code. */
export function refusal(code: string, message: string): AwsFault {
  return new AwsFault(`${SERVICE}${code}`, message);
}

/** An input that breaks the service's model, before DynamoDB itself has seen it. */
export function invalid(message: string): AwsFault {
  return new AwsFault('com.amazon.coral.validate#ValidationException', message);
}

/** One constraint of the model that does not hold, in AWS's words. @param member in lower camel case, as AWS writes it there */
export function constraint(member: string, value: string | number | undefined, rule: string): AwsFault {
  const shown = value === undefined ? 'null' : `'${value}'`;
  return invalid(
    `1 validation error detected: Value ${shown} at '${member}' failed to satisfy constraint: Member must ${rule}`,
  );
}

export function tableNotFound(table: string): AwsFault {
  return refusal('TableNotFoundException', `Table not found: ${table}`);
}

/** Something that AWS would do and the sandbox does not: refused, rather than done differently without a word. */
export function notServed(what: string): AwsFault {
  return invalid(`The sandbox's DynamoDB does not serve ${what}.`);
}

/**
 * A refusal of moto's that is handed on. `members` is what it says beside code and message (CancellationReasons, Item):
 * AwsFault has no place for it, so the router answers without it as long as it does not look here.
 */
export class PassedOnFault extends AwsFault {
  readonly members: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, status: number, members: Readonly<Record<string, unknown>>) {
    super(code, message, status);
    this.members = members;
  }

  /** @param body the JSON of the other server's answer */
  static from(status: number, body: string): PassedOnFault {
    let parsed: Record<string, unknown> = {};
    try {
      parsed = JSON.parse(body) as Record<string, unknown>;
    } catch {
      // No JSON: a page of the other server's that says it failed.
    }
    const { __type: type, message, Message, ...members } = parsed;
    const text = typeof message === 'string' ? message : typeof Message === 'string' ? Message : body.slice(0, 500);
    return new PassedOnFault(typeof type === 'string' ? type : 'InternalServerError', text, status, members);
  }
}
