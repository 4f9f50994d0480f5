import { invalidValue } from './faults.ts';

const RULE_TYPES = ['selection', 'transformation', 'table-settings', 'validation', 'object-mapping', 'post-processing'];
const MOST_BYTES = 2 * 1024 * 1024;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Checks a TableMappings document as CreateReplicationTask does. What its rules choose is the engine's matter.
 * @throws AwsFault InvalidParameterValueException naming the rule.
 */
export function checkMappings(text: string): void {
  if (Buffer.byteLength(text) > MOST_BYTES) throw invalidValue('Invalid Table Mappings document. It is over 2 MB.');
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw invalidValue(
      `Invalid Table Mappings document. Invalid json ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  const rules = isObject(document) ? document['rules'] : undefined;
  if (!Array.isArray(rules) || rules.length === 0 || (isObject(document) && Object.keys(document).length > 1)) {
    throw invalidValue('Invalid Table Mappings document. It must be an object with a list of rules, and nothing else.');
  }
  const ids = new Set<string>();
  const names = new Set<string>();
  let included = false;
  for (const rule of rules as unknown[]) {
    const id = checkRule(rule);
    if (ids.has(id)) throw invalidRule(id, 'the rule-id is not unique');
    ids.add(id);
    const { 'rule-name': name, 'rule-type': type, 'rule-action': action } = rule as Record<string, unknown>;
    if (names.has(String(name))) throw invalidRule(id, `the rule-name ${String(name)} is not unique`);
    names.add(String(name));
    included ||= type === 'selection' && action !== 'exclude';
  }
  if (!included) throw invalidValue('Error in mapping rules. No selection rule includes anything.');
}

/** @returns the rule's id. */
function checkRule(rule: unknown): string {
  if (!isObject(rule)) throw invalidValue('Invalid Table Mappings document. A rule must be an object.');
  const given = rule['rule-id'];
  if (!(typeof given === 'number' || typeof given === 'string') || !/^\d+$/.test(String(given))) {
    throw invalidValue(`Error in mapping rules. A rule-id must be a number, not ${JSON.stringify(given)}.`);
  }
  const id = String(given);
  const type = rule['rule-type'];
  if (!RULE_TYPES.includes(String(type))) {
    throw invalidRule(id, `rule-type ${JSON.stringify(type)} is not one of ${RULE_TYPES.join(', ')}`);
  }
  if (typeof rule['rule-name'] !== 'string' || rule['rule-name'] === '') throw invalidRule(id, 'rule-name is missing');
  if (type === 'selection' || type === 'table-settings') checkLocator(id, rule['object-locator']);
  if (type === 'selection' && !['include', 'exclude', 'explicit'].includes(String(rule['rule-action']))) {
    throw invalidRule(id, `rule-action ${JSON.stringify(rule['rule-action'])} is not include, exclude or explicit`);
  }
  if (type === 'selection' && rule['rule-action'] === 'explicit' && hasWildcard(rule['object-locator'])) {
    throw invalidRule(id, 'an explicit rule cannot have % in its names');
  }
  if (type === 'table-settings' && isObject(rule['parallel-load']) && hasWildcard(rule['object-locator'])) {
    throw invalidRule(id, 'parallel-load cannot have % in its names');
  }
  if (rule['filters'] !== undefined && rule['filters'] !== null && !Array.isArray(rule['filters'])) {
    throw invalidRule(id, 'filters must be a list');
  }
  return id;
}

function checkLocator(id: string, locator: unknown): void {
  if (!isObject(locator)) throw invalidRule(id, 'object-locator is missing');
  for (const key of ['schema-name', 'table-name']) {
    if (typeof locator[key] !== 'string' || locator[key] === '') throw invalidRule(id, `object-locator needs ${key}`);
  }
}

function hasWildcard(locator: unknown): boolean {
  return isObject(locator) && ['schema-name', 'table-name'].some((key) => String(locator[key]).includes('%'));
}

function invalidRule(id: string, what: string): Error {
  return invalidValue(`Error in mapping rules. Rule with ruleId = ${id} failed validation: ${what}.`);
}
