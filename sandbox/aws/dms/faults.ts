import { AwsFault } from '../faults.ts';

/** DMS's refusals, as JSON 1.1 has them (facts/postgres-dms 4.3). All are HTTP 400. */
export function invalidValue(message: string): AwsFault {
  return new AwsFault('InvalidParameterValueException', message);
}

export function invalidCombination(message: string): AwsFault {
  return new AwsFault('InvalidParameterCombinationException', message);
}

export function invalidState(message: string): AwsFault {
  return new AwsFault('InvalidResourceStateFault', message);
}

export function notFound(message: string): AwsFault {
  return new AwsFault('ResourceNotFoundFault', message);
}

export function alreadyExists(message: string): AwsFault {
  return new AwsFault('ResourceAlreadyExistsFault', message);
}

export function quotaExceeded(message: string): AwsFault {
  return new AwsFault('ResourceQuotaExceededFault', message);
}

export function serialization(message: string): AwsFault {
  return new AwsFault('SerializationException', message);
}
