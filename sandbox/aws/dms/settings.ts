import { invalidCombination, invalidValue } from './faults.ts';
import { SETTINGS_DEFAULTS, SETTINGS_LIMITS } from './settings-defaults.ts';

type Document = Record<string, unknown>;

const isObject = (value: unknown): value is Document =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The whole document of ReplicationTaskSettings: what was given over `before`, or over DMS's defaults.
 * Log components are merged by their Id. @throws AwsFault InvalidParameterValueException or …CombinationException.
 */
export function taskSettings(given: string | undefined, before: Document = SETTINGS_DEFAULTS): Document {
  const document = given === undefined || given === '' ? {} : parse(given);
  const merged: Document = structuredClone(before);
  for (const [group, value] of Object.entries(document)) {
    if (!Object.hasOwn(SETTINGS_DEFAULTS, group)) {
      throw invalidValue(
        `Invalid task settings: '${group}' is no group of settings. Must be one of: ${Object.keys(SETTINGS_DEFAULTS).join(', ')}.`,
      );
    }
    merged[group] = mergeGroup(group, merged[group], value);
  }
  const lob = isObject(document['TargetMetadata']) ? document['TargetMetadata'] : {};
  const target = merged['TargetMetadata'] as Document;
  // The two modes exclude each other: naming the one alone chooses it.
  if (lob['FullLobMode'] === true && lob['LimitedSizeLobMode'] === undefined) target['LimitedSizeLobMode'] = false;
  if (lob['LimitedSizeLobMode'] === true && lob['FullLobMode'] === undefined) target['FullLobMode'] = false;
  checkTogether(merged);
  return merged;
}

function parse(text: string): Document {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw invalidValue(`Invalid task settings JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isObject(document)) throw invalidValue('Invalid task settings JSON: the document must be an object.');
  return document;
}

function mergeGroup(group: string, before: unknown, given: unknown): unknown {
  const defaults: unknown = SETTINGS_DEFAULTS[group as keyof typeof SETTINGS_DEFAULTS];
  if (given === null) return defaults;
  // Groups that are null by default (BeforeImageSettings, …) are not checked any further.
  if (defaults === null) return given;
  if (!isObject(defaults)) return checkValue(group, defaults, given);
  if (!isObject(given)) throw invalidValue(`Invalid task settings: ${group} must be an object.`);
  const merged: Document = { ...(isObject(before) ? before : defaults) };
  for (const [name, value] of Object.entries(given)) {
    const path = `${group}.${name}`;
    if (!Object.hasOwn(defaults, name)) throw invalidValue(`Invalid task settings: '${path}' is no setting.`);
    if (value === null) continue;
    merged[name] =
      path === 'Logging.LogComponents' ? mergeComponents(merged[name], value) : checkValue(path, defaults[name], value);
  }
  return merged;
}

function checkValue(path: string, standard: unknown, given: unknown): unknown {
  if (path.startsWith('Logging.CloudWatchLog')) {
    throw invalidValue('Task Settings CloudWatchLogGroup or CloudWatchLogStream cannot be set on create.');
  }
  if (standard === null) return given;
  if (typeof given !== typeof standard || Array.isArray(given) !== Array.isArray(standard)) {
    throw invalidValue(`Invalid task settings: ${path} must be a ${typeof standard}, not ${JSON.stringify(given)}.`);
  }
  const limit = SETTINGS_LIMITS[path];
  if (limit === undefined) return given;
  const fits =
    typeof given === 'number'
      ? Number.isInteger(given) && given >= Number(limit[0]) && given <= Number(limit[1])
      : (limit as readonly unknown[]).includes(given);
  const allowed = typeof given === 'number' ? `${limit[0]} to ${limit[1]}` : limit.join(', ');
  if (!fits) throw invalidValue(`Invalid task settings: ${path} is ${JSON.stringify(given)}. Allowed: ${allowed}.`);
  return given;
}

interface LogComponent {
  Id: string;
  Severity: string;
}

const SEVERITIES = ['DEFAULT', 'ERROR', 'WARNING', 'INFO', 'DEBUG', 'DETAILED_DEBUG'].map(
  (name) => `LOGGER_SEVERITY_${name}`,
);

function mergeComponents(before: unknown, given: unknown): LogComponent[] {
  const merged = new Map((before as LogComponent[]).map((component) => [component.Id, component]));
  if (!Array.isArray(given)) throw invalidValue('Invalid task settings: Logging.LogComponents must be a list.');
  for (const component of given as unknown[]) {
    const { Id, Severity } = isObject(component) ? component : {};
    if (typeof Id !== 'string' || !SEVERITIES.includes(String(Severity))) {
      throw invalidValue(
        `Invalid task settings: a log component needs an Id, and a Severity of ${SEVERITIES.join(', ')}; got ${JSON.stringify(component)}.`,
      );
    }
    merged.set(Id, { Id, Severity: String(Severity) });
  }
  return [...merged.values()];
}

function checkTogether(document: Document): void {
  const load = document['FullLoadSettings'] as Document;
  if (load['StopTaskCachedChangesApplied'] === true && load['StopTaskCachedChangesNotApplied'] === true) {
    throw invalidCombination(
      'Invalid task settings: StopTaskCachedChangesApplied and StopTaskCachedChangesNotApplied cannot both be true.',
    );
  }
  const target = document['TargetMetadata'] as Document;
  if (target['FullLobMode'] === true && target['LimitedSizeLobMode'] === true) {
    throw invalidCombination('Invalid task settings: FullLobMode and LimitedSizeLobMode cannot both be true.');
  }
  if (target['SupportLobs'] === true && target['LimitedSizeLobMode'] === true && target['LobMaxSize'] === 0) {
    throw invalidCombination('Invalid task settings: LimitedSizeLobMode needs a LobMaxSize above 0.');
  }
  if (target['BatchApplyEnabled'] === true && target['FullLobMode'] === true) {
    throw invalidCombination('Invalid task settings: BatchApplyEnabled works with limited LOB mode only.');
  }
}
