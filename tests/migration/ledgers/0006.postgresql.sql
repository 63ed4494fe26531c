CREATE FUNCTION public.vibe_job_due() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  PERFORM vibe_notify_new_job(NEW);
  RETURN NULL;
END $$;
CREATE FUNCTION public.vibe_job_history() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, NULL, NEW.status, NEW.attempt, NEW.worker, NEW.status_updated_at, NULL);
  ELSE
    INSERT INTO job_history (job_id, from_status, status, attempt, worker_id, timestamp, details)
    VALUES (NEW.id, OLD.status, NEW.status, NEW.attempt, COALESCE(NEW.worker, OLD.worker),
            NEW.status_updated_at, NEW.error);
    PERFORM pg_notify('job_status_changed', json_build_object(
      'job_id', left(NEW.id, 500), 'lane', left(NEW.lane, 500),
      'old_status', OLD.status, 'new_status', NEW.status)::text);
  END IF;
  IF NEW.status = 'pending' AND NEW.backoff_until IS NULL AND NEW.held_at IS NULL THEN
    PERFORM vibe_notify_new_job(NEW);
  END IF;
  RETURN NULL;
END $$;
CREATE TABLE public.jobs (
    seq bigint NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    lane text NOT NULL,
    priority integer NOT NULL,
    effort integer NOT NULL,
    status text NOT NULL,
    args json NOT NULL,
    result json,
    error text,
    retry_count integer NOT NULL,
    max_retries integer NOT NULL,
    retry_base double precision NOT NULL,
    attempt integer NOT NULL,
    backoff_until double precision,
    published_at double precision,
    worker text,
    lease_until double precision,
    time_limit double precision,
    unique_key text,
    concurrency_key text,
    start_by double precision,
    held_at double precision,
    held_for text,
    canvas json,
    required json,
    labels json,
    routing json,
    trace text,
    plan_id text,
    task_id text,
    round integer NOT NULL,
    created_at double precision NOT NULL,
    started_at double precision,
    status_updated_at double precision NOT NULL,
    dead_at double precision,
    CONSTRAINT job_priority CHECK (((priority >= 0) AND (priority <= 4))),
    CONSTRAINT job_status CHECK ((status = ANY (ARRAY['blocked'::text, 'pending'::text, 'processing'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
)
WITH (autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500', autovacuum_analyze_scale_factor='0.02');
CREATE FUNCTION public.vibe_notify_new_job(job public.jobs) RETURNS void
    LANGUAGE sql
    AS $$
  SELECT pg_notify('new_job', json_build_object(
    'job_id', left(job.id, 500), 'lane', left(job.lane, 500), 'priority', job.priority)::text)
$$;
CREATE FUNCTION public.vibe_now() RETURNS double precision
    LANGUAGE sql STABLE
    AS $$ SELECT extract(epoch FROM statement_timestamp())::double precision $$;
CREATE TABLE public.agent_outputs (
    id bigint NOT NULL,
    run_id bigint NOT NULL,
    agent_name text NOT NULL,
    model_version text,
    content text NOT NULL,
    output_timestamp bigint NOT NULL
);
CREATE SEQUENCE public.agent_outputs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.agent_outputs_id_seq OWNED BY public.agent_outputs.id;
CREATE TABLE public.agent_usage (
    job_id text NOT NULL,
    attempt integer NOT NULL,
    plan_id text,
    task_id text,
    agent text NOT NULL,
    kind text NOT NULL,
    session_id text,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost_usd double precision NOT NULL,
    seconds double precision NOT NULL,
    cached integer NOT NULL,
    updated_at double precision NOT NULL
);
CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.audit (
    id bigint NOT NULL,
    at double precision NOT NULL,
    actor text NOT NULL,
    role text,
    source text NOT NULL,
    origin text NOT NULL,
    action text NOT NULL,
    target text,
    details json
);
CREATE SEQUENCE public.audit_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.audit_id_seq OWNED BY public.audit.id;
CREATE TABLE public.breaker_calls (
    breaker text NOT NULL,
    slot bigint NOT NULL,
    calls integer NOT NULL,
    failures integer NOT NULL
);
CREATE TABLE public.breaker_trials (
    breaker text NOT NULL,
    holder text NOT NULL,
    until double precision NOT NULL
);
CREATE TABLE public.breakers (
    name text NOT NULL,
    state text NOT NULL,
    changed_at double precision NOT NULL,
    open_until double precision,
    successes integer NOT NULL,
    times_opened integer NOT NULL,
    reason text,
    CONSTRAINT breaker_state CHECK ((state = ANY (ARRAY['closed'::text, 'open'::text, 'half_open'::text])))
);
CREATE TABLE public.budgets (
    plan_id text NOT NULL,
    scope text NOT NULL,
    name text NOT NULL,
    usd double precision,
    tokens bigint,
    seconds double precision,
    CONSTRAINT budget_scope CHECK ((scope = ANY (ARRAY['plan'::text, 'task'::text, 'agent'::text])))
);
CREATE TABLE public.cache_counts (
    cache text NOT NULL,
    name text NOT NULL,
    number bigint NOT NULL
);
CREATE TABLE public.chord_results (
    group_id text NOT NULL,
    member_id text NOT NULL,
    result json
);
CREATE TABLE public.chords (
    group_id text NOT NULL,
    body_id text NOT NULL,
    members json NOT NULL,
    missing integer NOT NULL,
    takes_results integer NOT NULL
);
CREATE TABLE public.consensus_runs (
    id bigint NOT NULL,
    spec_id text NOT NULL,
    stage text NOT NULL,
    run_timestamp bigint NOT NULL,
    consensus_ok integer NOT NULL,
    degraded integer DEFAULT 0 NOT NULL,
    synthesis_json text
);
CREATE SEQUENCE public.consensus_runs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.consensus_runs_id_seq OWNED BY public.consensus_runs.id;
CREATE TABLE public.event_handlers (
    event_type text NOT NULL,
    handler text NOT NULL,
    lane text NOT NULL,
    time_limit double precision,
    created_at double precision NOT NULL
);
CREATE TABLE public.event_rules (
    name text NOT NULL,
    value json NOT NULL,
    updated_at double precision NOT NULL
);
CREATE TABLE public.events (
    id bigint NOT NULL,
    source_app text NOT NULL,
    session_id text NOT NULL,
    hook_event_type text NOT NULL,
    payload json NOT NULL,
    chat json,
    summary text,
    model_name text,
    "timestamp" bigint NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    priority_metadata json,
    extra json,
    received_at double precision,
    CONSTRAINT event_priority CHECK (((priority >= 0) AND (priority <= 3)))
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_insert_scale_factor='0.05');
CREATE SEQUENCE public.events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.events_id_seq OWNED BY public.events.id;
CREATE TABLE public.job_history (
    id bigint NOT NULL,
    job_id text NOT NULL,
    from_status text,
    status text NOT NULL,
    attempt integer NOT NULL,
    worker_id text,
    "timestamp" double precision NOT NULL,
    details text
)
WITH (autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_insert_scale_factor='0.05');
CREATE TABLE public.job_history_archive (
    id bigint NOT NULL,
    job_id text NOT NULL,
    from_status text,
    status text NOT NULL,
    attempt integer NOT NULL,
    worker_id text,
    "timestamp" double precision NOT NULL,
    details text
);
CREATE SEQUENCE public.job_history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.job_history_id_seq OWNED BY public.job_history.id;
CREATE TABLE public.job_logs (
    job_id text NOT NULL,
    attempt integer NOT NULL,
    seq integer NOT NULL,
    at double precision NOT NULL,
    lines json NOT NULL
);
CREATE TABLE public.jobs_archive (
    seq bigint NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    lane text NOT NULL,
    status text NOT NULL,
    plan_id text,
    task_id text,
    created_at double precision NOT NULL,
    status_updated_at double precision NOT NULL,
    archived_at double precision NOT NULL,
    "row" json NOT NULL
);
CREATE SEQUENCE public.jobs_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.jobs_seq_seq OWNED BY public.jobs.seq;
CREATE TABLE public.lanes (
    lane text NOT NULL,
    paused_at double precision,
    concurrency_limit integer,
    rate_limit double precision,
    tokens double precision NOT NULL,
    tokens_at double precision NOT NULL,
    CONSTRAINT lane_concurrency_limit CHECK ((concurrency_limit > 0)),
    CONSTRAINT lane_rate_limit CHECK ((rate_limit > (0)::double precision))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');
CREATE TABLE public.ledger_facts (
    name text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.metric_marks (
    source text NOT NULL,
    "position" bigint NOT NULL
);
CREATE TABLE public.metric_totals (
    name text NOT NULL,
    labels text NOT NULL,
    value double precision NOT NULL
);
CREATE TABLE public.plans (
    id text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    digest text NOT NULL,
    source text NOT NULL,
    plan_dir text NOT NULL,
    repo text NOT NULL,
    remote text,
    base_commit text NOT NULL,
    branch text NOT NULL,
    spec json NOT NULL,
    created_at double precision NOT NULL,
    ended_at double precision,
    CONSTRAINT plan_status CHECK ((status = ANY (ARRAY['running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'replaced'::text])))
);
CREATE TABLE public.result_cache (
    cache text NOT NULL,
    key text NOT NULL,
    status text NOT NULL,
    value json,
    size integer NOT NULL,
    holder text,
    held_until double precision,
    tag text,
    created_at double precision NOT NULL,
    expires_at double precision NOT NULL,
    used_at double precision NOT NULL,
    hits integer NOT NULL,
    CONSTRAINT cache_status CHECK ((status = ANY (ARRAY['making'::text, 'ready'::text])))
);
CREATE TABLE public.scale_decisions (
    id bigint NOT NULL,
    at double precision NOT NULL,
    lane text NOT NULL,
    provisioner text NOT NULL,
    before integer NOT NULL,
    target integer NOT NULL,
    applied integer,
    reason text NOT NULL,
    figures json NOT NULL,
    error text
);
CREATE SEQUENCE public.scale_decisions_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.scale_decisions_id_seq OWNED BY public.scale_decisions.id;
CREATE TABLE public.scaling_rules (
    lane text NOT NULL,
    min_size integer,
    max_size integer,
    up_depth integer,
    down_depth integer,
    up_age double precision,
    down_after double precision,
    CONSTRAINT scaling_bounds CHECK (((min_size >= 0) AND (max_size >= 1)))
);
CREATE TABLE public.task_needs (
    plan_id text NOT NULL,
    needs_id text NOT NULL,
    task_id text NOT NULL
);
CREATE TABLE public.tasks (
    plan_id text NOT NULL,
    id text NOT NULL,
    "position" integer NOT NULL,
    title text NOT NULL,
    status text NOT NULL,
    stage text,
    spec json NOT NULL,
    waiting_on integer NOT NULL,
    fix_round integer NOT NULL,
    max_fix_rounds integer NOT NULL,
    commit_id text,
    error text,
    status_updated_at double precision NOT NULL,
    CONSTRAINT task_status CHECK ((status = ANY (ARRAY['waiting'::text, 'running'::text, 'deployed'::text, 'dead'::text, 'blocked'::text, 'cancelled'::text])))
);
CREATE TABLE public.upkeep (
    name text NOT NULL,
    looked_at double precision NOT NULL,
    patient_until double precision NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');
CREATE VIEW public.view_dead_letter_queue AS
 SELECT id,
    name,
    kind,
    lane,
    plan_id,
    task_id,
    attempt AS attempts,
    retry_count,
    max_retries,
    error,
    args,
    dead_at,
    created_at
   FROM public.jobs
  WHERE (dead_at IS NOT NULL);
CREATE TABLE public.worker_health (
    worker_id text NOT NULL,
    lane text NOT NULL,
    tier text NOT NULL,
    active_tasks integer NOT NULL,
    capacity_limit integer NOT NULL,
    status text NOT NULL,
    last_seen double precision NOT NULL,
    host text,
    process text,
    version text,
    labels json,
    functions json,
    started_at double precision,
    draining_at double precision,
    schema_version integer
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='200');
CREATE VIEW public.view_lane_demand AS
 SELECT lane,
    sum(waiting) AS waiting,
    max(oldest_age) AS oldest_age,
    sum(busy) AS busy,
    sum(slots) AS slots
   FROM ( SELECT jobs.lane,
            count(*) AS waiting,
            max((public.vibe_now() - jobs.status_updated_at)) AS oldest_age,
            0 AS busy,
            0 AS slots
           FROM public.jobs
          WHERE ((jobs.status = 'pending'::text) AND (jobs.backoff_until IS NULL) AND (jobs.held_at IS NULL))
          GROUP BY jobs.lane
        UNION ALL
         SELECT jobs.lane,
            count(*) AS count,
            max((public.vibe_now() - jobs.backoff_until)) AS max,
            0,
            0
           FROM public.jobs
          WHERE ((jobs.status = 'pending'::text) AND (jobs.backoff_until <= public.vibe_now()))
          GROUP BY jobs.lane
        UNION ALL
         SELECT jobs.lane,
            count(*) AS count,
            max((public.vibe_now() - jobs.held_at)) AS max,
            0,
            0
           FROM public.jobs
          WHERE ((jobs.status = 'pending'::text) AND (jobs.held_for = 'worker'::text) AND (jobs.held_at IS NOT NULL))
          GROUP BY jobs.lane
        UNION ALL
         SELECT jobs.lane,
            0,
            0.0,
            count(*) AS count,
            0
           FROM public.jobs
          WHERE (jobs.status = 'processing'::text)
          GROUP BY jobs.lane
        UNION ALL
         SELECT worker_health.lane,
            0,
            0.0,
            0,
            sum(worker_health.capacity_limit) AS sum
           FROM public.worker_health
          WHERE ((worker_health.status = 'online'::text) AND (worker_health.last_seen > (public.vibe_now() - (60.0)::double precision)))
          GROUP BY worker_health.lane) parts
  GROUP BY lane;
ALTER TABLE ONLY public.agent_outputs ALTER COLUMN id SET DEFAULT nextval('public.agent_outputs_id_seq'::regclass);
ALTER TABLE ONLY public.audit ALTER COLUMN id SET DEFAULT nextval('public.audit_id_seq'::regclass);
ALTER TABLE ONLY public.consensus_runs ALTER COLUMN id SET DEFAULT nextval('public.consensus_runs_id_seq'::regclass);
ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.events_id_seq'::regclass);
ALTER TABLE ONLY public.job_history ALTER COLUMN id SET DEFAULT nextval('public.job_history_id_seq'::regclass);
ALTER TABLE ONLY public.jobs ALTER COLUMN seq SET DEFAULT nextval('public.jobs_seq_seq'::regclass);
ALTER TABLE ONLY public.scale_decisions ALTER COLUMN id SET DEFAULT nextval('public.scale_decisions_id_seq'::regclass);
INSERT INTO public.agent_outputs (id, run_id, agent_name, model_version, content, output_timestamp) VALUES (1, 1, 'agent_name 1 é🦀 ''quoted'' \ 100 %
next line', 'model_version 1 é🦀 ''quoted'' \ 100 %
next line', 'content 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993);
INSERT INTO public.agent_outputs (id, run_id, agent_name, model_version, content, output_timestamp) VALUES (2, 2, 'agent_name 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'content 2 é🦀 ''quoted'' \ 100 %
next line', 9007199254740994);
INSERT INTO public.agent_usage (job_id, attempt, plan_id, task_id, agent, kind, session_id, input_tokens, output_tokens, cost_usd, seconds, cached, updated_at) VALUES ('job_id 1 é🦀 ''quoted'' \ 100 %
next line', 1, 'plan_id 1 é🦀 ''quoted'' \ 100 %
next line', 'task_id 1 é🦀 ''quoted'' \ 100 %
next line', 'agent 1 é🦀 ''quoted'' \ 100 %
next line', 'kind 1 é🦀 ''quoted'' \ 100 %
next line', 'session_id 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993, 9007199254740993, 1700000000.1, 1700000000.1, 1, 1700000000.1);
INSERT INTO public.agent_usage (job_id, attempt, plan_id, task_id, agent, kind, session_id, input_tokens, output_tokens, cost_usd, seconds, cached, updated_at) VALUES ('job_id 2 é🦀 ''quoted'' \ 100 %
next line', 2, NULL, NULL, 'agent 2 é🦀 ''quoted'' \ 100 %
next line', 'kind 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 9007199254740994, 9007199254740994, 1700000000.2, 1700000000.2, 2, 1700000000.2);
INSERT INTO public.alembic_version (version_num) VALUES ('0006');
INSERT INTO public.audit (id, at, actor, role, source, origin, action, target, details) VALUES (1, 1700000000.1, 'actor 1 é🦀 ''quoted'' \ 100 %
next line', 'role 1 é🦀 ''quoted'' \ 100 %
next line', 'source 1 é🦀 ''quoted'' \ 100 %
next line', 'origin 1 é🦀 ''quoted'' \ 100 %
next line', 'action 1 é🦀 ''quoted'' \ 100 %
next line', 'target 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}');
INSERT INTO public.audit (id, at, actor, role, source, origin, action, target, details) VALUES (2, 1700000000.2, 'actor 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'source 2 é🦀 ''quoted'' \ 100 %
next line', 'origin 2 é🦀 ''quoted'' \ 100 %
next line', 'action 2 é🦀 ''quoted'' \ 100 %
next line', NULL, NULL);
INSERT INTO public.breaker_calls (breaker, slot, calls, failures) VALUES ('name 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 1);
INSERT INTO public.breaker_calls (breaker, slot, calls, failures) VALUES ('name 2 é🦀 ''quoted'' \ 100 %
next line', 2, 2, 2);
INSERT INTO public.breaker_trials (breaker, holder, until) VALUES ('name 1 é🦀 ''quoted'' \ 100 %
next line', 'holder 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1);
INSERT INTO public.breaker_trials (breaker, holder, until) VALUES ('name 2 é🦀 ''quoted'' \ 100 %
next line', 'holder 2 é🦀 ''quoted'' \ 100 %
next line', 1700000000.2);
INSERT INTO public.breakers (name, state, changed_at, open_until, successes, times_opened, reason) VALUES ('name 1 é🦀 ''quoted'' \ 100 %
next line', 'open', 1700000000.1, 1700000000.1, 1, 1, 'reason 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.breakers (name, state, changed_at, open_until, successes, times_opened, reason) VALUES ('name 2 é🦀 ''quoted'' \ 100 %
next line', 'open', 1700000000.2, NULL, 2, 2, NULL);
INSERT INTO public.budgets (plan_id, scope, name, usd, tokens, seconds) VALUES ('id 1 é🦀 ''quoted'' \ 100 %
next line', 'plan', 'name 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 9007199254740993, 1700000000.1);
INSERT INTO public.budgets (plan_id, scope, name, usd, tokens, seconds) VALUES ('id 2 é🦀 ''quoted'' \ 100 %
next line', 'plan', 'name 2 é🦀 ''quoted'' \ 100 %
next line', NULL, NULL, NULL);
INSERT INTO public.cache_counts (cache, name, number) VALUES ('cache 1 é🦀 ''quoted'' \ 100 %
next line', 'name 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993);
INSERT INTO public.cache_counts (cache, name, number) VALUES ('cache 2 é🦀 ''quoted'' \ 100 %
next line', 'name 2 é🦀 ''quoted'' \ 100 %
next line', 9007199254740994);
INSERT INTO public.chord_results (group_id, member_id, result) VALUES ('group_id 1 é🦀 ''quoted'' \ 100 %
next line', 'member_id 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}');
INSERT INTO public.chord_results (group_id, member_id, result) VALUES ('group_id 2 é🦀 ''quoted'' \ 100 %
next line', 'member_id 2 é🦀 ''quoted'' \ 100 %
next line', NULL);
INSERT INTO public.chords (group_id, body_id, members, missing, takes_results) VALUES ('group_id 1 é🦀 ''quoted'' \ 100 %
next line', 'body_id 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1, 1);
INSERT INTO public.chords (group_id, body_id, members, missing, takes_results) VALUES ('group_id 2 é🦀 ''quoted'' \ 100 %
next line', 'body_id 2 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 2, 2);
INSERT INTO public.consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok, degraded, synthesis_json) VALUES (1, 'spec_id 1 é🦀 ''quoted'' \ 100 %
next line', 'stage 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993, 1, 1, 'synthesis_json 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.consensus_runs (id, spec_id, stage, run_timestamp, consensus_ok, degraded, synthesis_json) VALUES (2, 'spec_id 2 é🦀 ''quoted'' \ 100 %
next line', 'stage 2 é🦀 ''quoted'' \ 100 %
next line', 9007199254740994, 2, 2, NULL);
INSERT INTO public.event_handlers (event_type, handler, lane, time_limit, created_at) VALUES ('event_type 1 é🦀 ''quoted'' \ 100 %
next line', 'handler 1 é🦀 ''quoted'' \ 100 %
next line', 'lane 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1700000000.1);
INSERT INTO public.event_handlers (event_type, handler, lane, time_limit, created_at) VALUES ('event_type 2 é🦀 ''quoted'' \ 100 %
next line', 'handler 2 é🦀 ''quoted'' \ 100 %
next line', 'lane 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 1700000000.2);
INSERT INTO public.event_rules (name, value, updated_at) VALUES ('name 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.1);
INSERT INTO public.event_rules (name, value, updated_at) VALUES ('name 2 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.2);
INSERT INTO public.events (id, source_app, session_id, hook_event_type, payload, chat, summary, model_name, "timestamp", priority, priority_metadata, extra, received_at) VALUES (1, 'source_app 1 é🦀 ''quoted'' \ 100 %
next line', 'session_id 1 é🦀 ''quoted'' \ 100 %
next line', 'hook_event_type 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 'summary 1 é🦀 ''quoted'' \ 100 %
next line', 'model_name 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993, 3, '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.1);
INSERT INTO public.events (id, source_app, session_id, hook_event_type, payload, chat, summary, model_name, "timestamp", priority, priority_metadata, extra, received_at) VALUES (2, 'source_app 2 é🦀 ''quoted'' \ 100 %
next line', 'session_id 2 é🦀 ''quoted'' \ 100 %
next line', 'hook_event_type 2 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', NULL, NULL, NULL, 9007199254740994, 3, NULL, NULL, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (1, 'job-8', NULL, 'blocked', 0, NULL, 1795423897.378854, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (2, 'job-9', NULL, 'pending', 0, NULL, 1795423897.38313, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (3, 'job-10', NULL, 'pending', 0, NULL, 1795423897.385343, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (4, 'job-10', 'pending', 'processing', 1, 'w1', 1795423897.391253, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (5, 'job-11', NULL, 'pending', 0, NULL, 1795423897.394378, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (6, 'job-11', 'pending', 'processing', 1, 'w1', 1795423897.396529, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (7, 'job-11', 'processing', 'completed', 1, 'w1', 1795423897.398398, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (8, 'job-12', NULL, 'pending', 0, NULL, 1795423897.400602, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (9, 'job-12', 'pending', 'processing', 1, 'w1', 1795423897.403386, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (10, 'job-12', 'processing', 'failed', 1, 'w1', 1795423897.406038, 'boom');
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (11, 'job-13', NULL, 'pending', 0, NULL, 1795423897.407999, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (12, 'job-13', 'pending', 'cancelled', 0, NULL, 1795423897.411179, 'no longer wanted');
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (13, 'job-14', NULL, 'pending', 0, NULL, 1795423897.41355, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (14, 'job_id 1 é🦀 ''quoted'' \ 100 %
next line', 'from_status 1 é🦀 ''quoted'' \ 100 %
next line', 'status 1 é🦀 ''quoted'' \ 100 %
next line', 1, 'worker_id 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 'details 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (15, 'job_id 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'status 2 é🦀 ''quoted'' \ 100 %
next line', 2, NULL, 1700000000.2, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (16, 'id 1 é🦀 ''quoted'' \ 100 %
next line', NULL, 'blocked', 1, 'worker 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, NULL);
INSERT INTO public.job_history (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (17, 'id 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'blocked', 2, NULL, 1700000000.2, NULL);
INSERT INTO public.job_history_archive (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (1, 'job_id 1 é🦀 ''quoted'' \ 100 %
next line', 'from_status 1 é🦀 ''quoted'' \ 100 %
next line', 'status 1 é🦀 ''quoted'' \ 100 %
next line', 1, 'worker_id 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 'details 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.job_history_archive (id, job_id, from_status, status, attempt, worker_id, "timestamp", details) VALUES (2, 'job_id 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'status 2 é🦀 ''quoted'' \ 100 %
next line', 2, NULL, 1700000000.2, NULL);
INSERT INTO public.job_logs (job_id, attempt, seq, at, lines) VALUES ('job_id 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 1700000000.1, '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}');
INSERT INTO public.job_logs (job_id, attempt, seq, at, lines) VALUES ('job_id 2 é🦀 ''quoted'' \ 100 %
next line', 2, 2, 1700000000.2, '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}');
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (1, 'job-8', 'test.add', 'call', 'code', 3, 2, 'blocked', '{"args":[1],"kwargs":{}}', NULL, NULL, 0, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795423897.378854, NULL, 1795423897.378854, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (2, 'job-9', 'test.add', 'call', 'code', 3, 2, 'pending', '{"args":[1],"kwargs":{}}', NULL, NULL, 0, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795423897.38313, NULL, 1795423897.38313, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (3, 'job-10', 'test.add', 'call', 'code', 3, 2, 'processing', '{"args":[1],"kwargs":{}}', NULL, NULL, 0, 1, 1, 1, NULL, NULL, 'w1', 1795423927.391253, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795423897.385343, 1795423897.391253, 1795423897.391253, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (4, 'job-11', 'test.add', 'call', 'code', 3, 2, 'completed', '{"args":[1],"kwargs":{}}', '2', NULL, 0, 1, 1, 1, NULL, NULL, 'w1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795423897.394378, 1795423897.396529, 1795423897.398398, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (5, 'job-12', 'test.add', 'call', 'code', 3, 2, 'failed', '{"args":[1],"kwargs":{}}', NULL, 'boom', 1, 1, 1, 1, NULL, NULL, 'w1', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795423897.400602, 1795423897.403386, 1795423897.406038, 1795423897.406038);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (6, 'job-13', 'test.add', 'call', 'code', 3, 2, 'cancelled', '{"args":[1],"kwargs":{}}', NULL, 'no longer wanted', 0, 1, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795423897.407999, NULL, 1795423897.411179, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (7, 'job-14', 'test.add', 'call', 'code', 3, 2, 'pending', '{"args":["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line",1000000000000000000000000000000],"kwargs":{"x":0.1}}', NULL, NULL, 0, 3, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1795423897.41355, NULL, 1795423897.41355, NULL);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (8, 'id 1 é🦀 ''quoted'' \ 100 %
next line', 'name 1 é🦀 ''quoted'' \ 100 %
next line', 'kind 1 é🦀 ''quoted'' \ 100 %
next line', 'odd', 4, 1, 'blocked', '{"args": ["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line", 1000000000000000000000000000000, 1.0, null], "kwargs": {"nul": "\u0000", "deep": [[{}]]}}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 'error 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 1700000000.1, 1, 1700000000.1, 1700000000.1, 'worker 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1700000000.1, 'unique_key 1 é🦀 ''quoted'' \ 100 %
next line', 'concurrency_key 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1700000000.1, 'held_for 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 'trace 1 é🦀 ''quoted'' \ 100 %
next line', 'plan_id 1 é🦀 ''quoted'' \ 100 %
next line', 'task_id 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1700000000.1, 1700000000.1, 1700000000.1, 1700000000.1);
INSERT INTO public.jobs (seq, id, name, kind, lane, priority, effort, status, args, result, error, retry_count, max_retries, retry_base, attempt, backoff_until, published_at, worker, lease_until, time_limit, unique_key, concurrency_key, start_by, held_at, held_for, canvas, required, labels, routing, trace, plan_id, task_id, round, created_at, started_at, status_updated_at, dead_at) VALUES (9, 'id 2 é🦀 ''quoted'' \ 100 %
next line', 'name 2 é🦀 ''quoted'' \ 100 %
next line', 'kind 2 é🦀 ''quoted'' \ 100 %
next line', 'odd', 4, 2, 'blocked', '{"args": ["\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line", 1000000000000000000000000000000, 1.0, null], "kwargs": {"nul": "\u0000", "deep": [[{}]]}}', NULL, NULL, 2, 2, 1700000000.2, 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 2, 1700000000.2, NULL, 1700000000.2, NULL);
INSERT INTO public.jobs_archive (seq, id, name, kind, lane, status, plan_id, task_id, created_at, status_updated_at, archived_at, "row") VALUES (1, 'id 1 é🦀 ''quoted'' \ 100 %
next line', 'name 1 é🦀 ''quoted'' \ 100 %
next line', 'kind 1 é🦀 ''quoted'' \ 100 %
next line', 'lane 1 é🦀 ''quoted'' \ 100 %
next line', 'status 1 é🦀 ''quoted'' \ 100 %
next line', 'plan_id 1 é🦀 ''quoted'' \ 100 %
next line', 'task_id 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1700000000.1, 1700000000.1, '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}');
INSERT INTO public.jobs_archive (seq, id, name, kind, lane, status, plan_id, task_id, created_at, status_updated_at, archived_at, "row") VALUES (2, 'id 2 é🦀 ''quoted'' \ 100 %
next line', 'name 2 é🦀 ''quoted'' \ 100 %
next line', 'kind 2 é🦀 ''quoted'' \ 100 %
next line', 'lane 2 é🦀 ''quoted'' \ 100 %
next line', 'status 2 é🦀 ''quoted'' \ 100 %
next line', NULL, NULL, 1700000000.2, 1700000000.2, 1700000000.2, '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}');
INSERT INTO public.lanes (lane, paused_at, concurrency_limit, rate_limit, tokens, tokens_at) VALUES ('lane 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1, 1700000000.1, 1700000000.1, 1700000000.1);
INSERT INTO public.lanes (lane, paused_at, concurrency_limit, rate_limit, tokens, tokens_at) VALUES ('lane 2 é🦀 ''quoted'' \ 100 %
next line', NULL, NULL, NULL, 1700000000.2, 1700000000.2);
INSERT INTO public.ledger_facts (name, value) VALUES ('oldest_program.0006', '5');
INSERT INTO public.ledger_facts (name, value) VALUES ('name 1 é🦀 ''quoted'' \ 100 %
next line', 'value 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.ledger_facts (name, value) VALUES ('name 2 é🦀 ''quoted'' \ 100 %
next line', 'value 2 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.metric_marks (source, "position") VALUES ('source 1 é🦀 ''quoted'' \ 100 %
next line', 9007199254740993);
INSERT INTO public.metric_marks (source, "position") VALUES ('source 2 é🦀 ''quoted'' \ 100 %
next line', 9007199254740994);
INSERT INTO public.metric_totals (name, labels, value) VALUES ('name 1 é🦀 ''quoted'' \ 100 %
next line', 'labels 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1);
INSERT INTO public.metric_totals (name, labels, value) VALUES ('name 2 é🦀 ''quoted'' \ 100 %
next line', 'labels 2 é🦀 ''quoted'' \ 100 %
next line', 1700000000.2);
INSERT INTO public.plans (id, name, status, digest, source, plan_dir, repo, remote, base_commit, branch, spec, created_at, ended_at) VALUES ('id 1 é🦀 ''quoted'' \ 100 %
next line', 'name 1 é🦀 ''quoted'' \ 100 %
next line', 'running', 'digest 1 é🦀 ''quoted'' \ 100 %
next line', 'source 1 é🦀 ''quoted'' \ 100 %
next line', 'plan_dir 1 é🦀 ''quoted'' \ 100 %
next line', 'repo 1 é🦀 ''quoted'' \ 100 %
next line', 'remote 1 é🦀 ''quoted'' \ 100 %
next line', 'base_commit 1 é🦀 ''quoted'' \ 100 %
next line', 'branch 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.1, 1700000000.1);
INSERT INTO public.plans (id, name, status, digest, source, plan_dir, repo, remote, base_commit, branch, spec, created_at, ended_at) VALUES ('id 2 é🦀 ''quoted'' \ 100 %
next line', 'name 2 é🦀 ''quoted'' \ 100 %
next line', 'running', 'digest 2 é🦀 ''quoted'' \ 100 %
next line', 'source 2 é🦀 ''quoted'' \ 100 %
next line', 'plan_dir 2 é🦀 ''quoted'' \ 100 %
next line', 'repo 2 é🦀 ''quoted'' \ 100 %
next line', NULL, 'base_commit 2 é🦀 ''quoted'' \ 100 %
next line', 'branch 2 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.2, NULL);
INSERT INTO public.result_cache (cache, key, status, value, size, holder, held_until, tag, created_at, expires_at, used_at, hits) VALUES ('cache 1 é🦀 ''quoted'' \ 100 %
next line', 'key 1 é🦀 ''quoted'' \ 100 %
next line', 'ready', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1, 'holder 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 'tag 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1700000000.1, 1700000000.1, 1);
INSERT INTO public.result_cache (cache, key, status, value, size, holder, held_until, tag, created_at, expires_at, used_at, hits) VALUES ('cache 2 é🦀 ''quoted'' \ 100 %
next line', 'key 2 é🦀 ''quoted'' \ 100 %
next line', 'ready', NULL, 2, NULL, NULL, NULL, 1700000000.2, 1700000000.2, 1700000000.2, 2);
INSERT INTO public.scale_decisions (id, at, lane, provisioner, before, target, applied, reason, figures, error) VALUES (1, 1700000000.1, 'lane 1 é🦀 ''quoted'' \ 100 %
next line', 'provisioner 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 1, 'reason 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 'error 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.scale_decisions (id, at, lane, provisioner, before, target, applied, reason, figures, error) VALUES (2, 1700000000.2, 'lane 2 é🦀 ''quoted'' \ 100 %
next line', 'provisioner 2 é🦀 ''quoted'' \ 100 %
next line', 2, 2, NULL, 'reason 2 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', NULL);
INSERT INTO public.scaling_rules (lane, min_size, max_size, up_depth, down_depth, up_age, down_after) VALUES ('lane 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 1, 1, 1700000000.1, 1700000000.1);
INSERT INTO public.scaling_rules (lane, min_size, max_size, up_depth, down_depth, up_age, down_after) VALUES ('lane 2 é🦀 ''quoted'' \ 100 %
next line', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.task_needs (plan_id, needs_id, task_id) VALUES ('id 1 é🦀 ''quoted'' \ 100 %
next line', 'needs_id 1 é🦀 ''quoted'' \ 100 %
next line', 'task_id 1 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.task_needs (plan_id, needs_id, task_id) VALUES ('id 2 é🦀 ''quoted'' \ 100 %
next line', 'needs_id 2 é🦀 ''quoted'' \ 100 %
next line', 'task_id 2 é🦀 ''quoted'' \ 100 %
next line');
INSERT INTO public.tasks (plan_id, id, "position", title, status, stage, spec, waiting_on, fix_round, max_fix_rounds, commit_id, error, status_updated_at) VALUES ('id 1 é🦀 ''quoted'' \ 100 %
next line', 'id 1 é🦀 ''quoted'' \ 100 %
next line', 1, 'title 1 é🦀 ''quoted'' \ 100 %
next line', 'waiting', 'stage 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1, 1, 1, 'commit_id 1 é🦀 ''quoted'' \ 100 %
next line', 'error 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1);
INSERT INTO public.tasks (plan_id, id, "position", title, status, stage, spec, waiting_on, fix_round, max_fix_rounds, commit_id, error, status_updated_at) VALUES ('id 2 é🦀 ''quoted'' \ 100 %
next line', 'id 2 é🦀 ''quoted'' \ 100 %
next line', 2, 'title 2 é🦀 ''quoted'' \ 100 %
next line', 'waiting', NULL, '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 2, 2, 2, NULL, NULL, 1700000000.2);
INSERT INTO public.upkeep (name, looked_at, patient_until) VALUES ('name 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 1700000000.1);
INSERT INTO public.upkeep (name, looked_at, patient_until) VALUES ('name 2 é🦀 ''quoted'' \ 100 %
next line', 1700000000.2, 1700000000.2);
INSERT INTO public.worker_health (worker_id, lane, tier, active_tasks, capacity_limit, status, last_seen, host, process, version, labels, functions, started_at, draining_at, schema_version) VALUES ('worker_id 1 é🦀 ''quoted'' \ 100 %
next line', 'lane 1 é🦀 ''quoted'' \ 100 %
next line', 'tier 1 é🦀 ''quoted'' \ 100 %
next line', 1, 1, 'status 1 é🦀 ''quoted'' \ 100 %
next line', 1700000000.1, 'host 1 é🦀 ''quoted'' \ 100 %
next line', 'process 1 é🦀 ''quoted'' \ 100 %
next line', 'version 1 é🦀 ''quoted'' \ 100 %
next line', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', '{"number": 1000000000000000000000000000000, "float": 1.0, "text": "\u00e9\ud83e\udd80 ''quoted'' \\ 100 %\nnext line\u0000", "nothing": null}', 1700000000.1, 1700000000.1, 1);
INSERT INTO public.worker_health (worker_id, lane, tier, active_tasks, capacity_limit, status, last_seen, host, process, version, labels, functions, started_at, draining_at, schema_version) VALUES ('worker_id 2 é🦀 ''quoted'' \ 100 %
next line', 'lane 2 é🦀 ''quoted'' \ 100 %
next line', 'tier 2 é🦀 ''quoted'' \ 100 %
next line', 2, 2, 'status 2 é🦀 ''quoted'' \ 100 %
next line', 1700000000.2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT pg_catalog.setval('public.agent_outputs_id_seq', 2, true);
SELECT pg_catalog.setval('public.audit_id_seq', 2, true);
SELECT pg_catalog.setval('public.consensus_runs_id_seq', 2, true);
SELECT pg_catalog.setval('public.events_id_seq', 2, true);
SELECT pg_catalog.setval('public.job_history_id_seq', 17, true);
SELECT pg_catalog.setval('public.jobs_seq_seq', 9, true);
SELECT pg_catalog.setval('public.scale_decisions_id_seq', 2, true);
ALTER TABLE ONLY public.agent_outputs
    ADD CONSTRAINT agent_outputs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.agent_usage
    ADD CONSTRAINT agent_usage_pkey PRIMARY KEY (job_id, attempt);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.breaker_calls
    ADD CONSTRAINT breaker_calls_pkey PRIMARY KEY (breaker, slot);
ALTER TABLE ONLY public.breaker_trials
    ADD CONSTRAINT breaker_trials_pkey PRIMARY KEY (breaker, holder);
ALTER TABLE ONLY public.breakers
    ADD CONSTRAINT breakers_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_pkey PRIMARY KEY (plan_id, scope, name);
ALTER TABLE ONLY public.cache_counts
    ADD CONSTRAINT cache_counts_pkey PRIMARY KEY (cache, name);
ALTER TABLE ONLY public.chord_results
    ADD CONSTRAINT chord_results_pkey PRIMARY KEY (group_id, member_id);
ALTER TABLE ONLY public.chords
    ADD CONSTRAINT chords_pkey PRIMARY KEY (group_id);
ALTER TABLE ONLY public.consensus_runs
    ADD CONSTRAINT consensus_runs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.event_handlers
    ADD CONSTRAINT event_handlers_pkey PRIMARY KEY (event_type, handler);
ALTER TABLE ONLY public.event_rules
    ADD CONSTRAINT event_rules_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_history_archive
    ADD CONSTRAINT job_history_archive_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_history
    ADD CONSTRAINT job_history_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.job_logs
    ADD CONSTRAINT job_logs_pkey PRIMARY KEY (job_id, attempt, seq);
ALTER TABLE ONLY public.jobs_archive
    ADD CONSTRAINT jobs_archive_id_key UNIQUE (id);
ALTER TABLE ONLY public.jobs_archive
    ADD CONSTRAINT jobs_archive_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_id_key UNIQUE (id);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.lanes
    ADD CONSTRAINT lanes_pkey PRIMARY KEY (lane);
ALTER TABLE ONLY public.ledger_facts
    ADD CONSTRAINT ledger_facts_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.metric_marks
    ADD CONSTRAINT metric_marks_pkey PRIMARY KEY (source);
ALTER TABLE ONLY public.metric_totals
    ADD CONSTRAINT metric_totals_pkey PRIMARY KEY (name, labels);
ALTER TABLE ONLY public.plans
    ADD CONSTRAINT plans_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.result_cache
    ADD CONSTRAINT result_cache_pkey PRIMARY KEY (cache, key);
ALTER TABLE ONLY public.scale_decisions
    ADD CONSTRAINT scale_decisions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.scaling_rules
    ADD CONSTRAINT scaling_rules_pkey PRIMARY KEY (lane);
ALTER TABLE ONLY public.task_needs
    ADD CONSTRAINT task_needs_pkey PRIMARY KEY (plan_id, needs_id, task_id);
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_pkey PRIMARY KEY (plan_id, id);
ALTER TABLE ONLY public.upkeep
    ADD CONSTRAINT upkeep_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.consensus_runs
    ADD CONSTRAINT uq_consensus_run UNIQUE (spec_id, stage, run_timestamp);
ALTER TABLE ONLY public.worker_health
    ADD CONSTRAINT worker_health_pkey PRIMARY KEY (worker_id, lane);
CREATE INDEX idx_agent_outputs_agent ON public.agent_outputs USING btree (agent_name);
CREATE INDEX idx_agent_outputs_run ON public.agent_outputs USING btree (run_id);
CREATE INDEX idx_archive_job ON public.job_history_archive USING btree (job_id, id);
CREATE INDEX idx_audit_target ON public.audit USING btree (target, id);
CREATE INDEX idx_audit_time ON public.audit USING btree (at);
CREATE INDEX idx_backoff_ready ON public.jobs USING btree (backoff_until) WHERE ((status = 'pending'::text) AND (backoff_until IS NOT NULL));
CREATE INDEX idx_cache_expires ON public.result_cache USING btree (cache, expires_at);
CREATE INDEX idx_cache_tag ON public.result_cache USING btree (tag);
CREATE INDEX idx_cache_used ON public.result_cache USING btree (cache, used_at);
CREATE INDEX idx_chords_body ON public.chords USING btree (body_id);
CREATE INDEX idx_consensus_spec_stage ON public.consensus_runs USING btree (spec_id, stage);
CREATE INDEX idx_consensus_timestamp ON public.consensus_runs USING btree (run_timestamp);
CREATE INDEX idx_events_priority ON public.events USING btree (priority DESC, "timestamp" DESC) INCLUDE (id);
CREATE INDEX idx_events_session ON public.events USING btree (session_id, id);
CREATE INDEX idx_events_session_priority ON public.events USING btree (session_id, priority DESC, "timestamp" DESC) INCLUDE (id);
CREATE INDEX idx_events_source ON public.events USING btree (source_app);
CREATE INDEX idx_events_type_priority ON public.events USING btree (hook_event_type, priority DESC, "timestamp" DESC) INCLUDE (id);
CREATE INDEX idx_history_job ON public.job_history USING btree (job_id, id);
CREATE INDEX idx_history_time ON public.job_history USING btree ("timestamp");
CREATE INDEX idx_job_logs_at ON public.job_logs USING btree (at);
CREATE INDEX idx_jobs_ahead ON public.jobs USING btree (concurrency_key) WHERE ((status = 'pending'::text) AND (held_for <> 'key'::text) AND (concurrency_key IS NOT NULL));
CREATE INDEX idx_jobs_archive_ended ON public.jobs_archive USING btree (status_updated_at);
CREATE INDEX idx_jobs_archive_plan ON public.jobs_archive USING btree (plan_id, task_id) WHERE (plan_id IS NOT NULL);
CREATE INDEX idx_jobs_blocked ON public.jobs USING btree (lane) WHERE (status = 'blocked'::text);
CREATE UNIQUE INDEX idx_jobs_busy_key ON public.jobs USING btree (concurrency_key) WHERE ((concurrency_key IS NOT NULL) AND (status = 'processing'::text));
CREATE INDEX idx_jobs_dead ON public.jobs USING btree (dead_at) WHERE (dead_at IS NOT NULL);
CREATE INDEX idx_jobs_ended ON public.jobs USING btree (lane, status) WHERE (status = ANY (ARRAY['cancelled'::text, 'completed'::text, 'failed'::text]));
CREATE INDEX idx_jobs_held ON public.jobs USING btree (lane, priority, seq) WHERE ((status = 'pending'::text) AND (held_for = 'lane'::text));
CREATE INDEX idx_jobs_held_key ON public.jobs USING btree (lane, concurrency_key, priority, seq) WHERE ((status = 'pending'::text) AND (held_for = 'key'::text));
CREATE INDEX idx_jobs_held_worker ON public.jobs USING btree (priority, seq) WHERE ((status = 'pending'::text) AND (held_for = 'worker'::text));
CREATE INDEX idx_jobs_outbox ON public.jobs USING btree (priority, seq) WHERE ((status = 'pending'::text) AND (backoff_until IS NULL) AND (published_at IS NULL) AND (held_at IS NULL));
CREATE INDEX idx_jobs_plan ON public.jobs USING btree (plan_id, task_id) WHERE (plan_id IS NOT NULL);
CREATE INDEX idx_jobs_ready ON public.jobs USING btree (lane, priority, seq) WHERE ((status = 'pending'::text) AND (backoff_until IS NULL) AND (held_at IS NULL));
CREATE INDEX idx_jobs_running ON public.jobs USING btree (lane, lease_until) WHERE (status = 'processing'::text);
CREATE INDEX idx_jobs_start_by ON public.jobs USING btree (start_by) WHERE ((status = 'pending'::text) AND (attempt = 0) AND (start_by IS NOT NULL));
CREATE UNIQUE INDEX idx_jobs_unique ON public.jobs USING btree (unique_key) WHERE ((unique_key IS NOT NULL) AND (status = ANY (ARRAY['blocked'::text, 'pending'::text, 'processing'::text])));
CREATE INDEX idx_plans_name ON public.plans USING btree (name, created_at);
CREATE INDEX idx_scale_lane ON public.scale_decisions USING btree (lane, id);
CREATE INDEX idx_usage_plan ON public.agent_usage USING btree (plan_id, task_id);
CREATE TRIGGER trg_job_due AFTER UPDATE OF backoff_until, held_at ON public.jobs FOR EACH ROW WHEN (((old.status = 'pending'::text) AND (new.status = 'pending'::text) AND ((old.backoff_until IS NOT NULL) OR (old.held_at IS NOT NULL)) AND (new.backoff_until IS NULL) AND (new.held_at IS NULL))) EXECUTE FUNCTION public.vibe_job_due();
CREATE TRIGGER trg_job_moved AFTER UPDATE OF status ON public.jobs FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION public.vibe_job_history();
CREATE TRIGGER trg_job_submitted AFTER INSERT ON public.jobs FOR EACH ROW EXECUTE FUNCTION public.vibe_job_history();
ALTER TABLE ONLY public.agent_outputs
    ADD CONSTRAINT agent_outputs_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.consensus_runs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.breaker_calls
    ADD CONSTRAINT breaker_calls_breaker_fkey FOREIGN KEY (breaker) REFERENCES public.breakers(name) ON DELETE CASCADE;
ALTER TABLE ONLY public.breaker_trials
    ADD CONSTRAINT breaker_trials_breaker_fkey FOREIGN KEY (breaker) REFERENCES public.breakers(name) ON DELETE CASCADE;
ALTER TABLE ONLY public.budgets
    ADD CONSTRAINT budgets_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES public.plans(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.chord_results
    ADD CONSTRAINT chord_results_group_id_fkey FOREIGN KEY (group_id) REFERENCES public.chords(group_id) ON DELETE CASCADE;
ALTER TABLE ONLY public.task_needs
    ADD CONSTRAINT task_needs_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES public.plans(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tasks
    ADD CONSTRAINT tasks_plan_id_fkey FOREIGN KEY (plan_id) REFERENCES public.plans(id) ON DELETE CASCADE;
