/** What users of Redash do: each a transaction over several tables, told row by row what it leaves behind. */
import type { Belongings } from './belongings.ts';
import type { Transaction } from './transaction.ts';

/** What the client does with its belongings once the commit is answered; a removal is given up even where it is not. */
export type Afterwards = { acknowledged?: () => void; unknown?: () => void };
type Operation = (tx: Transaction, own: Belongings) => Promise<Afterwards | void>;

const lookAtSomething: Operation = async (tx, own) => {
  for (const action of ['view', 'execute']) await event(tx, own, action, 'dashboard', own.anyDashboard());
};

const execute: Operation = async (tx, own) => {
  const result = await tx.insert('query_results', {
    org_id: own.org,
    data_source_id: own.anyDataSource(),
    query_hash: tx.mark.slice(-32),
    query: `SELECT 1 -- ${tx.mark}`,
    data: tx.content('query_results'),
    runtime: Math.random(),
    retrieved_at: new Date(),
  });
  const query = own.queries.any();
  await tx.update('queries', query, 'latest_query_data_id = $2, options = $3, updated_at = now()', [
    result,
    tx.content('queries'),
  ]);
  await event(tx, own, 'execute', 'query', query);
  const before = own.resultOf.get(query);
  return {
    acknowledged: () => {
      own.resultOf.set(query, result);
      if (before !== undefined) own.oldResults.add(before);
    },
    // It is not known which result the query refers to now: neither may be pruned.
    unknown: () => void own.resultOf.delete(query),
  };
};

const createQuery: Operation = async (tx, own) => {
  const query = await tx.insert('queries', {
    org_id: own.org,
    data_source_id: own.anyDataSource(),
    name: `Query ${tx.mark}`,
    description: `What ${tx.mark} is about`,
    query: `SELECT * FROM orders WHERE note = '${tx.mark}'`,
    query_hash: tx.mark.slice(-32),
    api_key: tx.mark.slice(-40),
    user_id: own.anyUser(),
    options: tx.content('queries'),
    schedule: JSON.stringify({ interval: 3_600, time: null }),
    tags: ['new', 'o\'brien "x", y', ''],
  });
  const shown: number[] = [];
  for (const type of ['TABLE', 'CHART'])
    shown.push(
      await tx.insert('visualizations', { type, query_id: query, name: type, options: tx.content('visualizations') }),
    );
  await change(tx, own, 'queries', query);
  return {
    acknowledged: () => {
      own.queries.add(query);
      for (const id of shown) own.visualizations.add(id);
    },
  };
};

const editQuery: Operation = async (tx, own) => {
  const query = own.queries.any();
  const set = 'name = $2, query = $3, options = $4, version = version + 1, is_draft = NOT is_draft, updated_at = now()';
  await tx.update('queries', query, set, [`Edited ${tx.mark}`, `SELECT '${tx.mark}'`, tx.content('queries')]);
  const visualization = own.visualizations.any();
  await tx.update('visualizations', visualization, 'options = $2', [tx.content('visualizations')]);
  await change(tx, own, 'queries', query);
};

const createDashboard: Operation = async (tx, own) => {
  const dashboard = await tx.insert('dashboards', {
    org_id: own.org,
    slug: tx.mark,
    name: `Dashboard ${tx.mark}`,
    user_id: own.anyUser(),
    tags: null,
    options: tx.content('dashboards'),
  });
  const widgets: number[] = [];
  for (const visualization_id of [own.visualizations.any(), null])
    widgets.push(
      await tx.insert('widgets', {
        visualization_id,
        dashboard_id: dashboard,
        options: tx.content('widgets'),
        text: '',
      }),
    );
  await change(tx, own, 'dashboards', dashboard);
  return {
    acknowledged: () => {
      own.dashboards.add(dashboard);
      for (const id of widgets) own.widgets.add(id);
    },
  };
};

const editDashboard: Operation = async (tx, own) => {
  const dashboard = own.dashboards.any();
  await tx.update('dashboards', dashboard, 'options = $2, version = version + 1, updated_at = now()', [
    tx.content('dashboards'),
  ]);
  await tx.update('widgets', own.widgets.any(), 'options = $2, width = 3 - width', [tx.content('widgets')]);
};

const removeWidget: Operation = async (tx, own) => {
  const widget = own.widgets.take();
  await tx.delete('widgets', widget);
  await event(tx, own, 'delete', 'widget', widget);
};

const createAlert: Operation = async (tx, own) => {
  const alert = await tx.insert('alerts', {
    name: `Alert ${tx.mark}`,
    query_id: own.queries.any(),
    user_id: own.anyUser(),
    options: tx.content('alerts'),
  });
  const user = own.anyUser();
  await tx.insert(
    'alert_subscriptions',
    { user_id: user, alert_id: alert, destination_id: own.anyDestination() },
    `${alert} to ${user}`,
  );
  return { acknowledged: () => own.alerts.add(alert) };
};

const triggerAlert: Operation = async (tx, own) => {
  const alert = own.alerts.any();
  const set = "options = $2, state = CASE state WHEN 'ok' THEN 'triggered' ELSE 'ok' END, last_triggered_at = now()";
  await tx.update('alerts', alert, set, [tx.content('alerts')]);
  await event(tx, own, 'trigger', 'alert', alert);
};

const favour: Operation = async (tx, own) => {
  const [query, user] = [own.queries.any(), own.anyUser()];
  if (own.favoured.has(`${query} ${user}`)) return lookAtSomething(tx, own);
  const shows = `Query ${query} of ${user}`;
  const id = await tx.insert(
    'favorites',
    { org_id: own.org, object_type: 'Query', object_id: query, user_id: user },
    shows,
  );
  // Whether it is there or not: it is not tried again, for it may be.
  own.favoured.add(`${query} ${user}`);
  return { acknowledged: () => own.favorites.add(id) };
};

const unfavour: Operation = async (tx, own) => tx.delete('favorites', own.favorites.take());

const makeKey: Operation = async (tx, own) => {
  const id = await tx.insert('api_keys', {
    org_id: own.org,
    api_key: tx.mark,
    object_type: 'dashboards',
    object_id: own.anyDashboard(),
    created_by_id: own.anyUser(),
  });
  return { acknowledged: () => own.apiKeys.add(id) };
};

const renewKey: Operation = async (tx, own) =>
  tx.update('api_keys', own.apiKeys.any(), 'api_key = $2, active = NOT active', [tx.mark]);

const editUser: Operation = async (tx, own) =>
  tx.update('users', own.ownUser(), 'details = $2, updated_at = now()', [tx.content('users')]);

const pruneEvents: Operation = async (tx, own) => tx.delete('events', own.oldEvents.take());

const pruneResults: Operation = async (tx, own) => tx.delete('query_results', own.oldResults.take());

const writeSnippet: Operation = async (tx, own) => {
  const user_id = own.anyUser();
  await tx.insert('query_snippets', {
    org_id: own.org,
    trigger: tx.mark,
    description: '',
    user_id,
    snippet: 'LIMIT 10',
  });
};

function event(tx: Transaction, own: Belongings, action: string, object_type: string, object: number): Promise<number> {
  const additional_properties = tx.content('events');
  const object_id = String(object);
  return tx.insert('events', {
    org_id: own.org,
    user_id: own.anyUser(),
    action,
    object_type,
    object_id,
    additional_properties,
  });
}

function change(tx: Transaction, own: Belongings, object_type: string, object_id: number): Promise<number> {
  return tx.insert('changes', { object_type, object_id, user_id: own.anyUser(), change: tx.content('changes') });
}

/** Every sequence is used early in the round: the first inserts after a switch are those that meet a sequence left behind. */
export const ROUND: readonly [kind: string, operation: Operation, needs?: (own: Belongings) => boolean][] = [
  ['create-query', createQuery],
  ['execute', execute],
  ['create-dashboard', createDashboard],
  ['create-alert', createAlert],
  ['make-key', makeKey],
  ['favour', favour],
  ['write-snippet', writeSnippet],
  ['look', lookAtSomething],
  ['edit-query', editQuery],
  ['execute', execute],
  ['edit-user', editUser],
  ['edit-dashboard', editDashboard, (own) => own.widgets.some()],
  ['look', lookAtSomething],
  ['trigger-alert', triggerAlert],
  ['execute', execute],
  ['prune-events', pruneEvents, (own) => own.oldEvents.some()],
  ['prune-results', pruneResults, (own) => own.oldResults.some()],
  ['remove-widget', removeWidget, (own) => own.widgets.some()],
  ['look', lookAtSomething],
  ['renew-key', renewKey],
  ['unfavour', unfavour, (own) => own.favorites.some()],
  ['edit-query', editQuery],
];
