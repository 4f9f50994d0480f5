/** Redash 10's tables. Beside them: an identity column (api_keys), and a sequence that no column owns (change_numbers). */
export const REDASH_TABLES = `
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);

CREATE TABLE organizations (
  id serial PRIMARY KEY,
  name varchar(255) NOT NULL,
  slug varchar(255) UNIQUE,
  settings jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE groups (
  id serial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  type varchar(255) NOT NULL DEFAULT 'regular',
  name varchar(100) NOT NULL,
  permissions varchar(255)[] NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE users (
  id serial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  name varchar(320) NOT NULL,
  email varchar(255) NOT NULL,
  profile_image_url varchar(320),
  password_hash varchar(128),
  groups integer[],
  api_key varchar(40) NOT NULL UNIQUE,
  details jsonb NOT NULL DEFAULT '{}',
  disabled_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE data_sources (
  id serial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  name varchar(255) NOT NULL,
  type varchar(255) NOT NULL,
  encrypted_options bytea NOT NULL,
  queue_name varchar(255) NOT NULL DEFAULT 'queries',
  scheduled_queue_name varchar(255) NOT NULL DEFAULT 'scheduled_queries',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE data_source_groups (
  id serial PRIMARY KEY,
  data_source_id integer NOT NULL REFERENCES data_sources (id),
  group_id integer NOT NULL REFERENCES groups (id),
  view_only boolean NOT NULL DEFAULT false
);

CREATE TABLE query_results (
  id serial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  data_source_id integer NOT NULL REFERENCES data_sources (id),
  query_hash varchar(32) NOT NULL,
  query text NOT NULL,
  data text NOT NULL,
  runtime double precision NOT NULL,
  retrieved_at timestamptz NOT NULL
);

CREATE TABLE queries (
  id serial PRIMARY KEY,
  version integer NOT NULL DEFAULT 1,
  org_id integer NOT NULL REFERENCES organizations (id),
  data_source_id integer REFERENCES data_sources (id),
  latest_query_data_id integer REFERENCES query_results (id),
  name varchar(255) NOT NULL,
  description varchar(4096),
  query text NOT NULL,
  query_hash varchar(32) NOT NULL,
  api_key varchar(40) NOT NULL,
  user_id integer NOT NULL REFERENCES users (id),
  last_modified_by_id integer REFERENCES users (id),
  is_archived boolean NOT NULL DEFAULT false,
  is_draft boolean NOT NULL DEFAULT true,
  schedule json,
  schedule_failures integer NOT NULL DEFAULT 0,
  options json NOT NULL DEFAULT '{}',
  search_vector tsvector,
  tags varchar[],
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE dashboards (
  id serial PRIMARY KEY,
  version integer NOT NULL DEFAULT 1,
  org_id integer NOT NULL REFERENCES organizations (id),
  slug varchar(140) NOT NULL,
  name varchar(100) NOT NULL,
  user_id integer NOT NULL REFERENCES users (id),
  layout text NOT NULL DEFAULT '[]',
  dashboard_filters_enabled boolean NOT NULL DEFAULT false,
  is_archived boolean NOT NULL DEFAULT false,
  is_draft boolean NOT NULL DEFAULT true,
  tags varchar[],
  options jsonb NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE visualizations (
  id serial PRIMARY KEY,
  type varchar(100) NOT NULL,
  query_id integer NOT NULL REFERENCES queries (id),
  name varchar(255) NOT NULL,
  description varchar(4096),
  options text NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE widgets (
  id serial PRIMARY KEY,
  visualization_id integer REFERENCES visualizations (id) ON DELETE CASCADE,
  text text,
  width integer NOT NULL DEFAULT 1,
  options text NOT NULL DEFAULT '{}',
  dashboard_id integer NOT NULL REFERENCES dashboards (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE alerts (
  id serial PRIMARY KEY,
  name varchar(255) NOT NULL,
  query_id integer NOT NULL REFERENCES queries (id),
  user_id integer NOT NULL REFERENCES users (id),
  options jsonb NOT NULL DEFAULT '{}',
  state varchar(255) NOT NULL DEFAULT 'unknown' CHECK (state IN ('unknown', 'ok', 'triggered')),
  last_triggered_at timestamptz,
  rearm integer,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE notification_destinations (
  id serial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  user_id integer NOT NULL REFERENCES users (id),
  name varchar(255) NOT NULL,
  type varchar(255) NOT NULL,
  encrypted_options bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE alert_subscriptions (
  id serial PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users (id),
  destination_id integer REFERENCES notification_destinations (id),
  alert_id integer NOT NULL REFERENCES alerts (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE events (
  id bigserial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  user_id integer REFERENCES users (id),
  action varchar(255) NOT NULL,
  object_type varchar(255) NOT NULL,
  object_id varchar(255),
  additional_properties text DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
  id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  api_key varchar(255) NOT NULL,
  active boolean NOT NULL DEFAULT true,
  object_type varchar(255) NOT NULL,
  object_id integer NOT NULL,
  created_by_id integer REFERENCES users (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE query_snippets (
  id serial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  trigger varchar(255) NOT NULL UNIQUE,
  description text NOT NULL,
  user_id integer NOT NULL REFERENCES users (id),
  snippet text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE favorites (
  id serial PRIMARY KEY,
  org_id integer NOT NULL REFERENCES organizations (id),
  object_type varchar(255) NOT NULL,
  object_id integer NOT NULL,
  user_id integer NOT NULL REFERENCES users (id),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT unique_favorite UNIQUE (object_type, object_id, user_id)
);

CREATE SEQUENCE change_numbers AS bigint INCREMENT BY 7 START WITH 1000;

CREATE TABLE changes (
  id serial PRIMARY KEY,
  change_number bigint NOT NULL DEFAULT nextval('change_numbers') UNIQUE,
  object_type varchar(255) NOT NULL,
  object_id integer NOT NULL,
  object_version integer NOT NULL DEFAULT 0,
  user_id integer NOT NULL REFERENCES users (id),
  change json NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE access_permissions (
  id serial PRIMARY KEY,
  object_type varchar(255) NOT NULL,
  object_id integer NOT NULL,
  access_type varchar(255) NOT NULL,
  grantor_id integer NOT NULL REFERENCES users (id),
  grantee_id integer NOT NULL REFERENCES users (id)
);
`;
